"""Write results as CSV for programs, in full precision."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from io import StringIO

from lesionlab.analysis.statistics.conditions import Condition
from lesionlab.analysis.statistics.effects import Effect
from lesionlab.analysis.statistics.elsewhere import from_elsewhere
from lesionlab.analysis.statistics.learning import Learning
from lesionlab.analysis.statistics.summary import Summary
from lesionlab.analysis.statistics.tables import Line, PerformanceTable
from lesionlab.analysis.words.models import comparison_name, effect_name, model_name, model_title, stratum_name
from lesionlab.analysis.words.reasons import note
from lesionlab.delimited import shown_as_text
from storage_schemas.axes import told
from storage_schemas.base import as_columns
from storage_schemas.metrics import METRICS
from storage_schemas.results import EffectRow, StudyRow


def performance_csv(tables: Sequence[PerformanceTable]) -> str:
    """Write one line per model and default model.

    The tests of fine-tuned versus de novo are `…_p_method`; if a table has several ways of training de novo,
    `…_p_method_de_novo_at_learning_rate_0.0001` and so on. Those versus a model from elsewhere are `…_p_versus_NAME`.
    """
    several = any(len(table.ways_de_novo) > 1 for table in tables)
    ways = dict.fromkeys(way for table in tables for way in table.ways_de_novo) if several else None
    axes = told(model for table in tables for model in table.models)
    others = from_elsewhere(model for table in tables for model in table.models)
    return csv_text([_record(table, line, axes, ways, others) for table in tables for line in table.lines])


def summary_csv(summaries: Sequence[Summary]) -> str:
    """Write every mean, SE, n and number of undefined values."""
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


def effects_csv(effects: Sequence[Effect]) -> str:
    """Write every comparison, with n, m and the reason if there is no p."""
    rows = map(effect_row, effects)
    return csv_text([{name: getattr(row, name) for name in EFFECT_COLUMNS} for row in rows])


def effect_row(effect: Effect) -> EffectRow:
    """Return a comparison in its stored form, with its names as text."""
    return EffectRow(
        metric=effect.metric,
        test=effect.test,
        comparison=effect_name(effect),
        training_size=effect.training_size,
        n=effect.n,
        n_other=effect.n_other,
        undefined=effect.undefined,
        difference=effect.difference,
        statistic=effect.statistic,
        p=effect.p,
        p_bonferroni=effect.p_bonferroni,
        family=effect.family,
        significant=effect.significant,
        stratum=stratum_name(effect.stratum),
        note=note(effect),
        p_holm=effect.p_holm,
        p_welch=effect.p_welch,
    )


def learning_csv(learning: Sequence[Learning]) -> str:
    """Write every point of every learning curve: mean, 95 % CI and n, at each training size."""
    return csv_text(
        [
            {
                "stratum": stratum_name(learned.stratum),
                "comparison": comparison_name(learned.comparison),
                "metric": learned.metric,
                "arm": model_name(arm.way),
                "training_size": point.training_size,
                "n": point.n,
                "mean": point.mean,
                "mean_low": point.interval.low if point.interval else None,
                "mean_high": point.interval.high if point.interval else None,
                "interval_over": learned.unit,
                "clusters": learned.clusters,
            }
            for learned in learning
            for arm in learned.arms
            for point in arm.points
        ]
    )


def studies_csv(rows: Iterable[StudyRow]) -> str:
    """Write every tested study under every model; without the inference time, which differs between equal runs."""
    own = [{name: value for name, value in as_columns(row).items() if name in row.model_fields_set} for row in rows]
    written = [name for name in StudyRow.model_fields if name != "inference_s" and any(name in row for row in own)]
    return csv_text([{name: row.get(name) for name in written} for row in own])


def csv_text(records: Sequence[Mapping[str, object]]) -> str:
    """Write records with equal columns as CSV; None is an empty field."""
    sheet = StringIO()
    if records:
        writer = csv.writer(sheet, lineterminator="\n")
        writer.writerow(shown_as_text(records[0]))
        writer.writerows(shown_as_text(record[name] for name in records[0]) for record in records)
    return sheet.getvalue()


def _record(
    table: PerformanceTable,
    line: Line,
    axes: Sequence[str],
    ways: Iterable[Condition] | None,
    others: Sequence[Condition],
) -> dict[str, object]:
    record: dict[str, object] = {"stratum": stratum_name(table.stratum), "default_model": table.source}
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
            compared |= {
                f"method_{model_name(way).replace(' ', '_')}": measure.between_methods.get(way) for way in ways
            }
        compared |= {f"versus_{model_title(other)}": measure.against_others.get(other) for other in others}
        for name, effect in compared.items():
            record |= {
                f"{metric}_p_{name}": effect.p if effect else None,
                f"{metric}_p_{name}_significant": effect.significant if effect else None,
            }
    return record


def _model_columns(condition: Condition, axes: Iterable[str]) -> dict[str, object]:
    columns = as_columns(condition)
    return {name: columns[name] for name in axes}
