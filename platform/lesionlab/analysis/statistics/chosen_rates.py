"""Choose each network's learning rate within its training studies, and leave one way of training per arm.

A rate of its own for each arm is fair only if the same search found both, without the test studies. For a network of
one fold, each listed rate is judged on the network's training studies by the networks with that rate of the *other*
folds, which were not trained on them; the rate with the highest mean lesionwise F1 is taken. No test study of the
network takes part in the choice. What leaks all the same: those other networks were trained on studies that this
network is tested on (see DECISIONS.md).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from pydantic import BaseModel

from lesionlab.analysis.statistics.conditions import Condition, condition_of, mean_of_defined, value_of
from storage_schemas.base import Digest
from storage_schemas.experiments import Plan, Undefined
from storage_schemas.metrics import Metric
from storage_schemas.results import OperatingRow, StudyRow
from storage_schemas.runs import RunSpec

JUDGED_BY: Metric = "f1"
"""Sensitivity or PPV alone would take the rate of a network that marks everything, or almost nothing."""

D = TypeVar("D", bound=BaseModel)
R = TypeVar("R", StudyRow, OperatingRow)


@dataclass(frozen=True)
class Judged:
    """One listed rate, as the training studies of a network show it."""

    rate: float
    mean: float | None
    """Mean F1; None: no training study has a value."""
    studies: int


@dataclass(frozen=True)
class RateChoice:
    """The rate of the networks of one model in one fold, for all seeds."""

    model: Condition
    """Without a rate."""
    fold: int
    rate: float
    """The first listed one of those that are equally good, or if no training study was tested in another fold."""
    judged: tuple[Judged, ...]
    """Every listed rate whose networks have results."""


def choose_rates(plan: Plan, rows: Iterable[StudyRow]) -> tuple[RateChoice, ...]:
    """Choose for every model and fold, in the order of the plan, from the rows of all its networks that have any.

    None where the experiment compares every listed rate.
    """
    if plan.spec.learning_rate_choice == "every":
        return ()
    by_run: dict[Digest, list[StudyRow]] = defaultdict(list)
    for row in rows:
        by_run[row.run_id].append(row)
    by_model: dict[Condition, list[RunSpec]] = defaultdict(list)
    for run in plan.runs:
        if run.cell and run.cell.learning_rate is not None:
            by_model[_without_rate(run)].append(run)
    return tuple(
        _choice(model, fold, own, by_run, plan.spec.undefined)
        for model, own in by_model.items()
        for fold in sorted({run.cell.fold for run in own if run.cell})
    )


def at_chosen_rates(plan: Plan, choices: Sequence[RateChoice]) -> Plan:
    """The plan with the networks of the chosen rates alone; none of them differs from another by its rate.

    The same plan where the experiment compares every listed rate.
    """
    if plan.spec.learning_rate_choice == "every":
        return plan
    rate_of = {(choice.model, choice.fold): choice.rate for choice in choices}
    kept = []
    for run in plan.runs:
        if run.cell is None or run.cell.learning_rate is None:
            kept.append(run)
        elif rate_of[_without_rate(run), run.cell.fold] == run.cell.learning_rate:
            common = run.training.model_copy(update={"learning_rate": plan.spec.training.learning_rate})
            kept.append(run.model_copy(update={"cell": _at_no_rate(run.cell), "training": common}))
    return plan.model_copy(update={"runs": tuple(kept)})


def as_planned(rows: Iterable[R], plan: Plan) -> list[R]:
    """The rows of the networks of a plan at chosen rates, without a rate; those of other plans as given."""
    if plan.spec.learning_rate_choice == "every":
        return list(rows)
    runs = {run.run_id for run in plan.runs}
    return [_at_no_rate(row) for row in rows if row.run_id in runs]


def _choice(
    model: Condition,
    fold: int,
    runs: Sequence[RunSpec],
    rows: Mapping[Digest, Sequence[StudyRow]],
    undefined: Undefined,
) -> RateChoice:
    own = [run for run in runs if run.cell and run.cell.fold == fold]
    trained_on = {entry.study for run in own for entry in run.train}
    judged = []
    for rate in dict.fromkeys(run.cell.learning_rate for run in own if run.cell and run.cell.learning_rate):
        values: dict[str, list[float | None]] = defaultdict(list)
        for run in runs:
            if run.cell and run.cell.learning_rate == rate and run.cell.fold != fold:
                for row in rows.get(run.run_id, ()):
                    if row.study in trained_on:
                        values[row.study].append(value_of(row, JUDGED_BY, undefined))
        means = [mean for own_values in values.values() if (mean := mean_of_defined(own_values)) is not None]
        judged.append(Judged(rate, mean_of_defined(means), len(means)))
    best = max(judged, key=lambda one: -1.0 if one.mean is None else one.mean)  # the first of several
    return RateChoice(model, fold, best.rate, tuple(judged))


def _without_rate(run: RunSpec) -> Condition:
    assert run.cell is not None
    return _at_no_rate(condition_of(run.cell))


def _at_no_rate(axes: D) -> D:
    return axes.model_copy(update={"learning_rate": None})
