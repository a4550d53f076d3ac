"""Summaries and effects in; the paper's Table 3 out, as data and as CSV.

One table per stratum and default model: its own row, then fine-tuned and de novo at each size. Dice is ours. Where a
study has several ways of training de novo, a fine-tuned model meets each of them.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO

from lesionlab.analysis.statistics.arm_comparisons import ArmComparison, arm_comparisons
from lesionlab.analysis.statistics.comparisons import (
    Unit,
    pairs_of_methods,
    pairs_with_default,
    pairs_with_rater,
    rater_with_defaults,
    versus,
)
from lesionlab.analysis.statistics.conditions import METRICS, Condition, Group, Metric, groups
from lesionlab.analysis.statistics.summary import Summary
from storage_schemas.axes import axes_of, told
from storage_schemas.base import as_columns
from storage_schemas.results import EffectRow, StudyRow

METRIC_TITLES: dict[Metric, str] = {"sensitivity": "Sensitivity", "ppv": "PPV", "dice": "Dice (our addition)"}


@dataclass(frozen=True)
class Measure:
    """One metric of one line: mean ± SE and the p values beside it; None where the line has no such comparison."""

    summary: Summary
    against_default: EffectRow | None
    between_methods: Mapping[str, EffectRow]
    """Fine-tuned against each de novo model of this size, by its name; on the fine-tuned line, as in the paper."""
    against_rater: EffectRow | None


@dataclass(frozen=True)
class Line:
    """One model of the table."""

    condition: Condition
    measures: Mapping[Metric, Measure]


@dataclass(frozen=True)
class PerformanceTable:
    """All models of one stratum that belong to one default model; `source` is None where the study has none."""

    source: str | None
    lines: tuple[Line, ...]
    stratum: str
    """As EffectRow.stratum: `depth 3`; empty where the study has one stratum."""
    anovas: tuple[EffectRow, ...]
    """Of the stratum, over the trained models of every source."""
    unit: Unit
    """Of the unpaired tests."""

    @property
    def models(self) -> tuple[Condition, ...]:
        """One a line."""
        return tuple(line.condition for line in self.lines)

    @property
    def ways_de_novo(self) -> tuple[str, ...]:
        """Names of the ways of training de novo, each over its sizes."""
        return tuple(dict.fromkeys(model.model for model in self.models if model.arm == "de-novo"))

    @property
    def arm_comparisons(self) -> tuple[ArmComparison, ...]:
        """Every way of fine-tuning with every way of training de novo."""
        return arm_comparisons(Group(self.stratum, self.models))


def performance_tables(
    summaries: Sequence[Summary], effects: Sequence[EffectRow], unit: Unit
) -> tuple[PerformanceTable, ...]:
    """One table per stratum and default model, models in the paper's order; `unit` is that of the effects."""
    found = groups(summary.condition for summary in summaries)
    return tuple(_table(group, source, summaries, effects, unit) for group in found for source in _sources(group))


def mean_se(summary: Summary) -> str:
    """`0.55 ± 0.02`, as in the paper; a dash where there is nothing to average."""
    if summary.mean is None:
        return "–"
    return f"{summary.mean:.2f}" if summary.se is None else f"{summary.mean:.2f} ± {summary.se:.2f}"


def p_text(effect: EffectRow | None) -> str:
    """`0.003*`, `<0.001*`, `0.614`; a dash where the test has no p; empty where there is no test."""
    if effect is None:
        return ""
    if effect.p is None:
        return "–"
    return ("<0.001" if effect.p < 0.0005 else f"{effect.p:.3f}") + ("*" if effect.significant else "")


def p_words(effect: EffectRow) -> str:
    """`p = 0.003` or `p < 0.001`, for use in a sentence. The effect must have a p."""
    return "p < 0.001" if effect.p is not None and effect.p < 0.0005 else f"p = {effect.p:.3f}"


def short_name(condition: Condition) -> str:
    """As in the paper's tables: `Default`, `Grader 2`, `FT`, `DN`."""
    return {"default": "Default", "rater": "Grader 2", "fine-tuned": "FT", "de-novo": "DN"}[condition.arm]


def method_name(condition: Condition, among: Sequence[Condition]) -> str:
    """`FT`, `DN`; with what tells it from the others of its arm, where there are several."""
    return ", ".join([short_name(condition), *variant(condition, among)])


def variant(condition: Condition, among: Sequence[Condition]) -> tuple[str, ...]:
    """What tells a model from others of its arm: `("learning rate 1e-05", "nothing frozen")`; empty where nothing."""
    alike = [other for other in among if other.arm == condition.arm]
    return tuple(
        axis.words(getattr(condition, name))
        for name, axis in axes_of("method", "method or stratum").items()
        if len({getattr(other, name) for other in alike}) > 1
    )


