"""Conditions of an experiment, and the value of each study under each condition.

A condition is what the paper calls a model: one arm at one training size, over all folds and seeds. Conditions that
may be compared share a stratum (depth, budget, …); each stratum is a table of its own, as in the paper.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from statistics import fmean
from typing import Any, TypeVar

from lesionlab.analysis.statistics.rows import Row, TestedRow
from storage_schemas.axes import Arm, ModelAxes, axes_of, text_of
from storage_schemas.experiments import Undefined
from storage_schemas.metrics import COLUMNS, Metric
from storage_schemas.runs import Cell

R = TypeVar("R", bound=Row)

_TABLE_ORDER: tuple[Arm, ...] = ("default", "rater", "other", "fine-tuned", "de-novo")


class Condition(ModelAxes):
    """One arm (and its source) at one training size; size 0 for the default model, the second rater, and models from
    elsewhere whose size is not given."""

    @property
    def trained(self) -> bool:
        """Whether it was trained on studies of the target cohort."""
        return self.arm in ("fine-tuned", "de-novo")

    @property
    def way(self) -> Condition:
        """The way of training: the same without a size, equal for all sizes of one learning curve."""
        return self.model_copy(update={"training_size": 0})


_AXES = tuple(Condition.model_fields)


@cache
def _condition(*values: Any) -> Condition:
    # Not validated again: the values were, and external tables may have any site names.
    return Condition.model_construct(**dict(zip(_AXES, values, strict=True)))


@dataclass(frozen=True)
class Stratum:
    """What the conditions of one table share and others of the experiment do not; no axis where nothing varies."""

    axes: tuple[tuple[str, Any], ...] = ()
    """Each axis that varies, by the name of its field, with its value here."""

    def __bool__(self) -> bool:
        return bool(self.axes)

    def among(self, others: Iterable[Stratum]) -> Stratum:
        """The same with those axes alone that tell it from others, which have the same axes."""
        values = {name: {dict(other.axes)[name] for other in others} for name, _ in self.axes}
        return Stratum(tuple((name, value) for name, value in self.axes if len(values[name]) > 1))


@dataclass(frozen=True)
class Place:
    """One cell of the design: one network, or the default model or the rater on one fold."""

    condition: Condition
    fold: int
    seed: int


@dataclass(frozen=True)
class Group:
    """The conditions of one stratum, in the paper's order: one table."""

    stratum: Stratum
    conditions: tuple[Condition, ...]

    @property
    def trained(self) -> tuple[Condition, ...]:
        """Those that were trained on the target."""
        return tuple(condition for condition in self.conditions if condition.trained)


def condition_of(cell: Cell | TestedRow | Condition) -> Condition:
    """Return the condition of a planned cell or a result row; the same object for equal ones, as it is asked often."""
    return _condition(*(getattr(cell, name) for name in _AXES))


def conditions(cells: Iterable[Cell | TestedRow]) -> tuple[Condition, ...]:
    """Return the conditions of these cells, by stratum, in the paper's order: default, rater, then by size fine-tuned
    and de novo."""
    return _ordered({condition_of(cell) for cell in cells})


def places(cells: Iterable[Cell | TestedRow]) -> frozenset[Place]:
    """Return the cells of the design that are planned, or that have rows."""
    return frozenset(Place(condition_of(cell), cell.fold, cell.seed) for cell in cells)


def groups(planned: Iterable[Condition]) -> tuple[Group, ...]:
    """Group the conditions that may be compared with each other, one group per stratum.

    An axis of the role "stratum" is always shared within a stratum. One of the role "method or stratum" is shared if
    both arms were trained with the same several values; otherwise it is a choice of the arm. A default model belongs to
    every stratum that has its values (of depth), a rater and models from elsewhere to all.
    """
    every = _ordered(set(planned))
    trained = [condition for condition in every if condition.trained]
    axes = _stratifying(trained)

    def belongs(condition: Condition, to: Stratum) -> bool:
        own = _shared(condition, axes)
        if condition.trained:
            return own == to
        return condition.arm in ("rater", "other") or all(
            own_value in (None, value) for (_, own_value), (_, value) in zip(own.axes, to.axes, strict=True)
        )

    found = list(dict.fromkeys(_shared(condition, axes) for condition in trained or every))
    return tuple(Group(to.among(found), _in_table([c for c in every if belongs(c, to)])) for to in found)


