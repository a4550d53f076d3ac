"""The paper's Table 3 as data: one table per stratum and default model.

First the default model's own line, then fine-tuned and de novo at each size. Dice is ours. If an experiment has several
ways of training de novo, a fine-tuned model is compared with each of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto

from lesionlab.analysis.statistics.arm_comparisons import ArmComparison, arm_comparisons
from lesionlab.analysis.statistics.comparisons import (
    Unit,
    pairs_of_methods,
    pairs_with_default,
    pairs_with_rater,
    rater_with_defaults,
)
from lesionlab.analysis.statistics.conditions import Condition, Group, Stratum, groups
from lesionlab.analysis.statistics.effects import Effect, Pair
from lesionlab.analysis.statistics.elsewhere import from_elsewhere, pairs_with_others
from lesionlab.analysis.statistics.summary import Summary
from storage_schemas.metrics import Metric


class Against(Enum):
    """What a column of p values compares its lines with."""

    DEFAULT = auto()
    RATER = auto()
    DE_NOVO = auto()
    OTHER = auto()


@dataclass(frozen=True)
class Measure:
    """One metric of one line: mean ± SE and the tests beside it; None where the line has no such comparison."""

    summary: Summary
    against_default: Effect | None
    between_methods: Mapping[Condition, Effect]
    """Fine-tuned versus each de novo model of this size, by its way; on the fine-tuned line, as in the paper."""
    against_rater: Effect | None
    against_others: Mapping[Condition, Effect] = field(default_factory=dict)
    """Versus each model from elsewhere."""


@dataclass(frozen=True)
class PColumn:
    """One column of p values beside a metric."""

    against: Against
    way: Condition | None = None
    """Which way of training de novo."""
    model: Condition | None = None
    """Which model from elsewhere."""

    def test_of(self, measure: Measure) -> Effect | None:
        """Return the test that the column shows for a measure."""
        if self.model is not None:
            return measure.against_others.get(self.model)
        if self.way is not None:
            return measure.between_methods.get(self.way)
        return measure.against_default if self.against is Against.DEFAULT else measure.against_rater


@dataclass(frozen=True)
class Line:
    """One model of the table."""

    condition: Condition
    measures: Mapping[Metric, Measure]


@dataclass(frozen=True)
class PerformanceTable:
    """All models of one stratum that belong to one default model; `source` is None where there is none."""

    source: str | None
    lines: tuple[Line, ...]
    stratum: Stratum
    anovas: tuple[Effect, ...]
    """Of the stratum, over the trained models of every source."""
    unit: Unit
    """Of the unpaired tests."""

    @property
    def models(self) -> tuple[Condition, ...]:
        """One per line."""
        return tuple(line.condition for line in self.lines)

    @property
    def ways_de_novo(self) -> tuple[Condition, ...]:
        """The ways of training de novo, each over its sizes."""
        return tuple(dict.fromkeys(model.way for model in self.models if model.arm == "de-novo"))

    @property
    def arm_comparisons(self) -> tuple[ArmComparison, ...]:
        """Every way of fine-tuning with every way of training de novo."""
        return arm_comparisons(Group(self.stratum, self.models))

    def p_columns(self, metrics: Iterable[Metric]) -> tuple[PColumn, ...]:
        """Return the columns of p values for which the table has a test of one of these metrics."""
        measures = [line.measures[metric] for line in self.lines for metric in metrics]
        possible = (
            PColumn(Against.DEFAULT),
            PColumn(Against.RATER),
            *(PColumn(Against.DE_NOVO, way) for way in self.ways_de_novo),
            *(PColumn(Against.OTHER, model=model) for model in from_elsewhere(self.models)),
        )
        return tuple(column for column in possible if any(column.test_of(measure) for measure in measures))


def performance_tables(
    summaries: Sequence[Summary], effects: Sequence[Effect], unit: Unit
) -> tuple[PerformanceTable, ...]:
    """Build one table per stratum and default model, models in the paper's order; `unit` is that of the effects."""
    found = groups(summary.condition for summary in summaries)
    return tuple(_table(group, source, summaries, effects, unit) for group in found for source in _sources(group))


def _sources(group: Group) -> list[str | None]:
    named = list(dict.fromkeys(model.source for model in group.conditions if model.source and model.arm != "other"))
    return [*named] or [None]


def _table(
    group: Group, source: str | None, summaries: Sequence[Summary], effects: Sequence[Effect], unit: Unit
) -> PerformanceTable:
    models = [model for model in group.conditions if model.source in (None, source) or model.arm == "other"]
    own = [effect for effect in effects if effect.stratum == group.stratum]
    lines = tuple(_line(model, models, summaries, own) for model in models)
    return PerformanceTable(source, lines, group.stratum, tuple(e for e in own if e.test == "rm-anova"), unit)


def _line(
    model: Condition, models: Sequence[Condition], summaries: Sequence[Summary], effects: Sequence[Effect]
) -> Line:
    found = {(effect.metric, effect.pair): effect for effect in effects}

    def against(pairs: Sequence[Pair], metric: Metric) -> dict[Condition, Effect]:
        own = [pair for pair in pairs if pair.model == model and (metric, pair) in found]
        return {pair.other.way: found[metric, pair] for pair in own}

    def measure(summary: Summary) -> Measure:
        default = against([*pairs_with_default(models), *rater_with_defaults(models)], summary.metric)
        rater = against(pairs_with_rater(models), summary.metric)
        return Measure(
            summary,
            against_default=next(iter(default.values()), None),
            between_methods=against(pairs_of_methods(models), summary.metric),
            against_rater=next(iter(rater.values()), None),
            against_others={
                pair.other: found[summary.metric, pair]
                for pair in pairs_with_others(models)
                if pair.model == model and (summary.metric, pair) in found
            },
        )

    return Line(model, {s.metric: measure(s) for s in summaries if s.condition == model})
