"""Draw FROC curves by training size, and reliability diagrams of the largest size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lesionlab.analysis.figures.drawing import HATCH_INK, INK, LINE_STYLE, MARKER, TEXT_POINTS, new_figure, quiet_axes
from lesionlab.analysis.statistics.calibration import Bin, Calibration
from lesionlab.analysis.statistics.conditions import Condition
from lesionlab.analysis.statistics.operating import FALSE_POSITIVES_WANTED, Operating
from lesionlab.analysis.words import operating as words
from lesionlab.analysis.words.models import model_name

_LEAST_FALSE_POSITIVES = 0.1
_ACROSS = 3
_MARKER_AREA = 9

Own = Mapping[Condition, tuple[float, float]]
"""Mean false positives and mean sensitivity of models at their own thresholds."""


def froc_figure(models: Mapping[Condition, Operating], own: Own) -> Figure:
    """Draw one panel per training size; models without a size are in every panel."""
    sizes = sorted({model.training_size for model in (*models, *own) if model.training_size}) or [0]
    columns = min(len(sizes), _ACROSS)
    lines = ceil(len(sizes) / columns)
    figure = new_figure(max(2.6 * columns, 4.2), 2.5 * lines + 0.8)
    panels = figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True)
    for place, axes in enumerate(panels.flat):
        if place >= len(sizes):
            axes.set_visible(False)
            continue
        _draw_froc(axes, models, own, sizes[place])
        if place >= len(sizes) - columns:
            axes.set_xlabel(words.FROC_X, fontsize=TEXT_POINTS)
            axes.tick_params(axis="x", labelbottom=True)
        if place % columns == 0:
            axes.set_ylabel(words.FROC_Y, fontsize=TEXT_POINTS)
    _legend(figure)
    return figure


def calibration_figure(models: Mapping[Condition, Calibration]) -> Figure:
    """Draw voxels on the left and predicted lesions on the right."""
    figure = new_figure(7.2, 3.9)
    left, right = figure.subplots(1, 2)
    for axes, title, label in ((left, words.VOXELS, words.VOXEL_Y), (right, words.LESIONS, words.LESION_Y)):
        axes.plot([0, 1], [0, 1], color=INK, linewidth=0.8, linestyle=":", label=words.PERFECT)
        for model, one in models.items():
            _draw_bins(axes, model, one.voxels if axes is left else one.lesions)
        axes.set_xlim(-0.02, 1.02)
        axes.set_ylim(-0.02, 1.02)
        axes.set_title(title, fontsize=TEXT_POINTS + 1, loc="left")
        axes.set_xlabel(words.RELIABILITY_X, fontsize=TEXT_POINTS)
        axes.set_ylabel(label, fontsize=TEXT_POINTS)
        axes.tick_params(axis="x", labelsize=TEXT_POINTS)
        quiet_axes(axes)
    _legend(figure)
    return figure


def _draw_froc(axes: Axes, models: Mapping[Condition, Operating], own: Own, size: int) -> None:
    for model in dict.fromkeys((*models, *own)):
        if model.training_size not in (0, size):
            continue
        ink = HATCH_INK[model.arm]
        if model in models:
            curve = models[model].curve
            false_T, found_T = curve.mean_T("false_positives"), curve.mean_T("sensitivity")
            kept = ~np.isnan(found_T)
            axes.plot(
                np.maximum(false_T[kept], _LEAST_FALSE_POSITIVES),
                found_T[kept],
                color=ink,
                linestyle=LINE_STYLE[model.arm],
                marker=".",
                markersize=3,
                label=model_name(model),
            )
        if model in own:
            at, found = own[model]
            label = None if model in models else model_name(model)
            place = max(at, _LEAST_FALSE_POSITIVES)
            axes.plot(place, found, MARKER[model.arm], color=ink, markersize=7, linestyle="none", label=label)
    axes.axvline(FALSE_POSITIVES_WANTED, color=INK, linewidth=0.8, linestyle=":")
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_ylim(0, 1.02)
    axes.set_title(words.AT_SIZE.format(size) if size else words.ANY_SIZE, fontsize=TEXT_POINTS, loc="left")
    axes.tick_params(axis="x", labelsize=TEXT_POINTS)
    quiet_axes(axes)


def _draw_bins(axes: Axes, model: Condition, bins: Sequence[Bin]) -> None:
    if not bins:
        return
    ink = HATCH_INK[model.arm]
    places, shares = [one.mean_probability for one in bins], [one.share for one in bins]
    axes.plot(places, shares, color=ink, linestyle=LINE_STYLE[model.arm], linewidth=1, label=model_name(model))
    areas = [_MARKER_AREA * (1 + np.log10(one.count)) for one in bins]
    axes.scatter(places, shares, s=areas, color=ink, marker=MARKER[model.arm], zorder=3)


def _legend(figure: Figure) -> None:
    named = {
        label: handle
        for axes in figure.axes
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
        if axes.get_visible()
    }
    figure.legend(
        list(named.values()), list(named), loc="outside lower center", ncols=2, fontsize=TEXT_POINTS, frameon=False
    )
