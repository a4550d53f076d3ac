"""Rows and comparisons of a study in; all that we set beside the paper's own statistics out, as one named result.

Nothing here is the paper's: effect sizes with intervals, a mixed model, other corrections, the type-I error of each
method at the variances found, learning curves with the studies that they need, and the budget control. Chance is
seeded: the same rows give the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from lesionlab.analysis.methods.intervals import EffectSize, paired_effect
from lesionlab.analysis.methods.mixed import MixedModel, fit_mixed
from lesionlab.analysis.methods.student import ALPHA, significant
from lesionlab.analysis.statistics.arm_comparisons import arm_comparisons, observations
from lesionlab.analysis.statistics.budget import BudgetControl, budget_controls
from lesionlab.analysis.statistics.changes import Change, changes
from lesionlab.analysis.statistics.clusters import differences_by_origin
from lesionlab.analysis.statistics.comparisons import pairs_of_methods, versus
from lesionlab.analysis.statistics.conditions import (
    METRICS,
    Condition,
    Group,
    Metric,
    conditions,
    groups,
    rows_by_condition,
)
from lesionlab.analysis.statistics.learning import Learning, learning
from lesionlab.analysis.statistics.null_test import NullTest, null_test
from lesionlab.analysis.statistics.rows import Row
from storage_schemas.experiments import Goal, Undefined
from storage_schemas.results import EffectRow
from storage_schemas.runs import Cell, TrainingConfig

JUDGED: tuple[Metric, ...] = ("sensitivity", "ppv")
"""The paper's metrics: the null test is asked for these."""


NULL_REPETITIONS = 1000
"""Tell 5 % from 8 %; a few seconds for each arm_comparison and metric of the paper's design."""


@dataclass(frozen=True)
class Options:
    """What the study declares, and how much chance is spent."""

    undefined: Undefined = "exclude"
    goal: Goal | None = None
    null_repetitions: int = NULL_REPETITIONS
    """Simulated studies; 0: the null test is left out."""
    trainings: Mapping[Condition, TrainingConfig] = field(default_factory=dict)
    """How each model was trained; none of a table that was made elsewhere, whose columns may say."""
    seed: int = 0


@dataclass(frozen=True)
class PairedSize:
    """How large the difference of fine-tuned and de novo is at one training size."""

    stratum: str
    metric: Metric
    comparison: str
    """As EffectRow.comparison."""
    training_size: int
    n: int
    """Pairs."""
    size: EffectSize


@dataclass(frozen=True)
class Fitted:
    """The mixed model of one arm_comparison."""

    stratum: str
    metric: Metric
    comparison: str
    model: MixedModel


@dataclass(frozen=True)
class Supplementary:
    """All of it."""

    options: Options
    sizes: tuple[PairedSize, ...]
    mixed: tuple[Fitted, ...]
    holm: tuple[Change, ...]
    """Comparisons that Holm's correction judges otherwise than Bonferroni's."""
    welch: tuple[Change, ...]
    """Unpaired comparisons that end otherwise without pooled variances."""
    null: tuple[NullTest, ...]
    learning: tuple[Learning, ...]
    budget: tuple[BudgetControl, ...]
    """Empty where the study did not vary its budget in both epochs and steps; see budget.NOT_RUN."""


def supplementary_analyses(
    rows: Iterable[Row], planned: Iterable[Cell | Row], effects: Sequence[EffectRow], options: Options
) -> Supplementary:
    """Everything beside the paper; `effects` are the comparisons of the same rows."""
    by_condition = rows_by_condition(rows)
    found = groups(conditions(planned))
    fitted = [
        (arm_comparison, metric, fit_mixed(observations(by_condition, arm_comparison, metric, options.undefined)))
        for group in found
        for arm_comparison in arm_comparisons(group)
        for metric in METRICS
    ]
    return Supplementary(
        options=options,
        sizes=tuple(_sizes(by_condition, found, options)),
        mixed=tuple(
            Fitted(arm_comparison.stratum, metric, arm_comparison.name, model)
            for arm_comparison, metric, model in fitted
        ),
        holm=changes(effects, [_by_holm(effect) for effect in effects]),
        welch=changes(effects, [_by_welch(effect) for effect in effects]),
        null=tuple(
            null_test(by_condition, arm_comparison, metric, options.undefined, options.null_repetitions, options.seed)
            for arm_comparison, metric, _ in fitted
            if metric in JUDGED and options.null_repetitions
        ),
        learning=learning(by_condition, found, options.goal, options.undefined, options.seed),
        budget=budget_controls(fitted),
    )


def _sizes(
    by_condition: Mapping[Condition, Sequence[Row]], found: Sequence[Group], options: Options
) -> Iterable[PairedSize]:
    for group in found:
        for fine_tuned, de_novo in pairs_of_methods(group.trained):
            for metric in METRICS:
                rows = (by_condition.get(fine_tuned, ()), by_condition.get(de_novo, ()))
                differences = differences_by_origin(*rows, (fine_tuned, de_novo), metric, options.undefined)
                size = paired_effect(differences)
                if size is not None:
                    n = sum(map(len, differences.values()))
                    yield PairedSize(
                        group.stratum, metric, versus(fine_tuned, de_novo), fine_tuned.training_size, n, size
                    )


def _by_holm(effect: EffectRow) -> EffectRow:
    # What Bonferroni finds, Holm finds too: at the very limit rounding must not say otherwise.
    found = effect.significant or (effect.p_holm is not None and effect.p_holm <= ALPHA)
    return effect.model_copy(update={"significant": found})


def _by_welch(effect: EffectRow) -> EffectRow:
    if effect.test != "unpaired-t":
        return effect
    p, family = effect.p_welch, effect.family
    corrected = None if p is None else min(1.0, p * family)
    return effect.model_copy(update={"p": p, "p_bonferroni": corrected, "significant": significant(p, family)})
