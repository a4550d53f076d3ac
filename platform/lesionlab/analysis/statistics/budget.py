"""Mixed models of a study that varies its budget in; whether the effect of training size is only more steps, out.

By epochs a larger training set also means more optimiser steps. Trained for equal steps at every size, only the data
differ. Ours, not the paper's.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from lesionlab.analysis.methods.mixed import MixedModel, Term
from lesionlab.analysis.statistics.arm_comparisons import ArmComparison
from lesionlab.analysis.statistics.conditions import Condition, Metric
from storage_schemas.axes import Budget
from storage_schemas.runs import TrainingConfig

NOT_RUN = (
    "Budget control: not run. Larger training sets here also mean more optimiser steps; to tell the two apart, train "
    "for equal steps at every size too (in a study file: `budgets: [{epochs: 30}, {steps: 2000}]`)."
)
NOT_KNOWN = (
    "Budget control: the table does not say how long each network was trained. If larger training sets also meant more "
    "optimiser steps, their effect may be partly that."
)

SLOPE = "doubling of the training size"
"""The mixed model's term."""


@dataclass(frozen=True)
class Slope:
    """What one doubling of the training size adds under one budget; no term where the model could not be fitted."""

    budget: Budget
    term: Term | None

    @property
    def equal_steps(self) -> bool:
        """Whether every training size had the same optimiser steps."""
        return self.budget.steps is not None


@dataclass(frozen=True)
class BudgetControl:
    """The same arm_comparison under budgets in epochs and in steps."""

    metric: Metric
    comparison: str
    depth: int
    slopes: tuple[Slope, ...]
    """Epochs first."""

    def text(self) -> str:
        """`sensitivity per doubling of N: +0.050 [0.031, 0.069] under 30 epochs, … ; …`."""
        told = ", ".join(f"{_shown(slope.term)} under {slope.budget.text()}" for slope in self.slopes)
        return f"{self.metric} per doubling of N, {self.comparison}, depth {self.depth}: {told}; {self._conclusion()}."

    def _conclusion(self) -> str:
        by_epochs = [slope.term for slope in self.slopes if not slope.equal_steps]
        by_steps = [slope.term for slope in self.slopes if slope.equal_steps]
        if None in by_epochs or None in by_steps:
            return "a slope could not be fitted, so the two are not told apart"
        if not any(term and term.low > 0 for term in by_epochs):
            return "no effect of the training size is shown under epochs, so there is none to explain"
        if all(term and term.low > 0 for term in by_steps):
            return "it rises under equal steps too: the effect of the training size is not only more steps"
        return "under equal steps no rise is shown: the effect of the training size may be only more steps"


def budget_controls(models: Sequence[tuple[ArmComparison, Metric, MixedModel]]) -> tuple[BudgetControl, ...]:
    """One for every arm_comparison and metric that was run under both kinds of budget; empty where none was."""
    alike: dict[_Alike, list[Slope]] = defaultdict(list)
    for arm_comparison, metric, model in models:
        budget = arm_comparison.conditions[0].budget
        if budget is not None:
            alike[_Alike.of(arm_comparison, metric)].append(Slope(budget, _slope_of(model)))
    return tuple(
        BudgetControl(
            same.metric,
            same.comparison,
            same.conditions[0].depth,
            tuple(sorted(slopes, key=lambda slope: (slope.equal_steps, slope.budget.text()))),
        )
        for same, slopes in alike.items()
        if {slope.equal_steps for slope in slopes} == {True, False}
    )


def budget_caution(models: Iterable[Condition], trainings: Mapping[Condition, TrainingConfig]) -> str:
    """What a study without a budget control leaves open; nothing where every model had the same steps at all sizes."""
    equal_steps = {_has_equal_steps(model, trainings.get(model)) for model in models}
    return NOT_RUN if False in equal_steps else NOT_KNOWN if None in equal_steps else ""


def _has_equal_steps(model: Condition, training: TrainingConfig | None) -> bool | None:
    """Whether this model's budget is in steps; None where nothing says so."""
    if training is not None:
        return training.steps is not None
    return None if model.budget is None else model.budget.steps is not None


@dataclass(frozen=True)
class _Alike:
    """What two arm_comparisons share that differ in nothing but the budget."""

    metric: Metric
    comparison: str
    conditions: tuple[Condition, ...]

    @classmethod
    def of(cls, arm_comparison: ArmComparison, metric: Metric) -> _Alike:
        return cls(
            metric,
            arm_comparison.name,
            tuple(condition.model_copy(update={"budget": None}) for condition in arm_comparison.conditions),
        )


def _slope_of(model: MixedModel) -> Term | None:
    return next((term for term in model.terms if term.name == SLOPE), None)


def _shown(term: Term | None) -> str:
    return "not fitted" if term is None else f"{term.estimate:+.3f} [{term.low:+.3f}, {term.high:+.3f}]"
