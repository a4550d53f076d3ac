"""Choose finished runs of an experiment by the values of their cells: one run, or all folds and seeds of one cell."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import TypeAdapter, ValidationError

from lesionlab.errors import SpecError
from lesionlab.experiments.ledger import completed
from lesionlab.store.objects import Store
from storage_schemas.axes import AXES, Axes, text_of
from storage_schemas.experiments import Plan
from storage_schemas.runs import RunSpec

TURNS = ("fold", "seed", "test_site", "train_site")
"""Axes whose values an ensemble joins: networks of one cell, each of its own training studies or its own seed."""

CROSS_SITE_TURNS = ("fold", "seed", "test_site")
"""The same in cross-site, where a cell is what its networks were trained on."""

NO_VALUE = "none"


def chosen_runs(store: Store, plan: Plan, wanted: Mapping[str, Any], *, together: bool) -> tuple[RunSpec, ...]:
    """The one trained run whose cell has these values by axis, or with `together` all folds and seeds of one cell.

    Raises SpecError if none or several fit, with the values that exist or that tell them apart, or if one is not
    finished.
    """
    trained = [run for run in plan.runs if run.cell and run.train]
    runs = [run for run in trained if all(getattr(run.cell, axis) == value for axis, value in wanted.items())]
    named = ", ".join(f"{axis} {text_of(value) or NO_VALUE}" for axis, value in wanted.items())
    place = f"experiment {plan.spec.name}: {named}"
    if not runs:
        there = "; ".join(f"{axis}: {_values(trained, axis)}" for axis in wanted)
        raise SpecError(f"{place}: no such trained cell; found {there or 'no trained cell'}")
    turns = CROSS_SITE_TURNS if plan.spec.target.design == "cross-site" else TURNS
    differing = [axis for axis in AXES if len({*_each(runs, axis)}) > 1 and not (together and axis in turns)]
    if differing:
        means = " ".join(_option(axis, text_of(next(iter(_each(runs, axis)))) or NO_VALUE) for axis in differing)
        apart = "; ".join(f"{axis}: {_values(runs, axis)}" for axis in differing)
        joined = " or join the folds with --ensemble" if {*differing} <= {*turns} else ""
        raise SpecError(f"{place}: wanted one cell, found {len(runs)} ({apart}); choose one, as in {means},{joined}")
    done = completed(store, (run.run_id for run in runs))
    if missing := [run.cell.title() for run in runs if run.cell and run.run_id not in done]:
        raise SpecError(
            f"{place}: {len(missing)} of {len(runs)} cells are not trained yet ({'; '.join(missing)}); train them "
            f"first: lesionlab sweep {plan.spec.name}"
        )
    return tuple(runs)


def axis_values(options: Sequence[str]) -> dict[str, Any]:
    """Read `AXIS=VALUE` options, such as `depth=3` or `freezing=encoder frozen`. Raises SpecError with every fault."""
    faults, found = list[str](), dict[str, Any]()
    for option in options:
        axis, equals, text = (part.strip() for part in option.partition("="))
        if not equals or axis not in AXES:
            faults.append(f"--where {option}: wanted AXIS=VALUE with AXIS one of {', '.join(AXES)}")
            continue
        try:
            kind: Any = Axes.model_fields[axis].annotation
            found[axis] = None if text == NO_VALUE else TypeAdapter(kind).validate_python(text)
        except ValidationError as error:
            faults.append(f"--where {option}: {error.errors()[0]['msg']}")
    if faults:
        raise SpecError(*faults)
    return found


def _each(runs: Sequence[RunSpec], axis: str) -> Iterable[Any]:
    return (getattr(run.cell, axis) for run in runs)


def _values(runs: Sequence[RunSpec], axis: str) -> str:
    return ", ".join(dict.fromkeys(text_of(value) or NO_VALUE for value in _each(runs, axis)))


def _option(axis: str, text: str) -> str:
    return f"--fold {text}" if axis == "fold" else f"--where {axis}={text}"