def rows_of(condition: Condition, rows: Iterable[R]) -> list[R]:
    """Return the rows of one condition."""
    wanted = condition_of(condition)
    return [row for row in rows if condition_of(row) is wanted]


def rows_by_condition(rows: Iterable[R]) -> dict[Condition, list[R]]:
    """Group rows by condition."""
    found = defaultdict(list)
    for row in rows:
        found[condition_of(row)].append(row)
    return found


def values_by_study(
    rows: Iterable[Row], condition: Condition, metric: Metric, undefined: Undefined = "exclude"
) -> dict[str, float | None]:
    """Return one value per tested study: the mean over seeds; None where the metric is undefined under every seed.

    If `undefined` is "worst", an undefined PPV counts as 0 in a study that has a reference lesion.
    """
    values = defaultdict(list)
    for row in rows_of(condition, rows):
        values[row.study].append(value_of(row, metric, undefined))
    return {study: mean_of_defined(values[study]) for study in sorted(values)}


def values_by_position(
    rows: Sequence[Row], condition: Condition, metric: Metric, undefined: Undefined = "exclude"
) -> dict[int, float | None]:
    """Return one value per position in the test subset: the mean of the studies over folds (the paper's unit)."""
    place = {row.study: row.position for row in rows_of(condition, rows)}
    values = defaultdict(list)
    for study, value in values_by_study(rows, condition, metric, undefined).items():
        values[place[study]].append(value)
    return {position: mean_of_defined(values[position]) for position in sorted(values)}


def value_of(row: Row, metric: Metric, undefined: Undefined = "exclude") -> float | None:
    """Return the metric of one row under the experiment's policy for undefined values."""
    value, worst = row.measured(metric), COLUMNS[metric].worst
    if value is not None or undefined == "exclude" or worst is None:
        return value
    return None if row.measured(worst.if_defined) is None else worst.value


def mean_of_defined(values: Iterable[float | None]) -> float | None:
    """Average the values that are not None; None without any. Independent of the order of the values."""
    kept = [value for value in values if value is not None]
    return fmean(kept) if kept else None


def _shared(condition: Condition, axes: Iterable[str]) -> Stratum:
    """The condition's value of each of these axes."""
    return Stratum(tuple((name, getattr(condition, name)) for name in axes))


def _stratifying(trained: Sequence[Condition]) -> list[str]:
    """Return the axes whose values are strata, in their order."""
    return [
        name
        for name, axis in axes_of("stratum", "method or stratum").items()
        if axis.role == "stratum" or _is_shared(name, trained)
    ]


def _is_shared(name: str, trained: Sequence[Condition]) -> bool:
    """Whether both arms, or the only one, were trained with the same several values of this axis."""
    values: dict[Arm, set[object]] = defaultdict(set)
    for condition in trained:
        values[condition.arm].add(getattr(condition, name))
    first, *others = values.values() or ({None},)
    return len(first) > 1 and all(other == first for other in others)


def _in_table(together: Iterable[Condition]) -> tuple[Condition, ...]:
    """Order one stratum: untrained first, the default before the rater, whatever depth the rater's rows carry."""
    return tuple(sorted(together, key=lambda c: (c.training_size, _TABLE_ORDER.index(c.arm))))


def _ordered(found: Iterable[Condition]) -> tuple[Condition, ...]:
    def place(condition: Condition) -> tuple[object, ...]:
        model = (condition.training_size, _TABLE_ORDER.index(condition.arm), condition.source or "")
        strata, method = ([_sortable(getattr(condition, name)) for name in axes] for axes in (_STRATUM, _METHOD))
        return strata, model, method

    return tuple(sorted(found, key=place))


def _sortable(value: object) -> tuple[float, str]:
    """Numbers by size, all else by its text; no value comes first."""
    return (value, "") if isinstance(value, int | float) else (0.0, text_of(value))


_METHOD = axes_of("method", "method or stratum")
_STRATUM = axes_of("stratum")
