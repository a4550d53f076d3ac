"""Draw the loss of every trained network over its training: one panel per training size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil

from matplotlib.figure import Figure

from lesionlab.analysis.figures.drawing import HATCH_INK, LINE_STYLE, TEXT_POINTS, new_figure, quiet_axes
from lesionlab.analysis.statistics.conditions import Condition
from lesionlab.analysis.words import training as words
from lesionlab.analysis.words.models import model_name
from storage_schemas.results import EpochRow

_ACROSS = 3

Curves = Mapping[Condition, Sequence[Sequence[EpochRow]]]
"""The histories of each model's networks."""


def loss_figure(models: Curves) -> Figure:
    """Draw one thin line per network, on a logarithmic axis where every loss is positive."""
    sizes = sorted({model.training_size for model in models})
    columns = min(len(sizes), _ACROSS)
    lines = ceil(len(sizes) / columns)
    figure = new_figure(max(2.6 * columns, 4.2), 2.4 * lines + 0.7)
    panels = figure.subplots(lines, columns, squeeze=False, sharey=True)
    positive = all(row.loss > 0 for networks in models.values() for rows in networks for row in rows)
    for place, axes in enumerate(panels.flat):
        if place >= len(sizes):
            axes.set_visible(False)
            continue
        for model, networks in models.items():
            if model.training_size == sizes[place]:
                for rows in networks:
                    axes.plot(
                        [row.step for row in rows],
                        [row.loss for row in rows],
                        color=HATCH_INK[model.arm],
                        linestyle=LINE_STYLE[model.arm],
                        linewidth=0.8,
                        marker="." if len(rows) == 1 else "",
                        label=model_name(model),
                    )
        if positive:
            axes.set_yscale("log")
        axes.set_title(words.AT_SIZE.format(sizes[place]), fontsize=TEXT_POINTS, loc="left")
        axes.set_xlabel(words.STEP_AXIS, fontsize=TEXT_POINTS)
        axes.tick_params(axis="x", labelsize=TEXT_POINTS)
        if place % columns == 0:
            axes.set_ylabel(words.LOSS_AXIS, fontsize=TEXT_POINTS)
        quiet_axes(axes)
    named = {
        label: handle
        for axes in figure.axes
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
        if axes.get_visible()
    }
    figure.legend(
        list(named.values()), list(named), loc="outside lower center", ncols=2, fontsize=TEXT_POINTS, frameon=False
    )
    return figure
