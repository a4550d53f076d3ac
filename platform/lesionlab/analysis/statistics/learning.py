"""Rows of a study and its goal in; learning curves, how many labelled studies reach the goal, and what that saves, out.

Ours, not the paper's: the paper shows means by training size and asks by eye where they meet Grader 2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lesionlab.analysis.methods.curve import ByPatient, Crossing, CurvePoint, Curves
from lesionlab.analysis.methods.intervals import Interval
from lesionlab.analysis.statistics.conditions import Condition, Group, Metric, count_of
from lesionlab.analysis.statistics.contests import Contest, contests, values_by_patient
from lesionlab.analysis.statistics.rows import Row
from storage_schemas.studies import Goal, Undefined

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
    tuned: bool
    points: tuple[CurvePoint, ...]
    crossing: Crossing | None


@dataclass(frozen=True)
class Saving:
    """How many labelled studies fewer fine-tuning needs; negative where it needs more."""

    studies: float
    interval: Interval | None
    at_least: bool
    """The smallest size that was trained was enough for fine-tuning, or the largest was not for de novo."""
    hours: float | None
    """Of annotation; None where the study does not say what one study costs."""


@dataclass(frozen=True)
class Learning:
    """One metric of one contest."""

    setting: str
    metric: Metric
    comparison: str
    arms: tuple[ArmCurve, ...]
    """Fine-tuned first."""
    aim: Aim | None
    saving: Saving | None
    """None where it cannot be told: fine-tuning does not get there, or both do at the smallest size."""
    annotation_minutes: float | None
    studies: int
    """Tested under every model of the contest that has results: all means are over these."""
    patients: int

    def text(self) -> str:
        """`Sensitivity of Grader 2 (0.63, n = 10): fine-tuned from glioma reaches it at N = 14 [≤ 10, 22]; …`."""
        if self.aim is None:
            return "No goal to reach: no results of a second grader or de novo; declare one (goal: target)."
        reached = [_reaches(arm) for arm in self.arms if arm.crossing is not None]
        aim = f"{_NAMES[self.metric]} of {self.aim.text()}"
        if not reached:
            return f"{aim}: no results to compare with it yet."
        return f"{aim}: {'; '.join(reached)}{self._saved()} (over {count_of(self.studies, 'test study')})."

    def _saved(self) -> str:
        tuned, fresh = (next((a.crossing for a in self.arms if a.tuned == which), None) for which in (True, False))
        if tuned is None or fresh is None:
            return ""
        if self.saving is None:
            both = tuned.studies <= tuned.smallest and fresh.studies <= fresh.smallest
            return f"; both with the fewest that were trained on ({tuned.smallest}): no saving can be told" * both
        return _saving_words(self.saving, self.annotation_minutes)


def learning(
    by_condition: Mapping[Condition, Sequence[Row]],
    groups: Sequence[Group],
    goal: Goal | None,
    undefined: Undefined,
    seed: int,
) -> tuple[Learning, ...]:
    """The curves of every contest of every group, for the goal's metric; for sensitivity and PPV without a goal."""
    wanted = DEFAULT_GOALS if goal is None else (goal,)
    return tuple(
        _learning(by_condition, group, contest, own, undefined, seed)
        for group in groups
        for contest in contests(group)
        for own in wanted
    )


