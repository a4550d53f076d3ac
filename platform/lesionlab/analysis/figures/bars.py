"""Draw the paper's Figures 3A to 5A: bars of mean ± SE by training size, with marks for significant differences.

Three marks, all after Bonferroni: * versus the default model, & versus Grader 2, # fine-tuned versus de novo.
"""

from __future__ import annotations

from math import ceil

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from lesionlab.analysis.figures.drawing import INK, TEXT_POINTS, Look, looks, new_figure, quiet_axes
from lesionlab.analysis.statistics.comparisons import pairs_of_methods
from lesionlab.analysis.statistics.conditions import Condition
from lesionlab.analysis.statistics.tables import Measure, PerformanceTable
from lesionlab.analysis.words import captions as words
from lesionlab.analysis.words.captions import Mark
from lesionlab.analysis.words.models import ARMS, short_name, variant
from storage_schemas.metrics import Metric

GROUP_WIDTH = 0.76
WIDEST_BAR = 0.38
AGAINST_DEFAULT: Mark = "*"
AGAINST_RATER: Mark = "&"
BETWEEN_METHODS: Mark = "#"

_MARK_GAP = 0.015
_MARK_HEIGHT = 0.06
_LEAST_TOP = 1.1
_LEGEND_LINE_IN = 0.2
_LEGEND_COLUMNS = 4


def bar_figure(table: PerformanceTable) -> Figure:
    """Draw sensitivity and PPV side by side: default model, Grader 2, then de novo and fine-tuned by training size."""
    legend = _legend(table)
    several = any(variant(model, table.models) for model in table.models)
    figure = new_figure(7.2, 3.5 + _LEGEND_LINE_IN * ceil(len(legend) / (2 if several else _LEGEND_COLUMNS)))
    axes = figure.subplots(1, len(words.PANELS), sharey=True)
    tops = [
        _draw_panel(panel, table, metric, title)
        for panel, (metric, title) in zip(axes, words.PANELS.items(), strict=True)
    ]
    axes[0].set_ylim(0, max(_LEAST_TOP, *tops))
    axes[0].set_ylabel(words.BAR_AXIS, fontsize=TEXT_POINTS)
    figure.legend(
        handles=legend,
        loc="outside lower center",
        ncols=2 if several else min(len(legend), _LEGEND_COLUMNS),
        fontsize=TEXT_POINTS,
        frameon=False,
        title=_key(table),
        title_fontsize=TEXT_POINTS - 1.5,
    )
    return figure


def marks_of(measure: Measure) -> str:
    """Return the marks above one bar; the bracket between two bars is drawn separately."""
    compared = ((AGAINST_DEFAULT, measure.against_default), (AGAINST_RATER, measure.against_rater))
    return "".join(mark for mark, effect in compared if effect and effect.significant)


def _slots(table: PerformanceTable) -> list[list[Condition]]:
    """Group the bars: each untrained model alone, the trained ones by size, de novo first."""
    models = table.models
    sized = [model for model in models if model.training_size]
    sizes = sorted({model.training_size for model in sized})
    return [[model] for model in models if not model.training_size] + [
        sorted((model for model in sized if model.training_size == size), key=lambda model: model.arm) for size in sizes
    ]


def _bars(table: PerformanceTable) -> dict[Condition, tuple[float, float]]:
    """Return middle and width of every bar."""
    bars = {}
    for place, slot in enumerate(_slots(table)):
        width = min(WIDEST_BAR, GROUP_WIDTH / len(slot))
        for number, model in enumerate(slot):
            bars[model] = place + (number - (len(slot) - 1) / 2) * width, width
    return bars


def _draw_panel(axes: Axes, table: PerformanceTable, metric: Metric, title: str) -> float:
    """Draw sensitivity or PPV; return the height that it takes."""
    bars = _bars(table)
    lines = {line.condition: line for line in table.lines}
    look_of = looks(table.models)
    tops = {
        model: _draw_bar(axes, *bars[model], line.measures[metric], look_of[model]) for model, line in lines.items()
    }
    for fine_tuned, de_novo in pairs_of_methods(table.models):
        effect = lines[fine_tuned].measures[metric].between_methods.get(de_novo.way)
        if effect and effect.significant:
            left, right = bars[de_novo][0], bars[fine_tuned][0]
            under = [model for model, (middle, _) in bars.items() if left <= middle <= right]
            foot = max(tops[model] for model in under) + _MARK_GAP
            _draw_bracket(axes, left, right, foot)
            tops |= dict.fromkeys(under, foot + _MARK_HEIGHT)
    slots = _slots(table)
    axes.set_xticks(
        range(len(slots)), [str(slot[0].training_size or words.NO_SIZE) for slot in slots], fontsize=TEXT_POINTS
    )
    axes.set_xlim(-0.6, len(slots) - 0.4)
    axes.set_xlabel(words.TRAINING_SIZE_AXIS, fontsize=TEXT_POINTS)
    axes.set_title(title, fontsize=TEXT_POINTS + 1, loc="left")
    axes.set_yticks([0, 0.2, 0.4, 0.6, 0.8, 1.0])
    axes.tick_params(axis="x", length=0)
    quiet_axes(axes)
    axes.spines["left"].set_bounds(0, 1)
    return max(tops.values(), default=0.0)


def _draw_bar(axes: Axes, x: float, width: float, measure: Measure, look: Look) -> float:
    """Draw one bar with its error bar and marks; return the height where a bracket may start."""
    mean, se = measure.summary.mean, measure.summary.se or 0.0
    if mean is None:
        axes.text(x, 0.02, words.NO_VALUE, ha="center", va="bottom", rotation=90, fontsize=TEXT_POINTS - 2, color=INK)
        return 0.25
    axes.bar(x, mean, width, zorder=2, **look.patch)
    if measure.summary.se is not None:
        axes.errorbar(x, mean, yerr=se, color=INK, linewidth=1, capsize=2.5, capthick=1, zorder=3)
    top = mean + se + _MARK_GAP
    if marks := marks_of(measure):
        axes.text(x, top - 0.01, marks, ha="center", va="bottom", fontsize=TEXT_POINTS - 1, color=INK)
        top += _MARK_HEIGHT
    return top


def _draw_bracket(axes: Axes, left: float, right: float, foot: float) -> None:
    axes.plot([left, left, right, right], [foot, foot + 0.015, foot + 0.015, foot], color=INK, linewidth=0.9)
    middle = (left + right) / 2
    axes.text(middle, foot + 0.015, BETWEEN_METHODS, ha="center", va="bottom", fontsize=TEXT_POINTS - 1, color=INK)


def _key(table: PerformanceTable) -> str:
    """Explain the marks that the table could have."""
    arms = {model.arm for model in table.models}
    possible: dict[Mark, bool] = {
        AGAINST_DEFAULT: "default" in arms,
        AGAINST_RATER: "rater" in arms,
        BETWEEN_METHODS: {"fine-tuned", "de-novo"} <= arms,
    }
    return words.mark_key(mark for mark in words.MARKS if possible[mark])


def _legend(table: PerformanceTable) -> list[Patch]:
    """Return one entry per way of training, with what tells it from others of its arm."""
    look_of = looks(table.models)
    named = {
        ", ".join([short_name(model) if arm == "other" else name, *variant(model, table.models)]): look_of[model]
        for arm, name in ARMS.items()
        for model in table.models
        if model.arm == arm
    }
    return [Patch(label=name, **look.patch) for name, look in named.items()]
