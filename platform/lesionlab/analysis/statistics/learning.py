"""Rows of a study and its goal in; learning curves, how many labelled studies reach the goal, and what that saves, out.

Ours, not the paper's: the paper shows means by training size and asks by eye where they meet Grader 2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lesionlab.analysis.methods.curve import Crossing, CurvePoint, Curves, Saving
from lesionlab.analysis.methods.intervals import ByOrigin, Interval, Unit
from lesionlab.analysis.statistics.arm_comparisons import ArmComparison, arm_comparisons
from lesionlab.analysis.statistics.clusters import origins, values_by_origin
from lesionlab.analysis.statistics.conditions import Condition, Group, Metric, count_of
from lesionlab.analysis.statistics.rows import Row
from storage_schemas.experiments import Goal, Undefined

DEFAULT_GOALS = (Goal(metric="sensitivity"), Goal(metric="ppv"))
"""Of a study that declares none."""

_NAMES: dict[Metric, str] = {"sensitivity": "Sensitivity", "ppv": "PPV", "dice": "Dice"}


@dataclass(frozen=True)
class Aim:
    """What the arms are to reach."""

    name: str
    """`Grader 2`, `the declared target`, `de novo with 50 studies`."""
    mean: float
    n: int | None
    """Studies that the mean is over; None where it was declared."""

    def text(self) -> str:
        """`Grader 2 (0.63, n = 10)`, `0.63 (the declared target)`."""
        return f"{self.mean:.2f} ({self.name})" if self.n is None else f"{self.name} ({self.mean:.2f}, n = {self.n})"


@dataclass(frozen=True)
class ArmCurve:
    """One way of training by its training size; `crossing` is None where there is no aim or no value."""

    model: str
    fine_tuned: bool
    points: tuple[CurvePoint, ...]
    crossing: Crossing | None


@dataclass(frozen=True)
class Learning:
    """One metric of one arm_comparison."""

    stratum: str
    metric: Metric
    comparison: str
    arms: tuple[ArmCurve, ...]
    """Fine-tuned first."""
    aim: Aim | None
    saving: Saving | None
    """Of fine-tuning beside de novo; None where either has no values."""
    annotation_minutes: float | None
    studies: int
    """Tested under every model of the arm_comparison that has results: all means are over these."""
    patients: int
    unit: Unit
    """What the limits are over."""
    clusters: int
    """How many of them."""

    def text(self) -> str:
        """`Sensitivity of Grader 2 (0.63, n = 10): fine-tuned from glioma reaches it at N = 14 [≤ 10, 22]; …`."""
        if self.aim is None:
            return "No goal to reach: no results of a second rater or de novo; declare one (goal: target)."
        reached = [_reaches(arm) for arm in self.arms if arm.crossing is not None]
        aim = f"{_NAMES[self.metric]} of {self.aim.text()}"
        if not reached:
            return f"{aim}: no results to compare with it yet."
        return f"{aim}: {'; '.join(reached)}{self._saved()} (over {self._evidence()})."

    def _saved(self) -> str:
        if self.saving is None:
            return ""
        smallest = next(arm.crossing.smallest for arm in self.arms if arm.crossing)
        return _saving_words(self.saving, smallest, self.annotation_minutes)

    def _evidence(self) -> str:
        """`60 test studies; limits over 6 folds`; says what limits over patients leave out."""
        studies = count_of(self.studies, "test study")
        if all(arm.crossing is None or arm.crossing.interval is None for arm in self.arms):
            return studies
        alone = ", for these very networks" if self.unit == "patient" else ""
        return f"{studies}; limits over {self.clusters} {self.unit}s{alone}"


def learning(
    by_condition: Mapping[Condition, Sequence[Row]],
    groups: Sequence[Group],
    goal: Goal | None,
    undefined: Undefined,
    seed: int,
) -> tuple[Learning, ...]:
    """The curves of every arm comparison, for the goal's metric; for sensitivity and PPV without a goal."""
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
    origin_of = origins(trained)
    tested = [{row.study for row in rows} for model in arm_comparison.conditions if (rows := by_condition.get(model))]
    # Means over different studies would be compared otherwise, while folds are missing.
    common = set.intersection(*tested) if tested else set()

    def values(model: Condition) -> ByOrigin:
        rows = [row for row in by_condition.get(model, ()) if row.study in common]
        return values_by_origin(rows, model, goal.metric, undefined, origin_of)

    def graded(model: Condition) -> ByOrigin:
        return values_by_origin(by_condition.get(model, ()), model, goal.metric, undefined)

    ways = [way for way in (arm_comparison.fine_tuned, arm_comparison.de_novo) if way]
    curves = Curves({way[0].arm: {model.training_size: values(model) for model in way} for way in ways}, seed)
    rater = next((graded(model) for model in group.conditions if model.arm == "rater"), {})
    aim, reference = _aim(goal, rater, arm_comparison, curves)
    arms = tuple(
        ArmCurve(
            model=way[0].model,
            fine_tuned=way[0].arm == "fine-tuned",
            points=curves.points(way[0].arm),
            crossing=None if reference is None else curves.crossing(way[0].arm, reference),
        )
        for way in ways
    )
    return Learning(
        stratum=arm_comparison.stratum,
        metric=goal.metric,
        comparison=arm_comparison.name,
        arms=arms,
        aim=aim,
        saving=None if reference is None or len(ways) < 2 else curves.saving("fine-tuned", "de-novo", reference),
        annotation_minutes=goal.annotation_minutes,
        studies=len(common),
        patients=len({origin_of[study].patient for study in common}),
        unit=curves.unit,
        clusters=curves.clusters,
    )


