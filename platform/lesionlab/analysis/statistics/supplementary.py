"""Run the supplementary analyses: everything that we add to the paper's own statistics.

None of this is the paper's: effect sizes with confidence intervals, a mixed model, other corrections, the type I error
of each method at the variances found, learning curves with the labelled studies that a target needs, and the budget
control. Draws are seeded: the same rows give the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from lesionlab.analysis.methods.intervals import EffectSize, paired_effect
from lesionlab.analysis.methods.mixed import MixedModel, fit_mixed
from lesionlab.analysis.methods.student import ALPHA, significant
from lesionlab.analysis.statistics.arm_comparisons import ArmComparison, arm_comparisons, observations
from lesionlab.analysis.statistics.budget import BudgetControl, budget_controls
from lesionlab.analysis.statistics.changes import Change, changes
from lesionlab.analysis.statistics.comparisons import pairs_of_methods
from lesionlab.analysis.statistics.conditions import Condition, Group, Stratum, conditions, groups, rows_by_condition
from lesionlab.analysis.statistics.effects import Effect, Pair
from lesionlab.analysis.statistics.learning import Learning, learning
from lesionlab.analysis.statistics.null_test import NullTest, null_test
from lesionlab.analysis.statistics.origins import differences_by_origin
from lesionlab.analysis.statistics.rows import Row
from storage_schemas.endpoints import Endpoint
from storage_schemas.experiments import Goal, Undefined
from storage_schemas.metrics import METRICS, PRIMARY, Metric
from storage_schemas.runs import Cell, TrainingConfig
from storage_schemas.splits import Target

NULL_REPETITIONS = 1000
"""Enough to tell 5 % from 8 %; a few seconds per arm comparison and metric of the paper's design."""


@dataclass(frozen=True)
class Options:
    """What the experiment declares, and how much is simulated."""

    undefined: Undefined = "exclude"
    goal: Goal | None = None
    null_repetitions: int = NULL_REPETITIONS
    """Simulated experiments; 0: no null test."""
    trainings: Mapping[Condition, TrainingConfig] = field(default_factory=dict)
    """How each model was trained; empty for an external table, whose columns may say."""
    seed: int = 0
    endpoint: Endpoint | None = None
    """The primary endpoint; None: an external table, which declares none."""
    first_endpoint: Endpoint | None = None
    """That of the experiment's first plan."""
    target: Target | None = None
    """How the studies are split; None: an external table, whose rows may show a rotation."""
    margin: float | None = None
    """Of equivalence and non-inferiority, in fractions; None: nothing is said about them."""
    declared: Mapping[str, str] = field(default_factory=dict)
    """What models from elsewhere were trained on, by name, as their user declares."""


@dataclass(frozen=True)
class PairedSize:
    """How large the difference between fine-tuned and de novo is at one training size."""

    stratum: Stratum
    metric: Metric
    pair: Pair
    n: int
    """Paired studies."""
    size: EffectSize


@dataclass(frozen=True)
class Fitted:
    """The mixed model of one arm comparison."""

    comparison: ArmComparison
    metric: Metric
    model: MixedModel


@dataclass(frozen=True)
class Supplementary:
    """All supplementary analyses of an experiment or table."""

    options: Options
    sizes: tuple[PairedSize, ...]
    mixed: tuple[Fitted, ...]
    holm: tuple[Change, ...]
    """Comparisons that change under Holm's correction."""
    welch: tuple[Change, ...]
    """Unpaired comparisons that change without pooled variances."""
    null: tuple[NullTest, ...]
    learning: tuple[Learning, ...]
    budget: tuple[BudgetControl, ...]
    """Empty unless budgets in epochs and in steps were both trained."""


def supplementary_analyses(
    rows: Iterable[Row], planned: Iterable[Cell | Row], effects: Sequence[Effect], options: Options
) -> Supplementary:
    """Run all of them; `effects` are the comparisons of the same rows."""
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
        mixed=tuple(Fitted(arm_comparison, metric, model) for arm_comparison, metric, model in fitted),
        holm=changes(effects, [_by_holm(effect) for effect in effects]),
        welch=changes(effects, [_by_welch(effect) for effect in effects]),
        null=tuple(
            null_test(
                by_condition,
                arm_comparison,
                metric,
                options.undefined,
                options.null_repetitions,
                options.seed,
                options.target,
            )
            for arm_comparison, metric, _ in fitted
            if metric in PRIMARY and options.null_repetitions
        ),
        learning=learning(by_condition, found, options.goal, options.undefined, options.seed),
        budget=budget_controls(fitted),
    )


def _sizes(
    by_condition: Mapping[Condition, Sequence[Row]], found: Sequence[Group], options: Options
) -> Iterable[PairedSize]:
    for group in found:
        for pair in pairs_of_methods(group.trained):
            for metric in METRICS:
                first, second = (by_condition.get(condition, ()) for condition in pair)
                differences = differences_by_origin(first, second, pair, metric, options.undefined)
                size = paired_effect(differences)
                if size is not None:
                    yield PairedSize(group.stratum, metric, pair, sum(map(len, differences.values())), size)


def _by_holm(effect: Effect) -> Effect:
    # What is significant after Bonferroni is so after Holm: at the bound itself, rounding must not decide.
    found = effect.significant or (effect.p_holm is not None and effect.p_holm <= ALPHA)
    return replace(effect, significant=found)


def _by_welch(effect: Effect) -> Effect:
    if effect.test != "unpaired-t":
        return effect
    p, family = effect.p_welch, effect.family
    corrected = None if p is None else min(1.0, p * family)
    return replace(effect, p=p, p_bonferroni=corrected, significant=significant(p, family))
