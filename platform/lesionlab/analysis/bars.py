"""One performance table in; the paper's Figure 3A out: bars of mean ± SE by training size, with significance marks."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from lesionlab.analysis.conditions import Condition, Metric
from lesionlab.analysis.drawing import FILL, HATCH, HATCH_INK, TEXT_POINTS, new_figure
from lesionlab.analysis.tables import Line, PerformanceTable
from storage_schemas.results import Arm

BAR_WIDTH = 0.36
PANELS: tuple[tuple[Metric, str], ...] = (
    ("sensitivity", "Lesionwise sensitivity"),
    ("ppv", "Lesionwise positive predictive value"),
)
LEGEND: tuple[tuple[Arm, str], ...] = (
    ("default", "Default model"),
    ("de-novo", "De novo"),
    ("fine-tuned", "Fine-tuned"),
)

_INK = "#222222"
_MARK_GAP = 0.015
_MARK_HEIGHT = 0.06


def bar_figure(table: PerformanceTable) -> Figure:
    """Sensitivity and PPV side by side; default, de novo and fine-tuned by training size."""
    figure = new_figure(7.2, 3.5)
    axes = figure.subplots(1, len(PANELS), sharey=True)
    for panel, (metric, title) in zip(axes, PANELS, strict=True):
        _draw_panel(panel, table, metric, title)
    axes[0].set_ylabel("Mean over test studies, ±1 SE", fontsize=TEXT_POINTS)
    figure.legend(handles=_legend(), loc="outside lower center", ncols=3, fontsize=TEXT_POINTS - 1, frameon=False)
    return figure


def _places(table: PerformanceTable) -> dict[Condition, float]:
    """Where the bars stand: one group a size, de novo left and fine-tuned right in it."""
    sizes = sorted({line.condition.training_size for line in table.lines})
    offset: dict[Arm, float] = {"default": 0, "de-novo": -BAR_WIDTH / 2, "fine-tuned": BAR_WIDTH / 2}
    models = [line.condition for line in table.lines]
    return {model: sizes.index(model.training_size) + offset[model.arm] for model in models}


def _draw_panel(axes: Axes, table: PerformanceTable, metric: Metric, title: str) -> None:
    places = _places(table)
    tops = {line.condition: _draw_bar(axes, places[line.condition], line, metric) for line in table.lines}
    for line in table.lines:
        effect = line.measures[metric].between_methods
        if effect and effect.significant:
            tuned, fresh = line.condition, Condition("de-novo", None, line.condition.training_size)
            _draw_bracket(axes, places[fresh], places[tuned], max(tops[fresh], tops[tuned]))
    ticks = {round(places[line.condition]): _tick(line) for line in table.lines}
    axes.set_xticks(list(ticks), list(ticks.values()), fontsize=TEXT_POINTS)
    axes.set_xlabel("Labelled training studies", fontsize=TEXT_POINTS)
    axes.set_title(title, fontsize=TEXT_POINTS + 1, loc="left")
    axes.set_ylim(0, 1.1)
    axes.set_yticks([0, 0.2, 0.4, 0.6, 0.8, 1.0])
    axes.tick_params(axis="y", labelsize=TEXT_POINTS)
    axes.tick_params(axis="x", length=0)
    axes.grid(axis="y", color="#e3e3e3", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines["left"].set_bounds(0, 1)


def _draw_bar(axes: Axes, x: float, line: Line, metric: Metric) -> float:
    """Draws one bar with its error bar and mark; returns the height where further marks may start."""
    arm, measure = line.condition.arm, line.measures[metric]
    mean, se = measure.summary.mean, measure.summary.se or 0.0
    if mean is None:
        axes.text(x, 0.02, "no value", ha="center", va="bottom", rotation=90, fontsize=TEXT_POINTS - 2, color=_INK)
        return 0.25
    axes.bar(x, mean, BAR_WIDTH, color=FILL[arm], hatch=HATCH[arm], edgecolor=HATCH_INK[arm], linewidth=0.8, zorder=2)
    if measure.summary.se is not None:
        axes.errorbar(x, mean, yerr=se, color=_INK, linewidth=1, capsize=2.5, capthick=1, zorder=3)
    top = mean + se + _MARK_GAP
    if measure.against_default and measure.against_default.significant:
        axes.text(x, top - 0.02, "*", ha="center", va="bottom", fontsize=TEXT_POINTS + 3, color=_INK)
        top += _MARK_HEIGHT
    return top


def _draw_bracket(axes: Axes, left: float, right: float, height: float) -> None:
    foot = height + _MARK_GAP
    axes.plot([left, left, right, right], [foot, foot + 0.015, foot + 0.015, foot], color=_INK, linewidth=0.9)
    axes.text((left + right) / 2, foot + 0.015, "#", ha="center", va="bottom", fontsize=TEXT_POINTS - 1, color=_INK)


def _tick(line: Line) -> str:
    return "none\n(default)" if line.condition.arm == "default" else str(line.condition.training_size)


def _legend() -> list[Patch | Line2D]:
    """Three boxes in the first row, two marks in the second; a legend fills its columns from top to bottom."""
    default, fresh, tuned = (
        Patch(facecolor=FILL[arm], hatch=HATCH[arm], edgecolor=HATCH_INK[arm], label=title) for arm, title in LEGEND
    )
    star, hash_sign = (
        Line2D([], [], linestyle="none", marker=mark, markersize=6, color=_INK, label=f"{title} (Bonferroni)")
        for mark, title in (("$*$", "differs from the default model"), (r"$\#$", "fine-tuned differs from de novo"))
    )
    return [default, star, fresh, hash_sign, tuned]
