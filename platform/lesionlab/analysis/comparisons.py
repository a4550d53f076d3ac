"""Study rows and the planned cells in; every comparison of the paper's protocol out, as EffectRows.

Per metric: one repeated-measures ANOVA over all trained models; fine-tuned against de novo at each size, paired by
study; each trained model against its default model, unpaired. Bonferroni's m counts the *planned* comparisons of one
kind, so that a study with cells still missing is not judged more leniently than the finished one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import product
from typing import Literal

import numpy as np

from lesionlab.analysis.conditions import (
    METRICS,
    Condition,
    Metric,
    cells_of,
    conditions,
    values_by_position,
    values_by_study,
)
from lesionlab.analysis.student import Outcome, paired_t, repeated_measures, significant, unpaired_t
from storage_schemas.results import EffectRow, StudyRow
from storage_schemas.runs import Cell

Unit = Literal["fold-averaged", "per-study"]

ANOVA_COMPARISON = "all trained models"


def compare(rows: Sequence[StudyRow], planned: Iterable[Cell], unit: Unit) -> tuple[EffectRow, ...]:
    """Every planned comparison, also those that cannot be computed: these have no p, and a note that says why.

    `unit` is the unit of analysis of the unpaired tests: values by test position averaged over the folds, or by study.
    """
    cells = frozenset(planned)
    missing = cells - cells_of(rows)
    return tuple(effect for metric in METRICS for effect in _column(rows, cells, missing, metric, unit))


def pairs_of_methods(trained: Sequence[Condition]) -> list[tuple[Condition, Condition]]:
    """Fine-tuned and de novo at the same size."""
    return [
        (tuned, fresh)
        for tuned, fresh in product(trained, trained)
        if (tuned.arm, fresh.arm) == ("fine-tuned", "de-novo") and tuned.training_size == fresh.training_size
    ]


def pairs_with_default(planned: Sequence[Condition]) -> list[tuple[Condition, Condition]]:
    """Each trained model with the default model that it comes from; de novo models with every default model."""
    return [
        (model, default)
        for model, default in product(planned, planned)
        if default.arm == "default" and model.arm != "default" and model.source in (None, default.source)
    ]


def versus(model: Condition, other: Condition) -> str:
    """Text of EffectRow.comparison; the size stands in its own column."""
    return f"{model.model} against {other.model}"


def _column(
    rows: Sequence[StudyRow], cells: frozenset[Cell], missing: frozenset[Cell], metric: Metric, unit: Unit
) -> Iterable[EffectRow]:
    planned = conditions(cells)
    trained = [condition for condition in planned if condition.arm != "default"]
    if trained:
        yield _anova(rows, trained, metric, _gaps(trained, cells, missing))
    methods, defaults = pairs_of_methods(trained), pairs_with_default(planned)
    for tuned, fresh in methods:
        yield _paired(rows, tuned, fresh, metric, len(methods), _gaps((tuned, fresh), cells, missing))
    for model, default in defaults:
        yield _unpaired(rows, model, default, metric, unit, len(defaults), _gaps((model, default), cells, missing))


def _anova(rows: Sequence[StudyRow], trained: Sequence[Condition], metric: Metric, gaps: str) -> EffectRow:
    tables = [table for condition in trained if (table := values_by_study(rows, condition, metric))]
    everywhere = sorted(set.intersection(*(set(table) for table in tables))) if tables else []
    complete = [study for study in everywhere if all(table[study] is not None for table in tables)]
    values_SM = np.array([[table[study] for table in tables] for study in complete], dtype=float)
    return _effect(
        repeated_measures(values_SM.reshape(len(complete), len(tables))),
        metric=metric,
        test="rm-anova",
        comparison=ANOVA_COMPARISON,
        n=len(complete),
        undefined=len(everywhere) - len(complete),
        gaps=gaps,
    )


def _paired(
    rows: Sequence[StudyRow], tuned: Condition, fresh: Condition, metric: Metric, family: int, gaps: str
) -> EffectRow:
    first, second = values_by_study(rows, tuned, metric), values_by_study(rows, fresh, metric)
    both = sorted(set(first) & set(second))
    pairs = [(a, b) for study in both if (a := first[study]) is not None and (b := second[study]) is not None]
    return _effect(
        paired_t([a for a, _ in pairs], [b for _, b in pairs]),
        metric=metric,
        test="paired-t",
        comparison=versus(tuned, fresh),
        training_size=tuned.training_size,
        n=len(pairs),
        undefined=len(both) - len(pairs),
        family=family,
        gaps=gaps,
    )


def _unpaired(
    rows: Sequence[StudyRow],
    model: Condition,
    default: Condition,
    metric: Metric,
    unit: Unit,
    family: int,
    gaps: str,
) -> EffectRow:
    by_study = [values_by_study(rows, condition, metric) for condition in (model, default)]
    by_unit = (
        [values_by_position(rows, condition, metric) for condition in (model, default)]
        if unit == "fold-averaged"
        else by_study
    )
    first, second = ([value for value in table.values() if value is not None] for table in by_unit)
    return _effect(
        unpaired_t(first, second),
        metric=metric,
        test="unpaired-t",
        comparison=versus(model, default),
        training_size=model.training_size,
        n=len(first),
        n_other=len(second),
        undefined=sum(value is None for table in by_study for value in table.values()),
        family=family,
        gaps=gaps,
    )


def _effect(
    outcome: Outcome,
    *,
    metric: Metric,
    test: Literal["rm-anova", "paired-t", "unpaired-t"],
    comparison: str,
    n: int,
    undefined: int,
    gaps: str,
    training_size: int | None = None,
    n_other: int | None = None,
    family: int = 1,
) -> EffectRow:
    return EffectRow(
        metric=metric,
        test=test,
        comparison=comparison,
        training_size=training_size,
        n=n,
        n_other=n_other,
        undefined=undefined,
        difference=outcome.difference,
        statistic=outcome.statistic,
        p=outcome.p,
        p_bonferroni=None if outcome.p is None else min(1.0, outcome.p * family),
        family=family,
        significant=significant(outcome.p, family),
        note="; ".join(part for part in (outcome.note, gaps) if part),
    )


def _gaps(compared: Sequence[Condition], cells: frozenset[Cell], missing: frozenset[Cell]) -> str:
    """What is still missing of the compared models, in words; empty where nothing is."""
    wanted = [cell for cell in cells if Condition(cell.arm, cell.source, cell.training_size) in compared]
    absent = sum(cell in missing for cell in wanted)
    return f"{absent} of the {len(wanted)} cells compared have no results yet" if absent else ""
