"""Draw the differences of every model from Grader 2 with their intervals, and the declared margin as a band."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lesionlab.analysis.figures.drawing import FILL, HATCH_INK, INK, MARKER, TEXT_POINTS, new_figure
from lesionlab.analysis.statistics.contrasts import Contrast
from lesionlab.analysis.words import further as words
from lesionlab.analysis.words.captions import PANELS
from lesionlab.analysis.words.models import model_title

_LINE_IN = 0.24


def forest_figure(found: Sequence[Contrast], margin: float | None) -> Figure:
    """Draw one panel per metric of the paper, one line per model in the table's order."""
    models = list(dict.fromkeys(one.pair.model for one in found))
    figure = new_figure(7.2, 1.2 + _LINE_IN * len(models))
    axes = figure.subplots(1, len(PANELS), sharey=True, sharex=True)
    for panel, (metric, title) in zip(axes, PANELS.items(), strict=True):
        own = {one.pair.model: one for one in found if one.metric == metric}
        for place, model in enumerate(models):
            if model in own:
                _draw(panel, place, own[model])
        if margin is not None:
            panel.axvspan(-margin, margin, color="#efefe8", zorder=0)
        panel.axvline(0, color=INK, linewidth=0.8, zorder=1)
        panel.set_title(title, fontsize=TEXT_POINTS, loc="left")
        panel.set_xlabel(words.FOREST_AXIS, fontsize=TEXT_POINTS)
        panel.tick_params(axis="x", labelsize=TEXT_POINTS - 1, length=2)
        panel.tick_params(axis="y", length=0)
        panel.spines[["top", "right", "left"]].set_visible(False)
    axes[0].set_yticks(range(len(models)), [model_title(model) for model in models], fontsize=TEXT_POINTS - 1)
    axes[0].set_ylim(len(models) - 0.4, -0.6)
    return figure


def _draw(axes: Axes, place: int, one: Contrast) -> None:
    arm, ink = one.pair.model.arm, HATCH_INK[one.pair.model.arm]
    if one.mean is None:
        return
    if one.difference is not None:
        interval = one.difference.interval()
        axes.hlines(place, interval.low, interval.high, color=ink, linewidth=1, zorder=2)
    if one.equivalence is not None:
        axes.hlines(
            place, one.equivalence.interval.low, one.equivalence.interval.high, color=ink, linewidth=2.6, zorder=2
        )
    axes.plot(
        one.mean,
        place,
        marker=MARKER[arm],
        markersize=5.5,
        color=FILL[arm],
        markeredgecolor=ink,
        zorder=3,
        linestyle="",
    )