def performance_csv(tables: Sequence[PerformanceTable]) -> str:
    """The tables in full precision, one line per model and default model.

    The tests of fine-tuned against de novo are `…_p_method`; where a table has several ways of training de novo,
    `…_p_method_de_novo_at_learning_rate_0.0001` and so on.
    """
    several = any(len(table.ways_de_novo) > 1 for table in tables)
    ways = dict.fromkeys(way for table in tables for way in table.ways_de_novo) if several else None
    axes = told(model for table in tables for model in table.models)
    return csv_text([_record(table, line, axes, ways) for table in tables for line in table.lines])


def summary_csv(summaries: Sequence[Summary]) -> str:
    """Every mean, SE, n and number of undefined values."""
    axes = told(summary.condition for summary in summaries)
    return csv_text(
        [
            _model_columns(s.condition, axes)
            | {"metric": s.metric, "mean": s.mean, "se": s.se, "n": s.n, "undefined": s.undefined}
            for s in summaries
        ]
    )


EFFECT_COLUMNS = (
    *("metric", "test", "comparison", "training_size", "n", "n_other", "undefined", "difference", "statistic"),
    *("p", "p_bonferroni", "family", "significant", "stratum", "note", "p_holm", "p_welch"),
)
"""Of effects.csv."""


def effects_csv(effects: Sequence[EffectRow]) -> str:
    """Every comparison, with n, m and the reason where there is no p."""
    return csv_text([{name: getattr(effect, name) for name in EFFECT_COLUMNS} for effect in effects])


def studies_csv(rows: Iterable[StudyRow]) -> str:
    """Every tested study under every model; without the inference time, which differs between equal runs."""
    own = [{name: value for name, value in as_columns(row).items() if name in row.model_fields_set} for row in rows]
    written = [name for name in StudyRow.model_fields if name != "inference_s" and any(name in row for row in own)]
    return csv_text([{name: row.get(name) for name in written} for row in own])


def csv_text(records: Sequence[Mapping[str, object]]) -> str:
    """Records with equal columns as CSV; None is an empty field."""
    sheet = StringIO()
    if records:
        writer = csv.DictWriter(sheet, fieldnames=list(records[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(records)
    return sheet.getvalue()


def _sources(group: Group) -> list[str | None]:
    named = list(dict.fromkeys(model.source for model in group.conditions if model.source))
    return [*named] or [None]


def _table(
    group: Group, source: str | None, summaries: Sequence[Summary], effects: Sequence[EffectRow], unit: Unit
) -> PerformanceTable:
    models = [model for model in group.conditions if model.source in (None, source)]
    own = [effect for effect in effects if effect.stratum == group.stratum]
    lines = tuple(_line(model, models, summaries, own) for model in models)
    return PerformanceTable(source, lines, group.stratum, tuple(e for e in own if e.test == "rm-anova"), unit)


def _line(
    model: Condition, models: Sequence[Condition], summaries: Sequence[Summary], effects: Sequence[EffectRow]
) -> Line:
    found = {(effect.metric, effect.comparison, effect.training_size): effect for effect in effects}

    def against(pairs: Sequence[tuple[Condition, Condition]], metric: Metric) -> dict[str, EffectRow]:
        partners = {
            other.model: (metric, versus(model, other), model.training_size) for first, other in pairs if first == model
        }
        return {name: found[test] for name, test in partners.items() if test in found}

    def measure(summary: Summary) -> Measure:
        default = against([*pairs_with_default(models), *rater_with_defaults(models)], summary.metric)
        rater = against(pairs_with_rater(models), summary.metric)
        return Measure(
            summary,
            against_default=next(iter(default.values()), None),
            between_methods=against(pairs_of_methods(models), summary.metric),
            against_rater=next(iter(rater.values()), None),
        )

    return Line(model, {s.metric: measure(s) for s in summaries if s.condition == model})


def _record(table: PerformanceTable, line: Line, axes: Sequence[str], ways: Iterable[str] | None) -> dict[str, object]:
    record: dict[str, object] = {"stratum": table.stratum, "default_model": table.source}
    record |= _model_columns(line.condition, axes)
    for metric in METRICS:
        measure = line.measures[metric]
        summary = measure.summary
        record |= {
            f"{metric}_mean": summary.mean,
            f"{metric}_se": summary.se,
            f"{metric}_n": summary.n,
            f"{metric}_undefined": summary.undefined,
        }
        compared = {"default": measure.against_default, "rater": measure.against_rater}
        if ways is None:
            compared["method"] = next(iter(measure.between_methods.values()), None)
        else:
            compared |= {f"method_{way.replace(' ', '_')}": measure.between_methods.get(way) for way in ways}
        for name, effect in compared.items():
            record |= {
                f"{metric}_p_{name}": effect.p if effect else None,
                f"{metric}_p_{name}_significant": effect.significant if effect else None,
            }
    return record


def _model_columns(condition: Condition, axes: Iterable[str]) -> dict[str, object]:
    columns = as_columns(condition)
    return {name: columns[name] for name in axes}
