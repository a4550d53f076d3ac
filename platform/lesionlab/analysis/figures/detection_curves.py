"""Draw which inserted lesions a model detects, by diameter, with one line for each contrast."""

from __future__ import annotations

from matplotlib.figure import Figure

from lesionlab.analysis.figures.drawing import TEXT_POINTS, new_figure, quiet_axes
from lesionlab.analysis.statistics.detection import SelfGrading
from lesionlab.analysis.words import governance as words

_STYLES = (("#1f4e79", "o", "-"), ("#9a5b1e", "s", "--"), ("#3f6b3f", "^", ":"))
"""Colour, marker and line: distinguishable in greyscale too."""
_APART_MM = 0.12
"""Between the points of two contrasts, so that their intervals do not hide each other."""


def detection_figure(found: SelfGrading) -> Figure:
    """Draw the fraction detected; a size and contrast in fewer than three patients has no point."""
    figure = new_figure(5.4, 3.2)
    axes = figure.subplots()
    contrasts = sorted({contrast for _, contrast in found.cells}, reverse=True)
    for place, contrast in enumerate(contrasts):
        colour, marker, line = _STYLES[place % len(_STYLES)]
        shift_mm = _APART_MM * (place - (len(contrasts) - 1) / 2)
        points = [
            (diameter_mm + shift_mm, one)
            for (diameter_mm, own), one in sorted(found.cells.items(), key=lambda item: item[0])
            if own == contrast and one is not None
        ]
        places, shares = [x for x, _ in points], [one.share for _, one in points]
        label = words.contrast_label(contrast)
        axes.plot(places, shares, line, marker=marker, color=colour, label=label, clip_on=False)
        low, high = ([getattr(one.interval, end) for _, one in points] for end in ("low", "high"))
        axes.vlines(places, low, high, color=colour, linewidth=1)
    axes.set_xticks(sorted({diameter_mm for diameter_mm, _ in found.cells}))
    axes.set_ylim(0, 1)
    axes.set_xlabel(words.DIAMETER_AXIS, fontsize=TEXT_POINTS)
    axes.set_ylabel(words.DETECTED_AXIS, fontsize=TEXT_POINTS)
    axes.tick_params(axis="x", labelsize=TEXT_POINTS)
    quiet_axes(axes)
    figure.legend(loc="outside lower center", ncols=len(contrasts), fontsize=TEXT_POINTS, frameon=False)
    return figure
