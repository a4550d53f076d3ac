"""Result rows of a study in; the conditions that it compares, and one value per study and condition, out.

A condition is what the paper calls a model: one arm at one training size, whatever the fold and the seed. Conditions
that may be compared share a stratum (depth, budget, …); each stratum is a table of its own, as in the paper.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Literal, TypeVar

from lesionlab.analysis.statistics.rows import Row
from storage_schemas.axes import AXES, Arm, ModelAxes, axes_of, text_of
from storage_schemas.experiments import Undefined
from storage_schemas.runs import Cell

Metric = Literal["sensitivity", "ppv", "dice"]
METRICS: tuple[Metric, ...] = ("sensitivity", "ppv", "dice")

R = TypeVar("R", bound=Row)

_Stratum = dict[str, Any]
"""What the compared models share, by axis."""

_TABLE_ORDER: tuple[Arm, ...] = ("default", "rater", "fine-tuned", "de-novo")


class Condition(ModelAxes):
    """One arm (and its source) at one training size; 0 studies for the default model and the second rater."""

    @property
    def trained(self) -> bool:
        """Whether it was trained on studies of the target."""
        return self.arm in ("fine-tuned", "de-novo")

    @property
    def model(self) -> str:
        """The method without its size: `fine-tuned from glioma at learning rate 1e-05`, `default model glioma`."""
        chosen = ((axis, getattr(self, name)) for name, axis in _METHOD.items())
        told = (axis.joint + axis.words(value) for axis, value in chosen if value is not None)
        return method(self.arm, self.source) + "".join(told)

    @property
    def way(self) -> Condition:
        """The same at no size: equal for all sizes of one way of training."""
        return self.model_copy(update={"training_size": 0})

    def title(self) -> str:
        """How people call this condition within its stratum: `fine-tuned from glioma, 10 studies`."""
        return f"{self.model}, {count_of(self.training_size, 'study')}" if self.trained else self.model


@dataclass(frozen=True)
class Place:
    """One cell of the design: what one network, or the default model or the rater, tested."""

    condition: Condition
    fold: int
    seed: int


@dataclass(frozen=True)
class Group:
    """The conditions that are compared with each other, in the paper's order: one table."""

    stratum: str
    """What they share and others of the study do not, such as `depth 3`; empty where nothing varies."""
    conditions: tuple[Condition, ...]

    @property
    def trained(self) -> tuple[Condition, ...]:
        """Those that were trained on the target."""
        return tuple(condition for condition in self.conditions if condition.trained)


def count_of(number: int, thing: str) -> str:
    """`1 study`, `8 studies`."""
    return f"1 {thing}" if number == 1 else f"{number} {thing.removesuffix('y')}ies"


def method(arm: Arm, source: str | None) -> str:
    """How people call an arm."""
    return {
        "default": f"default model {source}" if source else "default model",
        "rater": "Grader 2",
        "fine-tuned": f"fine-tuned from {source}" if source else "fine-tuned",
        "de-novo": "de novo",
    }[arm]


def condition_of(cell: Cell | Row) -> Condition:
    """Which condition a planned cell or a result row belongs to."""
    return cell.only(Condition)


def conditions(cells: Iterable[Cell | Row]) -> tuple[Condition, ...]:
    """The conditions of these cells, stratum by stratum in the paper's order: default, rater, then by size fine-tuned
    and de novo."""
    return _ordered({condition_of(cell) for cell in cells})


def places(cells: Iterable[Cell | Row]) -> frozenset[Place]:
    """The cells of the design that are planned, or that have rows."""
    return frozenset(Place(condition_of(cell), cell.fold, cell.seed) for cell in cells)


def groups(planned: Iterable[Condition]) -> tuple[Group, ...]:
    """The conditions that may be compared with each other, one group a stratum.

    An axis of the role "stratum" is always shared. One of the role "method or stratum" is where both arms were trained
    with the same several values; otherwise it is the arm's own choice. A default model belongs to every stratum that
    has its values (of depth), a rater to all.
    """
    every = _ordered(set(planned))
    trained = [condition for condition in every if condition.trained]
    axes = _stratifying(trained)

    def belongs(condition: Condition, to: _Stratum) -> bool:
        own = _stratum(condition, axes)
        if condition.trained:
            return own == to
        return condition.arm == "rater" or all(own[name] in (None, to[name]) for name in axes)

    found: list[_Stratum] = []
    for condition in trained or every:
        if (stratum := _stratum(condition, axes)) not in found:
            found.append(stratum)
    return tuple(Group(_words(to, found), _in_table([c for c in every if belongs(c, to)])) for to in found)


def rows_of(condition: Condition, rows: Iterable[R]) -> list[R]:
    """The rows of one condition."""
    return [row for row in rows if condition_of(row) == condition]


def rows_by_condition(rows: Iterable[R]) -> dict[Condition, list[R]]:
    """All rows, by what they belong to."""
    found = defaultdict(list)
    for row in rows:
        found[condition_of(row)].append(row)
    return found


def values_by_study(
    rows: Iterable[Row], condition: Condition, metric: Metric, undefined: Undefined = "exclude"
) -> dict[str, float | None]:
    """One value per tested study: the mean over the seeds; None where the metric is undefined under every seed.

    Where `undefined` is "worst", an undefined value is 0.
    """
    values = defaultdict(list)
    for row in rows_of(condition, rows):
        values[row.study].append(value_of(row, metric, undefined))
    return {study: mean_of_defined(values[study]) for study in sorted(values)}


def values_by_position(
    rows: Sequence[Row], condition: Condition, metric: Metric, undefined: Undefined = "exclude"
) -> dict[int, float | None]:
    """One value per place in the test subset: the mean over the folds of the values by study (the paper's unit)."""
    place = {row.study: row.position for row in rows_of(condition, rows)}
    values = defaultdict(list)
    for study, value in values_by_study(rows, condition, metric, undefined).items():
        values[place[study]].append(value)
    return {position: mean_of_defined(values[position]) for position in sorted(values)}


def value_of(row: Row, metric: Metric, undefined: Undefined = "exclude") -> float | None:
    """The metric of one row, as the study judges values that are undefined. Dice without a value stays so: both masks
    are empty, or nobody computed it."""
    value: float | None = getattr(row, metric)
    return 0.0 if value is None and undefined == "worst" and metric != "dice" else value


def mean_of_defined(values: Iterable[float | None]) -> float | None:
    """Mean of the values that are not None; None where none is left. The same for every order of the values."""
    kept = [value for value in values if value is not None]
    return fmean(kept) if kept else None


def _stratum(condition: Condition, axes: Iterable[str]) -> _Stratum:
    return {name: getattr(condition, name) for name in axes}


def _words(stratum: _Stratum, among: Sequence[_Stratum]) -> str:
    """What tells it from the others."""
    return ", ".join(
        AXES[name].words(value) for name, value in stratum.items() if any(other[name] != value for other in among)
    )


def _stratifying(trained: Sequence[Condition]) -> list[str]:
    """The axes whose values are strata, in their order."""
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
    """Of one stratum: untrained first, the default before the rater, whatever depth the rater's rows say."""
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