def _aim(
    goal: Goal, rater: ByOrigin, arm_comparison: ArmComparison, curves: Curves
) -> tuple[Aim | None, float | ByOrigin | None]:
    """The declared target; else Grader 2; else de novo at the largest size that has results."""
    if goal.target is not None:
        return Aim("the declared target", goal.target, None), goal.target
    if rater:
        return Aim("Grader 2", *_mean(rater)), rater
    for model in reversed(arm_comparison.de_novo):
        values = curves.values[model.arm][model.training_size]
        if values:
            return Aim(f"{model.model} with {count_of(model.training_size, 'study')}", *_mean(values)), values
    return None, None


def _mean(values: ByOrigin) -> tuple[float, int]:
    every = [value for _, own in sorted(values.items()) for value in own]
    return float(np.mean(every)), len(every)


def _reaches(arm: ArmCurve) -> str:
    crossing = arm.crossing
    assert crossing is not None, "asked for arms with a crossing only"
    if np.isfinite(crossing.studies):
        return f"{arm.model} reaches it at N {'' if crossing.studies <= crossing.smallest else '= '}{crossing.text()}"
    limits = crossing.text().removeprefix(f"not reached with {crossing.largest}")
    sure = crossing.interval is not None and not np.isfinite(crossing.interval.low)
    return f"{arm.model} does not reach it with {crossing.largest}{'' if sure else limits}"


def _saving_words(saving: Saving, smallest: int, minutes: float | None) -> str:
    """Leads with what is not shown; says nothing where the means leave open which arm needs fewer."""
    if saving.least < 0 < saving.most:
        both = f"; both with the fewest that were trained on ({smallest}): no saving can be told"
        return both if np.isfinite(saving.most) else ""
    sign = 1 if saving.least >= 0 else -1
    low, high = sorted((abs(saving.least), abs(saving.most)))
    much = f"{'about' if low == high else 'at least'} {count_of(round(low), 'labelled study')}"
    told = f"fine-tuning saves {much}" if sign > 0 else f"fine-tuning needs {much} more"
    if high < 0.5:
        told = "fine-tuning needs as many labelled studies as de novo; fewer by"
    hours = ""
    if minutes is not None:
        between = _limits(saving.interval, sign * minutes / 60)
        hours = f", {low * minutes / 60:.0f}{between} hours of annotation at {minutes:g} minutes a study"
    told = f"{told}{_limits(saving.interval, sign)}{hours}"
    if saving.shown:
        return f"; {told}"
    if saving.interval is None:
        return f"; a difference is not shown (no interval): by the means {told}"
    neither = f"; in {saving.neither:.0%} of the draws neither arm reaches it" if saving.neither >= 0.01 else ""
    return f"; a difference is not shown (the interval includes 0): by the means {told}{neither}"


def _limits(interval: Interval | None, times: float) -> str:
    """` [5, 40]`, in studies or, by hours a study, in hours."""
    if interval is None:
        return ""
    low, high = sorted((times * interval.low, times * interval.high))
    return f" [{_number(low)}, {_number(high)}]"


def _number(amount: float) -> str:
    if np.isfinite(amount):
        return str(round(amount)).replace("-", "−")
    return "not bounded"
