"""Compute every comparison of the paper's protocol from study rows and the planned cells.

Per stratum and metric: one repeated-measures ANOVA over all trained models; fine-tuned versus de novo at each size,
paired by study; each trained model versus its default model and versus the second rater, unpaired; models from
elsewhere versus every other model, paired by study. Bonferroni's m
counts the *planned* comparisons of one kind in one stratum, so that an unfinished experiment is not judged more
leniently than the finished one. Holm and Welch supplement the paper's Bonferroni and pooled variances.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Literal

import numpy as np

from lesionlab.analysis.methods.student import (
    StatisticalTest,
    holm,
    paired_t,
    repeated_measures,
    significant,
    unpaired_t,
)
from lesionlab.analysis.statistics.conditions import (
    Condition,
    Group,
    Place,
    Stratum,
    conditions,
    groups,
    places,
    rows_by_condition,
    values_by_position,
    values_by_study,
)
from lesionlab.analysis.statistics.effects import Effect, Method, MissingCells, Pair, PairedMeans, lost_pairs
from lesionlab.analysis.statistics.elsewhere import pairs_with_others
from lesionlab.analysis.statistics.rows import Row
from lesionlab.analysis.statistics.summary import summary_of
from storage_schemas.experiments import Undefined
from storage_schemas.metrics import METRICS, Metric
from storage_schemas.runs import Cell

Unit = Literal["fold-averaged", "per-study"]


def compare(
    rows: Iterable[Row], planned: Iterable[Cell | Row], unit: Unit, undefined: Undefined = "exclude"
) -> tuple[Effect, ...]:
    """Compute every planned comparison; those that cannot be computed have no p, and a reason.

    `planned` are the design's cells; for an external table its own rows define what was planned. `unit` is the unit of
    analysis of the unpaired tests: values by test position averaged over the folds, or by study.
    """
    given, wanted = list(rows), list(planned)
    data = _Data(rows_by_condition(given), places(wanted), places(given), unit, undefined)
    return tuple(
        effect
        for group, metric in product(groups(conditions(wanted)), METRICS)
        for effect in _column(data, group, metric)
    )


def pairs_of_methods(trained: Sequence[Condition]) -> list[Pair]:
    """Pair fine-tuned and de novo at the same size, of conditions that share a stratum."""
    return [
        Pair(fine_tuned, de_novo)
        for fine_tuned, de_novo in product(trained, trained)
        if (fine_tuned.arm, de_novo.arm) == ("fine-tuned", "de-novo")
        and fine_tuned.training_size == de_novo.training_size
    ]


def pairs_with_default(planned: Sequence[Condition]) -> list[Pair]:
    """Pair each trained model with the default model that it comes from, and de novo models with every default."""
    return [
        Pair(model, default)
        for model, default in product(planned, planned)
        if default.arm == "default" and model.trained and model.source in (None, default.source)
    ]


def pairs_with_rater(planned: Sequence[Condition]) -> list[Pair]:
    """Pair each trained model with the second rater."""
    return [Pair(model, rater) for model, rater in product(planned, planned) if rater.arm == "rater" and model.trained]


def rater_with_defaults(planned: Sequence[Condition]) -> list[Pair]:
    """Pair the second rater with each default model."""
    return [
        Pair(rater, default)
        for rater, default in product(planned, planned)
        if (rater.arm, default.arm) == ("rater", "default")
    ]


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

    def missing(self, compared: Sequence[Condition]) -> MissingCells | None:
        """Planned cells of these models without results; None where all have some."""
        wanted = [place for place in self.planned if place.condition in compared]
        absent = sum(place not in self.found for place in wanted)
        return MissingCells(absent, len(wanted)) if absent else None


def _column(data: _Data, group: Group, metric: Metric) -> Iterable[Effect]:
    everyone = group.conditions
    methods, defaults = pairs_of_methods(group.trained), pairs_with_default(everyone)
    effects = [_anova(data, group.trained, metric)] if group.trained else []
    effects += _family([_paired(data, pair, metric) for pair in methods], len(methods))
    effects += _family([_unpaired(data, pair, metric) for pair in defaults], len(defaults))
    # The paper's m counts the trained models of the column; its line of Grader 2 is judged by the same m.
    untrained = rater_with_defaults(everyone)
    effects += _family([_unpaired(data, pair, metric) for pair in untrained], len(defaults) or len(untrained))
    graded = pairs_with_rater(everyone)
    effects += _family([_unpaired(data, pair, metric) for pair in graded], len(graded))
    others = pairs_with_others(everyone)
    effects += _family([_paired(data, pair, metric) for pair in others], len(others))
    return [replace(effect, stratum=group.stratum) for effect in effects]


def _anova(data: _Data, trained: Sequence[Condition], metric: Metric) -> Effect:
    tested = [condition for condition in trained if data.by_condition.get(condition)]
    tables = [data.by_study(condition, metric) for condition in tested]
    everywhere = sorted(set.intersection(*(set(table) for table in tables))) if tables else []
    complete = [study for study in everywhere if all(table[study] is not None for table in tables)]
    undefined = set[str]().union(*(data.without_value(condition, metric) for condition in tested))
    values_SM = np.array([[table[study] for table in tables] for study in complete], dtype=float)
    effect = _effect(
        repeated_measures(values_SM.reshape(len(complete), len(tables))),
        metric=metric,
        test="rm-anova",
        pair=None,
        n=len(complete),
        undefined=len(undefined & set(everywhere)),
        missing=data.missing(trained),
    )
    return _family([replace(effect, tested=len(everywhere))], 1)[0]


def _paired(data: _Data, pair: Pair, metric: Metric) -> Effect:
    first, second = (data.by_study(condition, metric) for condition in pair)
    both = sorted(set(first) & set(second))
    undefined = data.without_value(pair.model, metric) | data.without_value(pair.other, metric)
    pairs = [(a, b) for study in both if (a := first[study]) is not None and (b := second[study]) is not None]
    own, theirs = [a for a, _ in pairs], [b for _, b in pairs]
    effect = _effect(
        paired_t(own, theirs),
        metric=metric,
        test="paired-t",
        pair=pair,
        n=len(pairs),
        undefined=len(undefined & set(both)),
        missing=data.missing(pair),
    )
    means = PairedMeans(
        summary_of(pair.model, metric, own), summary_of(pair.other, metric, theirs), lost_pairs(first, second)
    )
    return replace(effect, paired=means)


def _unpaired(data: _Data, pair: Pair, metric: Metric) -> Effect:
    first, second = (
        [value for value in data.by_unit(condition, metric).values() if value is not None] for condition in pair
    )
    effect = _effect(
        unpaired_t(first, second),
        metric=metric,
        test="unpaired-t",
        pair=pair,
        n=len(first),
        n_other=len(second),
        undefined=sum(len(data.without_value(condition, metric)) for condition in pair),
        missing=data.missing(pair),
    )
    return replace(effect, p_welch=unpaired_t(first, second, pooled=False).p)


def _effect(
    result: StatisticalTest,
    *,
    metric: Metric,
    test: Method,
    pair: Pair | None,
    n: int,
    undefined: int,
    missing: MissingCells | None,
    n_other: int | None = None,
) -> Effect:
    """One comparison by itself; `_family` judges it among the others of its kind, `_column` knows its stratum."""
    return Effect(
        metric=metric,
        test=test,
        stratum=Stratum(),
        pair=pair,
        n=n,
        n_other=n_other,
        undefined=undefined,
        difference=result.difference,
        statistic=result.statistic,
        p=result.p,
        untestable=result.untestable,
        anova=result.anova,
        missing=missing,
    )


def _family(effects: Sequence[Effect], family: int) -> list[Effect]:
    """Correct these comparisons for m = `family`."""
    return [
        replace(
            effect,
            family=family,
            p_bonferroni=None if effect.p is None else min(1.0, effect.p * family),
            p_holm=by_holm,
            significant=significant(effect.p, family),
        )
        for effect, by_holm in zip(effects, holm([effect.p for effect in effects], family), strict=True)
    ]
