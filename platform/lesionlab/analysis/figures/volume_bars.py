"""Lesions of several models in; one figure out: which part of them each model found, by lesion volume."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from lesionlab.analysis.figures.drawing import FILL, HATCH, HATCH_INK, TEXT_POINTS, new_figure, quiet_axes
from lesionlab.analysis.statistics.conditions import Condition
from lesionlab.imaging.sizes import detection_by_size
from storage_schemas.results import LesionRow

_GROUP_WIDTH = 0.8


def volume_figure(lesions: Mapping[Condition, Sequence[LesionRow]]) -> Figure:
    """Sensitivity in classes of lesion volume, one bar a model; under each class its reference lesions.

    The models must have been tested on the same studies.
    """
    figure = new_figure(7.2, 3.4)
    axes = figure.subplots()
    width = _GROUP_WIDTH / max(len(lesions), 1)
    for number, (model, own) in enumerate(lesions.items()):
        *classes, _ = detection_by_size(lesion for lesion in own if lesion.side == "reference")
        places = np.arange(len(classes)) + (number - (len(lesions) - 1) / 2) * width
        axes.bar(
            places,
            [size.share or 0.0 for size in classes],
            width,
            color=FILL[model.arm],
            hatch=HATCH[model.arm],
            edgecolor=HATCH_INK[model.arm],
            linewidth=0.8,
            label=model.title(),
        )
        if number == 0:
            ticks = [f"{size.title()}\nn = {size.lesions}" for size in classes]
            axes.set_xticks(range(len(classes)), ticks, fontsize=TEXT_POINTS)
    axes.set_ylim(0, 1)
    axes.set_xlabel("Volume of the reference lesion (mm³)", fontsize=TEXT_POINTS)
    axes.set_ylabel("Part of the lesions found (fraction)", fontsize=TEXT_POINTS)
    axes.tick_params(axis="x", length=0)
    quiet_axes(axes)
    figure.legend(loc="outside lower center", ncols=2, fontsize=TEXT_POINTS, frameon=False)
    return figure
