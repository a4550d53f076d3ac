"""Summaries and effects in; the paper's Table 3 out, as data and as CSV.

One table per setting and default model: its own row, then fine-tuned and de novo at each size. Dice is ours.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from io import StringIO

from lesionlab.analysis.methods.student import ALPHA
from lesionlab.analysis.statistics.comparisons import (
    Unit,
    grader_with_defaults,
    pairs_of_methods,
    pairs_with_default,
    pairs_with_grader,
    versus,
)
from lesionlab.analysis.statistics.conditions import METRICS, Condition, Group, Metric, groups
from lesionlab.analysis.statistics.summary import Summary
from storage_schemas.results import EffectRow, StudyRow

METRIC_TITLES: dict[Metric, str] = {"sensitivity": "Sensitivity", "ppv": "PPV", "dice": "Dice (our addition)"}


@dataclass(frozen=True)
class Measure:
    """One metric of one line: mean ± SE and the p values beside it; None where the line has no such comparison."""

    summary: Summary
    against_default: EffectRow | None
    between_methods: EffectRow | None
    """Fine-tuned against de novo at this size; on the fine-tuned line, as in the paper."""
    against_grader: EffectRow | None = None


@dataclass(frozen=True)
class Line:
    """One model of the table."""

    condition: Condition
    measures: Mapping[Metric, Measure]


@dataclass(frozen=True)
class PerformanceTable:
    """All models of one setting that belong to one default model; `source` is None where the study has none."""

    source: str | None
    lines: tuple[Line, ...]
    setting: str = ""
    """As EffectRow.setting: `depth 3`; empty where the study has one setting."""


def performance_tables(summaries: Sequence[Summary], effects: Sequence[EffectRow]) -> tuple[PerformanceTable, ...]:
    """One table per setting and default model, models in the paper's order."""
    found = groups(summary.condition for summary in summaries)
    return tuple(_table(group, source, summaries, effects) for group in found for source in _sources(group))


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
    return {"default": "Default", "grader": "Grader 2", "fine-tuned": "FT", "de-novo": "DN"}[condition.arm]


def key_of(effects: Sequence[EffectRow], unit: Unit) -> tuple[str, ...]:
    """What one must know to read the table, one sentence each; only what holds for these effects."""
    paired = next((e.family for e in effects if e.test == "paired-t"), None)
    unpaired = {
        name: next((e.family for e in effects if e.test == "unpaired-t" and f"against {other}" in e.comparison), None)
        for name, other in (("default", "default model"), ("Grader 2", "Grader 2"))
    }
    lines = [
        "Mean ± standard error over the tested studies. FT: fine-tuned, DN: de novo, N: labelled training studies."
    ]
    lines += [
        f"p {name}: two-tailed unpaired t against {'the default model' if name == 'default' else name}, {unit}; "
        f"*: p ≤ {ALPHA}/{family} (Bonferroni, m = {family})."
        for name, family in unpaired.items()
        if family
    ]
    if paired:
        lines.append(
            f"p method: two-tailed paired t, FT against DN at the same N; "
            f"*: p ≤ {ALPHA}/{paired} (Bonferroni, m = {paired})."
        )
    for effect in effects:
        if effect.test == "rm-anova" and effect.p is not None and effect.metric != "dice":
            setting = f" ({effect.setting})" if effect.setting else ""
            lines.append(
                f"{METRIC_TITLES[effect.metric]}, repeated-measures ANOVA over all trained models{setting}: "
                f"F = {effect.statistic:.2f}, {p_words(effect)} ({effect.note}; n = {effect.n})."
            )
    lines.append("–: cannot be computed; the note of that comparison (effects.csv) says why.")
    return tuple(lines)


def performance_csv(tables: Sequence[PerformanceTable]) -> str:
    """The tables in full precision, one line per model and default model."""
    return csv_text([_record(table, line) for table in tables for line in table.lines])


def summary_csv(summaries: Sequence[Summary]) -> str:
    """Every mean, SE, n and number of undefined values."""
    return csv_text(
        [
            _model_columns(s.condition)
            | {"metric": s.metric, "mean": s.mean, "se": s.se, "n": s.n, "undefined": s.undefined}
            for s in summaries
        ]
    )


def effects_csv(effects: Sequence[EffectRow]) -> str:
    """Every comparison, with n, m and the reason where there is no p."""
    return csv_text([effect.model_dump() for effect in effects])


def studies_csv(rows: Iterable[StudyRow]) -> str:
    """Every tested study under every model; without the inference time, which differs between equal runs."""
    return csv_text([row.model_dump(exclude={"inference_s"}) for row in rows])


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
    group: Group, source: str | None, summaries: Sequence[Summary], effects: Sequence[EffectRow]
) -> PerformanceTable:
    models = [model for model in group.conditions if model.source in (None, source)]
    own = [effect for effect in effects if effect.setting == group.setting]
    return PerformanceTable(source, tuple(_line(model, models, summaries, own) for model in models), group.setting)


def _line(
    model: Condition, models: Sequence[Condition], summaries: Sequence[Summary], effects: Sequence[EffectRow]
) -> Line:
    partners = {
        "against_default": _partner(model, [*pairs_with_default(models), *grader_with_defaults(models)]),
        "between_methods": _partner(model, pairs_of_methods(models)),
        "against_grader": _partner(model, pairs_with_grader(models)),
    }

    def effect(metric: Metric, other: Condition | None) -> EffectRow | None:
        wanted = (metric, other and versus(model, other), model.training_size)
        return next((e for e in effects if (e.metric, e.comparison, e.training_size) == wanted), None)

    return Line(
        model,
        {
            s.metric: Measure(s, **{name: effect(s.metric, other) for name, other in partners.items()})
            for s in summaries
            if s.condition == model
        },
    )


def _partner(model: Condition, pairs: Sequence[tuple[Condition, Condition]]) -> Condition | None:
    return next((other for first, other in pairs if first == model), None)


def _record(table: PerformanceTable, line: Line) -> dict[str, object]:
    record: dict[str, object] = {"setting": table.setting, "default_model": table.source} | _model_columns(
        line.condition
    )
    for metric in METRICS:
        measure = line.measures[metric]
        summary = measure.summary
        record |= {
            f"{metric}_mean": summary.mean,
            f"{metric}_se": summary.se,
            f"{metric}_n": summary.n,
            f"{metric}_undefined": summary.undefined,
        }
        for name, effect in (
            ("default", measure.against_default),
            ("grader", measure.against_grader),
            ("method", measure.between_methods),
        ):
            record |= {
                f"{metric}_p_{name}": effect.p if effect else None,
                f"{metric}_p_{name}_significant": effect.significant if effect else None,
            }
    return record


def _model_columns(condition: Condition) -> dict[str, object]:
    return asdict(condition)
