"""Draw the answer as one picture: the difference with its interval, and the learning curves with the saving marked."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lesionlab.analysis.figures.drawing import FILL, HATCH_INK, INK, TEXT_POINTS, new_figure, quiet_axes
from lesionlab.analysis.figures.learning_curves import draw_curves
from lesionlab.analysis.statistics.endpoints import Judgement
from lesionlab.analysis.statistics.headline import Headline, SavingClaim
from lesionlab.analysis.statistics.learning import Learning
from lesionlab.analysis.words import captions as words

_QUIET = "#8a8a8a"
_ROOM = 1.15
"""Part of the horizontal axis beyond the widest interval."""


def answer_figure(found: Headline) -> Figure | None:
    """Draw both panels, or the one that there are numbers for; None without any."""
    differences = [one for one in _shown(found) if one.difference is not None]
    learned = found.learned if found.learned and any(len(arm.points) > 1 for arm in found.learned.arms) else None
    if not differences and learned is None:
        return None
    widths = [3.4] * bool(differences) + [3.8] * (learned is not None)
    figure = new_figure(max(sum(widths), 3.8), 2.9)
    panels = figure.subplots(1, len(widths), width_ratios=widths, squeeze=False)[0].tolist()
    if differences:
        _draw_differences(panels.pop(0), differences, found)
    if learned is not None:
        _draw_learning(panels.pop(0), learned, found.claim)
        figure.legend(
            *figure.axes[-1].get_legend_handles_labels(),
            loc="outside lower center",
            ncols=3,
            fontsize=TEXT_POINTS,
            frameon=False,
        )
    return figure


def _shown(found: Headline) -> Sequence[Judgement]:
    """The primary endpoint, then the other metrics of the same comparison."""
    primary = found.endpoints.primary
    if primary is None:
        return ()
    return [primary, *(one for one in found.endpoints.secondary if one.comparison == primary.comparison)]


def _draw_differences(axes: Axes, judged: Sequence[Judgement], found: Headline) -> None:
    """Draw one line per endpoint, the primary one on top and bold."""
    axes.axvline(0, color=INK, linewidth=1)
    reach = 0.05
    for row, one in enumerate(judged):
        primary = one is found.endpoints.primary
        color = HATCH_INK["fine-tuned"] if primary else _QUIET
        difference = one.difference or 0.0
        low, high = (one.interval.low, one.interval.high) if one.interval else (difference, difference)
        reach = max(reach, abs(low), abs(high))
        axes.plot([low, high], [-row, -row], color=color, linewidth=4 if primary else 2, solid_capstyle="butt")
        axes.plot(
            [difference],
            [-row],
            marker="o",
            markersize=9 if primary else 6,
            color=FILL["fine-tuned"] if primary else "#ffffff",
            markeredgecolor=color,
        )
        axes.text(
            0.0,
            -row + 0.2,
            words.endpoint_mark(one, primary=primary),
            transform=axes.get_yaxis_transform(),
            va="bottom",
            fontsize=TEXT_POINTS + (1 if primary else 0),
            fontweight="bold" if primary else "normal",
            color=INK if primary else _QUIET,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.0},
        )
    axes.set_xlim(-reach * _ROOM, reach * _ROOM)
    axes.set_ylim(-len(judged) + 0.6, 0.8)
    axes.set_yticks([])
    quiet_axes(axes)
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="x", labelsize=TEXT_POINTS)
    axes.locator_params(axis="x", nbins=4, symmetric=True)
    axes.set_xlabel(words.DIFFERENCE_AXIS, fontsize=TEXT_POINTS)
    for place, side, text in ((0.0, "left", words.DE_NOVO_BETTER), (1.0, "right", words.FINE_TUNED_BETTER)):
        axes.text(place, 0.03, text, transform=axes.transAxes, ha=side, fontsize=TEXT_POINTS - 1, color=_QUIET)
    axes.set_title(words.DIFFERENCE_PANEL, fontsize=TEXT_POINTS + 1, loc="left")


def _draw_learning(axes: Axes, learned: Learning, claim: SavingClaim) -> None:
    draw_curves(axes, learned, crossings=False)
    axes.set_title(words.learning_panel(learned.metric), fontsize=TEXT_POINTS + 1, loc="left")
    crossings = [arm.crossing.studies for arm in learned.arms if arm.crossing and arm.crossing.reached]
    shown = [point.mean for arm in learned.arms for point in arm.points]
    bounds = [
        bound
        for arm in learned.arms
        for point in arm.points
        if point.interval
        for bound in (point.interval.low, point.interval.high)
    ]
    low, high = min(shown + bounds), max(shown + bounds)
    if learned.aim is not None:
        low, high = min(low, learned.aim.mean), max(high, learned.aim.mean)
    room = max(high - low, 0.1)
    # Room below the curves for the arrow.
    axes.set_ylim(max(-0.02, low - 0.45 * room), min(1.02, high + 0.15 * room))
    if claim is SavingClaim.CLAIMED and learned.aim and learned.saving and len(crossings) == len(learned.arms):
        _mark_saving(axes, crossings, learned.aim.mean, words.saving_mark(learned.saving))


def _mark_saving(axes: Axes, crossings: Sequence[float], target: float, text: str) -> None:
    """Draw an arrow below the curves from where one arm reaches the target to where the other does."""
    few, many = min(crossings), max(crossings)
    foot, top = axes.get_ylim()
    height = foot + 0.07 * (top - foot)
    axes.vlines([few, many], foot, target, color=_QUIET, linewidth=0.9, linestyle=":")
    arrow = {"arrowstyle": "-|>", "linewidth": 2.2, "color": INK, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", (few, height), (many, height), arrowprops=arrow)
    axes.annotate(
        text,
        (float(np.sqrt(few * many)), height),
        (0, 4),
        textcoords="offset points",
        ha="center",
        va="bottom",
        fontsize=TEXT_POINTS,
        fontweight="bold",
        color=INK,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8},
    )
