"""Compute learning curves, the labelled studies that each arm needs to reach a target, and what fine-tuning saves.

Ours, not the paper's: the paper shows means by training size and judges by eye where they meet Grader 2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto

import numpy as np

from lesionlab.analysis.methods.curve import Crossing, CurvePoint, Curves, MeanAt, Saving, Target
from lesionlab.analysis.methods.intervals import ByOrigin, Unit
from lesionlab.analysis.statistics.arm_comparisons import ArmComparison, arm_comparisons
from lesionlab.analysis.statistics.conditions import Condition, Group, Stratum, values_by_study
from lesionlab.analysis.statistics.effects import Lost, Pair, lost_pairs
from lesionlab.analysis.statistics.origins import study_origins, values_by_origin
from lesionlab.analysis.statistics.rows import Row
from storage_schemas.experiments import Goal, Undefined
from storage_schemas.metrics import FractionMetric

DEFAULT_GOALS = (Goal(metric="sensitivity"), Goal(metric="ppv"))
"""For an experiment that declares no goal."""


class AimKind(Enum):
    """Where a target comes from."""

    DECLARED = auto()
    """The experiment declares it."""
    RATER = auto()
    """The mean of the second rater."""
    DE_NOVO = auto()
    """The mean of de novo at the largest size that has results."""


@dataclass(frozen=True)
class Aim:
    """The target that the arms are to reach."""

    kind: AimKind
    mean: float
    n: int | None = None
    """Studies that the mean is over; None if it was declared."""
    model: Condition | None = None
    """Whose mean it is, of a de novo model."""


@dataclass(frozen=True)
class ArmCurve:
    """The learning curve of one way of training; `crossing` is None without an aim or without values."""

    way: Condition
    points: tuple[CurvePoint, ...]
    crossing: Crossing | None

    @property
    def fine_tuned(self) -> bool:
        """Fine-tuned; False: de novo."""
        return self.way.arm == "fine-tuned"


@dataclass(frozen=True)
class Learning:
    """The learning curves of one metric and arm comparison."""

    comparison: ArmComparison
    metric: FractionMetric
    arms: tuple[ArmCurve, ...]
    """Fine-tuned first."""
    aim: Aim | None
    saving: Saving | None
    """Of fine-tuning versus de novo; None where either has no values."""
    annotation_minutes: float | None
    studies: int
    """Tested under every model of the comparison that has results. Each mean is over those of them that have a value
    under both arms of its size; see the `n` of the points."""
    patients: int
    unit: Unit
    """What the confidence intervals are over."""
    clusters: int
    """How many of them."""
    lost: Mapping[int, Lost] = field(default_factory=dict)
    """By training size, the studies without a pair of values; model: fine-tuned, other: de novo."""

    @property
    def stratum(self) -> Stratum:
        """Of the comparison."""
        return self.comparison.stratum

    @property
    def has_intervals(self) -> bool:
        """Whether any crossing has a confidence interval."""
        return any(arm.crossing is not None and arm.crossing.interval is not None for arm in self.arms)


def learning(
    by_condition: Mapping[Condition, Sequence[Row]],
    groups: Sequence[Group],
    goal: Goal | None,
    undefined: Undefined,
    seed: int,
) -> tuple[Learning, ...]:
    """Compute the curves of every arm comparison, for the goal's metric, or without a goal for sensitivity and PPV."""
    wanted = DEFAULT_GOALS if goal is None else (goal,)
    return tuple(
        _learning(by_condition, group, arm_comparison, own, undefined, seed)
        for group in groups
        for arm_comparison in arm_comparisons(group)
        for own in wanted
    )


def _learning(
    by_condition: Mapping[Condition, Sequence[Row]],
    group: Group,
    arm_comparison: ArmComparison,
    goal: Goal,
    undefined: Undefined,
    seed: int,
) -> Learning:
    trained = [row for model in arm_comparison.conditions for row in by_condition.get(model, ())]
    origin_of = study_origins(trained)
    tested = [{row.study for row in rows} for model in arm_comparison.conditions if (rows := by_condition.get(model))]
    # While folds are missing, the models would otherwise be compared over different studies.
    common = set.intersection(*tested) if tested else set()
    by_study = {
        model: values_by_study(
            [row for row in by_condition.get(model, ()) if row.study in common], model, goal.metric, undefined
        )
        for model in arm_comparison.conditions
    }
    pairs = [pair for pair in arm_comparison.pairs if all(by_study[model] for model in pair)]
    with_pair = _with_pair(by_study, pairs)

    def values(model: Condition) -> ByOrigin:
        rows = [row for row in by_condition.get(model, ()) if row.study in with_pair[model]]
        return values_by_origin(rows, model, goal.metric, undefined, origin_of)

    def graded(model: Condition) -> ByOrigin:
        return values_by_origin(by_condition.get(model, ()), model, goal.metric, undefined)

    ways = [way for way in (arm_comparison.fine_tuned, arm_comparison.de_novo) if way]
    curves = Curves({way[0].arm: {model.training_size: values(model) for model in way} for way in ways}, seed)
    rater = next((graded(model) for model in group.conditions if model.arm == "rater"), {})
    aim, reference = _aim(goal, rater, arm_comparison, curves)
    arms = tuple(
        ArmCurve(
            way=way[0].way,
            points=curves.points(way[0].arm),
            crossing=None if reference is None else curves.crossing(way[0].arm, reference),
        )
        for way in ways
    )
    return Learning(
        comparison=arm_comparison,
        metric=goal.metric,
        arms=arms,
        aim=aim,
        saving=None if reference is None or len(ways) < 2 else curves.saving("fine-tuned", "de-novo", reference),
        annotation_minutes=goal.annotation_minutes,
        studies=len(common),
        patients=len({origin_of[study].patient for study in common}),
        unit=curves.unit,
        clusters=curves.clusters,
        lost={pair.model.training_size: lost_pairs(*(by_study[model] for model in pair)) for pair in pairs},
    )


def _with_pair(
    by_study: Mapping[Condition, Mapping[str, float | None]], pairs: Sequence[Pair]
) -> dict[Condition, set[str]]:
    """Return the studies that each model's mean is over: those with a value under both models of its pair.

    A model that is in no pair keeps all that it has a value in.
    """
    defined = {model: {s for s, value in own.items() if value is not None} for model, own in by_study.items()}
    paired = {model: defined[pair.model] & defined[pair.other] for pair in pairs for model in pair}
    return defined | paired


def _aim(
    goal: Goal, rater: ByOrigin, arm_comparison: ArmComparison, curves: Curves
) -> tuple[Aim | None, Target | None]:
    """Take the declared target; else the second rater; else de novo at the largest size that has results."""
    if goal.target is not None:
        return Aim(AimKind.DECLARED, goal.target), float(goal.target)
    if rater:
        return Aim(AimKind.RATER, *_mean(rater)), rater
    for model in reversed(arm_comparison.de_novo):
        values = curves.values[model.arm][model.training_size]
        if values:
            return Aim(AimKind.DE_NOVO, *_mean(values), model), MeanAt(model.arm, model.training_size)
    return None, None


def _mean(values: ByOrigin) -> tuple[float, int]:
    every = [value for _, own in sorted(values.items()) for value in own]
    return float(np.mean(every)), len(every)
