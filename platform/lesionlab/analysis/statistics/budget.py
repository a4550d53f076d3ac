"""Tell whether the effect of the training size is only due to more optimiser steps, from mixed models by budget.

Under a budget in epochs a larger training set also means more optimiser steps. With equal steps at every size, only the
data differ. Ours, not the paper's.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from lesionlab.analysis.methods.mixed import FixedEffect, MixedModel, Term
from lesionlab.analysis.statistics.arm_comparisons import ArmComparison
from lesionlab.analysis.statistics.conditions import Condition, Stratum
from storage_schemas.axes import Budget
from storage_schemas.metrics import FRACTIONS, Metric
from storage_schemas.runs import TrainingConfig


class BudgetCaution(Enum):
    """What an experiment without a budget control leaves open: a larger training set may only mean more steps."""

    NOT_RUN = auto()
    """Larger training sets also had more optimiser steps, and no budget had equal steps."""
    NOT_KNOWN = auto()
    """Nothing says how long the networks were trained."""


class BudgetFinding(Enum):
    """What equal optimiser steps at every size say about the effect of the training size."""

    NOT_FITTED = auto()
    """A slope could not be estimated."""
    NO_EFFECT = auto()
    """No effect of the training size is shown under epochs: there is nothing to explain."""
    BEYOND_STEPS = auto()
    """It is shown under equal steps too: it is not only due to more steps."""
    PERHAPS_STEPS = auto()
    """It is not shown under equal steps: it may be due to more steps only."""


@dataclass(frozen=True)
class Slope:
    """The effect of one doubling of the training size under one budget; no term where the model could not be fitted."""

    budget: Budget
    term: Term | None

    @property
    def equal_steps(self) -> bool:
        """Whether every training size had the same optimiser steps."""
        return self.budget.steps is not None


@dataclass(frozen=True)
class BudgetControl:
    """The same arm comparison under budgets in epochs and in steps."""

    metric: Metric
    comparison: ArmComparison
    """Without its budget and stratum."""
    slopes: tuple[Slope, ...]
    """Epochs first."""

    @property
    def finding(self) -> BudgetFinding:
        """What the slopes say together."""
        by_epochs = [slope.term for slope in self.slopes if not slope.equal_steps]
        by_steps = [slope.term for slope in self.slopes if slope.equal_steps]
        if None in by_epochs or None in by_steps:
            return BudgetFinding.NOT_FITTED
        if not any(term and term.low > 0 for term in by_epochs):
            return BudgetFinding.NO_EFFECT
        rises = all(term and term.low > 0 for term in by_steps)
        return BudgetFinding.BEYOND_STEPS if rises else BudgetFinding.PERHAPS_STEPS


def budget_controls(models: Sequence[tuple[ArmComparison, Metric, MixedModel]]) -> tuple[BudgetControl, ...]:
    """Compare the slopes of every arm comparison that was trained under both kinds of budget, by each metric of which
    more is better."""
    alike: dict[tuple[Metric, ArmComparison], list[Slope]] = defaultdict(list)
    for comparison, metric, model in models:
        budget = comparison.conditions[0].budget
        if budget is not None and metric in FRACTIONS:
            alike[metric, _without_budget(comparison)].append(Slope(budget, _slope_of(model)))
    return tuple(
        BudgetControl(
            metric, comparison, tuple(sorted(slopes, key=lambda slope: (slope.equal_steps, slope.budget.text())))
        )
        for (metric, comparison), slopes in alike.items()
        if {slope.equal_steps for slope in slopes} == {True, False}
    )


def budget_caution(models: Iterable[Condition], trainings: Mapping[Condition, TrainingConfig]) -> BudgetCaution | None:
    """Return what stays open without a budget control; None if every model had the same steps at all sizes."""
    equal_steps = {_has_equal_steps(model, trainings.get(model)) for model in models}
    if False in equal_steps:
        return BudgetCaution.NOT_RUN
    return BudgetCaution.NOT_KNOWN if None in equal_steps else None


def _has_equal_steps(model: Condition, training: TrainingConfig | None) -> bool | None:
    """Return whether this model's budget is in steps; None if nothing says so."""
    if training is not None:
        return training.steps is not None
    return None if model.budget is None else model.budget.steps is not None


def _without_budget(comparison: ArmComparison) -> ArmComparison:
    """Equal for two comparisons that differ in nothing but the budget."""
    fine_tuned, de_novo = (
        tuple(condition.model_copy(update={"budget": None}) for condition in arm)
        for arm in (comparison.fine_tuned, comparison.de_novo)
    )
    return ArmComparison(Stratum(), fine_tuned, de_novo)


def _slope_of(model: MixedModel) -> Term | None:
    return next((term for term in model.terms if term.effect == FixedEffect.DOUBLING), None)