def _learning(
    by_condition: Mapping[Condition, Sequence[Row]],
    group: Group,
    contest: Contest,
    goal: Goal,
    undefined: Undefined,
    seed: int,
) -> Learning:
    tested = [{row.study for row in rows} for model in contest.conditions if (rows := by_condition.get(model))]
    # Means over different studies would be compared otherwise, while folds are missing.
    common = set.intersection(*tested) if tested else set()

    def values(model: Condition) -> ByPatient:
        rows = [row for row in by_condition.get(model, ()) if row.study in common or not model.trained]
        return values_by_patient(rows, model, goal.metric, undefined)

    ways = [way for way in (contest.tuned, contest.fresh) if way]
    curves = Curves({way[0].arm: {model.training_size: values(model) for model in way} for way in ways}, seed)
    grader = next((values(model) for model in group.conditions if model.arm == "grader"), {})
    aim, reference = _aim(goal, grader, contest, curves)
    arms = tuple(
        ArmCurve(
            model=way[0].model,
            tuned=way[0].arm == "fine-tuned",
            points=curves.points(way[0].arm),
            crossing=None if reference is None else curves.crossing(way[0].arm, reference),
        )
        for way in ways
    )
    return Learning(
        setting=contest.setting,
        metric=goal.metric,
        comparison=contest.name,
        arms=arms,
        aim=aim,
        saving=_saving(curves, arms, reference, goal),
        annotation_minutes=goal.annotation_minutes,
        studies=len(common),
        patients=len(curves.patients),
    )


def _aim(
    goal: Goal, grader: ByPatient, contest: Contest, curves: Curves
) -> tuple[Aim | None, float | ByPatient | None]:
    """The declared target; else Grader 2; else de novo at the largest size that has results."""
    if goal.target is not None:
        return Aim("the declared target", goal.target, None), goal.target
    if grader:
        return Aim("Grader 2", *_mean(grader)), grader
    for model in reversed(contest.fresh):
        values = curves.values[model.arm][model.training_size]
        if values:
            return Aim(f"{model.model} with {count_of(model.training_size, 'study')}", *_mean(values)), values
    return None, None


def _mean(values: ByPatient) -> tuple[float, int]:
    every = [value for _, own in sorted(values.items()) for value in own]
    return float(np.mean(every)), len(every)


def _saving(curves: Curves, arms: Sequence[ArmCurve], reference: float | ByPatient | None, goal: Goal) -> Saving | None:
    tuned, fresh = (next((arm.crossing for arm in arms if arm.tuned == which), None) for which in (True, False))
    if reference is None or tuned is None or fresh is None or not np.isfinite(tuned.studies):
        return None
    at_start, never = tuned.studies <= tuned.smallest, not np.isfinite(fresh.studies)
    if at_start and fresh.studies <= fresh.smallest:
        return None
    saved = curves.saving("fine-tuned", "de-novo", reference)
    studies, interval = saved if saved is not None else (fresh.largest - tuned.studies, None)
    hours = None if goal.annotation_minutes is None else studies * goal.annotation_minutes / 60
    return Saving(studies, interval, at_start or never, hours)


def _reaches(arm: ArmCurve) -> str:
    crossing = arm.crossing
    assert crossing is not None, "asked for arms with a crossing only"
    if np.isfinite(crossing.studies):
        return f"{arm.model} reaches it at N {'' if crossing.studies <= crossing.smallest else '= '}{crossing.text()}"
    limits = crossing.text().removeprefix(f"not reached with {crossing.largest}")
    sure = crossing.interval is not None and not np.isfinite(crossing.interval.low)
    return f"{arm.model} does not reach it with {crossing.largest}{'' if sure else limits}"


def _saving_words(saving: Saving, minutes: float | None) -> str:
    if saving.studies < 0:
        return f"; fine-tuning needs about {-saving.studies:.0f} labelled studies more{_limits(saving, -1)}"
    much = f"{'at least' if saving.at_least else 'about'} {saving.studies:.0f}"
    hours = "" if saving.hours is None else f" ({saving.hours:.0f} hours of annotation at {minutes:g} minutes a study)"
    return f"; fine-tuning saves {much} labelled studies{_limits(saving, 1)}{hours}"


def _limits(saving: Saving, sign: int) -> str:
    """The interval in words; says where it also allows for the contrary."""
    if saving.interval is None:
        return ", by the means alone"
    low, high = sorted((sign * saving.interval.low, sign * saving.interval.high))
    unsure = ", which is not shown: the interval includes none" if low <= 0 <= high else ""
    return f" [{_number(low)}, {_number(high)}]{unsure}"


def _number(studies: float) -> str:
    if np.isfinite(studies):
        return f"{studies:.0f}".replace("-", "−")
    return "not bounded"
