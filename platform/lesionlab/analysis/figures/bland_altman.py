"""Draw Bland-Altman plots of lesion volume: one panel per model, bias and 95 % limits of agreement as lines."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lesionlab.analysis.figures.drawing import FILL, HATCH_INK, INK, TEXT_POINTS, new_figure, quiet_axes
from lesionlab.analysis.statistics.conditions import Condition
from lesionlab.analysis.statistics.volume_agreement import ModelVolumes
from lesionlab.analysis.words import further as words
from lesionlab.analysis.words.captions import model_above

_BESIDE = 3
MOST_PANELS = 6


def shown_volumes(found: Sequence[ModelVolumes]) -> tuple[ModelVolumes, ...]:
    """Choose the rater and the trained models of the largest size, at most MOST_PANELS; else the untrained ones."""
    trained = [one for one in found if one.condition.trained]
    largest = max((one.condition.training_size for one in trained), default=0)
    raters = [one for one in found if one.condition.arm == "rater"]
    chosen = [one for one in trained if one.condition.training_size == largest] or [
        one for one in found if one.condition.arm == "default"
    ]
    return tuple([*raters, *chosen][:MOST_PANELS])


def agreement_figure(found: Sequence[ModelVolumes]) -> Figure:
    """Draw a panel for each of these models, all with the same axes."""
    beside = min(len(found), _BESIDE)
    lines = ceil(len(found) / _BESIDE)
    figure = new_figure(2.4 * max(beside, 2), 2.6 * lines)
    panels = figure.subplots(lines, beside, sharex=True, sharey=True, squeeze=False).ravel()
    for panel, one in zip(panels, found, strict=False):
        _draw(panel, one, [other.condition for other in found])
    for panel in panels[len(found) :]:
        panel.set_visible(False)
    across, up = words.AGREEMENT_AXES
    figure.supxlabel(across, fontsize=TEXT_POINTS)
    figure.supylabel(up, fontsize=TEXT_POINTS)
    return figure


def _draw(axes: Axes, one: ModelVolumes, among: Sequence[Condition]) -> None:
    arm = one.condition.arm
    means = [(pair.predicted_ml + pair.reference_ml) / 2 for pair in one.pairs]
    differences = [pair.predicted_ml - pair.reference_ml for pair in one.pairs]
    axes.scatter(means, differences, s=16, color=FILL[arm], edgecolor=HATCH_INK[arm], linewidth=0.7, zorder=3)
    axes.axhline(0, color="#b5b5b5", linewidth=0.8, zorder=1)
    axes.axhline(one.agreement.bias, color=INK, linewidth=1.1, zorder=2)
    for limit in (one.agreement.limits.low, one.agreement.limits.high):
        axes.axhline(limit, color=INK, linewidth=0.9, linestyle="--", zorder=2)
    axes.set_title(model_above(one.condition, among), fontsize=TEXT_POINTS, loc="left")
    axes.tick_params(axis="x", labelsize=TEXT_POINTS)
    axes.locator_params(axis="x", nbins=4, prune="upper")  # the last label would touch the next panel's first
    quiet_axes(axes)
