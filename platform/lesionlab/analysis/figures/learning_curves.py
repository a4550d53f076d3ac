"""Draw the learning curves of one arm comparison: means, confidence intervals, the target, and where it is reached."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lesionlab.analysis.figures.drawing import (
    FILL,
    HATCH_INK,
    INK,
    LINE_STYLE,
    MARKER,
    TEXT_POINTS,
    new_figure,
    quiet_axes,
)
from lesionlab.analysis.statistics.learning import ArmCurve, Learning
from lesionlab.analysis.words.captions import CURVE_AXES, TRAINING_SIZE_AXIS
from lesionlab.analysis.words.curves import aim_name
from lesionlab.analysis.words.models import model_name
from storage_schemas.axes import Arm

_APART = 1.02
"""The arms are shifted apart by this factor, so that both intervals at one size are visible."""


def learning_figure(panels: Sequence[Learning]) -> Figure:
    """Draw one panel per metric: training sizes on a logarithmic axis, 95 % CIs as lines."""
    figure = new_figure(3.6 * max(len(panels), 2), 3.6)
    for axes, learning in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        draw_curves(axes, learning)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=TEXT_POINTS, frameon=False)
    return figure


def draw_curves(axes: Axes, learning: Learning, *, crossings: bool = True) -> None:
    """Draw the curves of one metric and their target; mark on the axis where they reach it, if wanted."""
    sizes = sorted({point.training_size for arm in learning.arms for point in arm.points})
    for arm in learning.arms:
        _draw_arm(axes, arm)
        if crossings and arm.crossing is not None and arm.crossing.reached:
            colour = HATCH_INK["fine-tuned" if arm.fine_tuned else "de-novo"]
            axes.axvline(arm.crossing.studies, ymax=0.06, color=colour, linewidth=2.5)
    if learning.aim is not None:
        axes.axhline(learning.aim.mean, color=INK, linewidth=1, linestyle=":", label=aim_name(learning.aim))
    axes.set_xscale("log", base=2)
    axes.set_xticks(sizes, [str(size) for size in sizes], fontsize=TEXT_POINTS)
    axes.minorticks_off()
    if sizes:
        axes.set_xlim(sizes[0] / 1.25, sizes[-1] * 1.25)
    axes.set_ylim(0, 1)
    axes.set_xlabel(TRAINING_SIZE_AXIS, fontsize=TEXT_POINTS)
    axes.set_ylabel(CURVE_AXES[learning.metric], fontsize=TEXT_POINTS)
    quiet_axes(axes)


def _draw_arm(axes: Axes, curve: ArmCurve) -> None:
    arm: Arm = "fine-tuned" if curve.fine_tuned else "de-novo"
    places = np.array([point.training_size * (_APART if curve.fine_tuned else 1 / _APART) for point in curve.points])
    means = np.array([point.mean for point in curve.points])
    axes.plot(
        places,
        means,
        linestyle=LINE_STYLE[arm],
        marker=MARKER[arm],
        markersize=6,
        markerfacecolor=FILL[arm],
        markeredgecolor=HATCH_INK[arm],
        color=HATCH_INK[arm],
        label=model_name(curve.way),
    )
    for place, point in zip(places, curve.points, strict=True):
        if point.interval is not None:
            axes.vlines(place, point.interval.low, point.interval.high, color=HATCH_INK[arm], linewidth=1)
