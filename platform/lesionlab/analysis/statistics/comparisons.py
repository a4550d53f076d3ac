"""Study rows and the planned cells in; every comparison of the paper's protocol out, as EffectRows.

Per stratum and metric: one repeated-measures ANOVA over all trained models; fine-tuned against de novo at each size,
paired by study; each trained model against its default model and against the second rater, unpaired. Bonferroni's m
counts the *planned* comparisons of one kind in one stratum, so that a study with cells still missing is not judged
more leniently than the finished one. Holm and Welch stand beside the paper's Bonferroni and pooled variances.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal

import numpy as np

from lesionlab.analysis.methods.student import Outcome, holm, paired_t, repeated_measures, significant, unpaired_t
from lesionlab.analysis.statistics.conditions import (
    METRICS,
    Condition,
    Group,
    Metric,
    Place,
    conditions,
    groups,
    places,
    rows_by_condition,
    values_by_position,
    values_by_study,
)
from lesionlab.analysis.statistics.rows import Row
from storage_schemas.experiments import Undefined
from storage_schemas.results import EffectRow
from storage_schemas.runs import Cell

Unit = Literal["fold-averaged", "per-study"]

ANOVA_COMPARISON = "all trained models"


def compare(
    rows: Iterable[Row], planned: Iterable[Cell | Row], unit: Unit, undefined: Undefined = "exclude"
) -> tuple[EffectRow, ...]:
    """Every planned comparison, also those that cannot be computed: these have no p, and a note that says why.

    `planned` are the design's cells; of a table that was made elsewhere its own rows say what was planned. `unit` is
    the unit of analysis of the unpaired tests: values by test position averaged over the folds, or by study.
    """
    given, wanted = list(rows), list(planned)
    data = _Data(rows_by_condition(given), places(wanted), places(given), unit, undefined)
    return tuple(
        effect
        for group, metric in product(groups(conditions(wanted)), METRICS)
        for effect in _column(data, group, metric)
    )


def pairs_of_methods(trained: Sequence[Condition]) -> list[tuple[Condition, Condition]]:
    """Fine-tuned and de novo at the same size, of conditions that share a stratum."""
    return [
        (fine_tuned, de_novo)
        for fine_tuned, de_novo in product(trained, trained)
        if (fine_tuned.arm, de_novo.arm) == ("fine-tuned", "de-novo")
        and fine_tuned.training_size == de_novo.training_size
    ]


def pairs_with_default(planned: Sequence[Condition]) -> list[tuple[Condition, Condition]]:
    """Each trained model with the default model that it comes from; de novo models with every default model."""
    return [
        (model, default)
        for model, default in product(planned, planned)
        if default.arm == "default" and model.trained and model.source in (None, default.source)
    ]


def pairs_with_rater(planned: Sequence[Condition]) -> list[tuple[Condition, Condition]]:
    """Each trained model with the second rater."""
    return [(model, rater) for model, rater in product(planned, planned) if rater.arm == "rater" and model.trained]


def rater_with_defaults(planned: Sequence[Condition]) -> list[tuple[Condition, Condition]]:
    """The second rater with each default model."""
    return [
        (rater, default)
        for rater, default in product(planned, planned)
        if (rater.arm, default.arm) == ("rater", "default")
    ]


def versus(model: Condition, other: Condition) -> str:
    """Text of EffectRow.comparison; the size and the stratum stand in columns of their own."""
    return f"{model.model} against {other.model}"


@dataclass(frozen=True)
class _Data:
    by_condition: Mapping[Condition, Sequence[Row]]
    planned: frozenset[Place]
    found: frozenset[Place]
    unit: Unit
    undefined: Undefined

    def by_study(self, condition: Condition, metric: Metric) -> dict[str, float | None]:
        return values_by_study(self.by_condition.get(condition, ()), condition, metric, self.undefined)

    def by_unit(self, condition: Condition, metric: Metric) -> dict[str, float | None] | dict[int, float | None]:
        if self.unit == "per-study":
            return self.by_study(condition, metric)
        return values_by_position(self.by_condition.get(condition, ()), condition, metric, self.undefined)

    def without_value(self, condition: Condition, metric: Metric) -> set[str]:
        """Studies for which the metric is undefined under every seed."""
        table = values_by_study(self.by_condition.get(condition, ()), condition, metric)
        return {study for study, value in table.items() if value is None}

    def gaps(self, compared: Sequence[Condition]) -> str:
        """What is still missing of the compared models, in words; empty where nothing is."""
        wanted = [place for place in self.planned if place.condition in compared]
        absent = sum(place not in self.found for place in wanted)
        return f"{absent} of the {len(wanted)} cells compared have no results yet" if absent else ""


def _column(data: _Data, group: Group, metric: Metric) -> Iterable[EffectRow]:
    everyone = group.conditions
    methods, defaults = pairs_of_methods(group.trained), pairs_with_default(everyone)
    effects = [_anova(data, group.trained, metric)] if group.trained else []
    effects += _family([_paired(data, *pair, metric) for pair in methods], len(methods))
    effects += _family([_unpaired(data, *pair, metric) for pair in defaults], len(defaults))
    # The paper's m counts the trained models of the column; its line of Grader 2 is judged by the same m.
    untrained = rater_with_defaults(everyone)
    effects += _family([_unpaired(data, *pair, metric) for pair in untrained], len(defaults) or len(untrained))
    graded = pairs_with_rater(everyone)
    effects += _family([_unpaired(data, *pair, metric) for pair in graded], len(graded))
    return [effect.model_copy(update={"stratum": group.stratum}) for effect in effects]


def _anova(data: _Data, trained: Sequence[Condition], metric: Metric) -> EffectRow:
    tested = [condition for condition in trained if data.by_condition.get(condition)]
    tables = [data.by_study(condition, metric) for condition in tested]
    everywhere = sorted(set.intersection(*(set(table) for table in tables))) if tables else []
    complete = [study for study in everywhere if all(table[study] is not None for table in tables)]
    undefined = set[str]().union(*(data.without_value(condition, metric) for condition in tested))
    values_SM = np.array([[table[study] for table in tables] for study in complete], dtype=float)
    outcome = repeated_measures(values_SM.reshape(len(complete), len(tables)))
    effect = _effect(
        outcome,
        metric=metric,
        test="rm-anova",
        comparison=ANOVA_COMPARISON,
        n=len(complete),
        undefined=len(undefined & set(everywhere)),
        gaps=data.gaps(trained),
    )
    return _family([effect], 1)[0]


def _paired(data: _Data, fine_tuned: Condition, de_novo: Condition, metric: Metric) -> EffectRow:
    first, second = data.by_study(fine_tuned, metric), data.by_study(de_novo, metric)
    both = sorted(set(first) & set(second))
    undefined = data.without_value(fine_tuned, metric) | data.without_value(de_novo, metric)
    pairs = [(a, b) for study in both if (a := first[study]) is not None and (b := second[study]) is not None]
    return _effect(
        paired_t([a for a, _ in pairs], [b for _, b in pairs]),
        metric=metric,
        test="paired-t",
        comparison=versus(fine_tuned, de_novo),
        training_size=fine_tuned.training_size,
        n=len(pairs),
        undefined=len(undefined & set(both)),
        gaps=data.gaps((fine_tuned, de_novo)),
    )


def _unpaired(data: _Data, model: Condition, other: Condition, metric: Metric) -> EffectRow:
    first, second = (
        [value for value in data.by_unit(condition, metric).values() if value is not None]
        for condition in (model, other)
    )
    effect = _effect(
        unpaired_t(first, second),
        metric=metric,
        test="unpaired-t",
        comparison=versus(model, other),
        training_size=model.training_size,
        n=len(first),
        n_other=len(second),
        undefined=sum(len(data.without_value(condition, metric)) for condition in (model, other)),
        gaps=data.gaps((model, other)),
    )
    return effect.model_copy(update={"p_welch": unpaired_t(first, second, pooled=False).p})


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
) -> EffectRow:
    """One comparison by itself; `_family` judges it among the others of its kind."""
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
        p_bonferroni=None,
        family=1,
        significant=False,
        note="; ".join(part for part in (outcome.note, gaps) if part),
    )


def _family(effects: Sequence[EffectRow], family: int) -> list[EffectRow]:
    """The same comparisons, corrected for m = `family`."""
    return [
        effect.model_copy(
            update={
                "family": family,
                "p_bonferroni": None if effect.p is None else min(1.0, effect.p * family),
                "p_holm": by_holm,
                "significant": significant(effect.p, family),
            }
        )
        for effect, by_holm in zip(effects, holm([effect.p for effect in effects], family), strict=True)
    ]
