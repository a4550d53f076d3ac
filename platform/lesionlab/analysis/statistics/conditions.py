"""Result rows of a study in; the conditions that it compares, and one value per study and condition, out.

A condition is what the paper calls a model: one arm at one training size, whatever the fold and the seed. Conditions
that may be compared share a stratum (depth, budget, …); each stratum is a table of its own, as in the paper.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal, TypeVar

from lesionlab.analysis.statistics.rows import Row
from storage_schemas.experiments import Undefined
from storage_schemas.results import Arm
from storage_schemas.runs import Budget, Cell, Freezing

Metric = Literal["sensitivity", "ppv", "dice"]
METRICS: tuple[Metric, ...] = ("sensitivity", "ppv", "dice")

R = TypeVar("R", bound=Row)

_TABLE_ORDER: tuple[Arm, ...] = ("default", "rater", "fine-tuned", "de-novo")


@dataclass(frozen=True)
class Condition:
    """One arm (and its source) at one training size; 0 studies for the default model and the second rater."""

    arm: Arm
    source: str | None
    training_size: int
    depth: int = 4
    learning_rate: float | None = None
    budget: str | None = None
    freezing: str | None = None
    train_site: str | None = None

    @property
    def trained(self) -> bool:
        """Whether it was trained on studies of the target."""
        return self.arm in ("fine-tuned", "de-novo")

    @property
    def model(self) -> str:
        """The method without its size: `fine-tuned from glioma at learning rate 1e-05`, `default model glioma`."""
        rate = "" if self.learning_rate is None else f" at learning rate {self.learning_rate:g}"
        return method(self.arm, self.source) + rate + (f", {self.freezing}" if self.freezing else "")

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
    budget, freezing = cell.budget, cell.freezing
    return Condition(
        arm=cell.arm,
        source=cell.source,
        training_size=cell.training_size,
        depth=cell.depth,
        learning_rate=cell.learning_rate,
        budget=budget.text() if isinstance(budget, Budget) else budget,
        freezing=freezing.text() if isinstance(freezing, Freezing) else freezing,
        train_site=cell.train_site,
    )


def conditions(cells: Iterable[Cell | Row]) -> tuple[Condition, ...]:
    """The conditions of these cells, stratum by stratum in the paper's order: default, rater, then by size fine-tuned
    and de novo."""
    return _ordered({condition_of(cell) for cell in cells})


def places(cells: Iterable[Cell | Row]) -> frozenset[Place]:
    """The cells of the design that are planned, or that have rows."""
    return frozenset(Place(condition_of(cell), cell.fold, cell.seed) for cell in cells)


def groups(planned: Iterable[Condition]) -> tuple[Group, ...]:
    """The conditions that may be compared with each other, one group a stratum.

    Depth, budget and the site that was trained on are always shared. The learning rate is where both arms were trained
    at the same several ones; otherwise it is the arm's own choice, as freezing always is. A default model belongs to
    every stratum of its depth, a rater to all.
    """
    every = _ordered(set(planned))
    trained = [condition for condition in every if condition.trained]
    by_rate = _rates_are_shared(trained)

    def stratum(condition: Condition) -> _Stratum:
        rate = condition.learning_rate if by_rate else None
        return _Stratum(condition.depth, condition.budget, rate, condition.train_site)

    def belongs(condition: Condition, to: _Stratum) -> bool:
        if condition.trained:
            return stratum(condition) == to
        return condition.arm == "rater" or condition.depth == to.depth

    found = list(dict.fromkeys(stratum(condition) for condition in trained or every))
    return tuple(Group(to.words(found), _in_table([c for c in every if belongs(c, to)])) for to in found)


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


@dataclass(frozen=True)
class _Stratum:
    depth: int
    budget: str | None
    learning_rate: float | None
    train_site: str | None

    def words(self, among: Sequence[_Stratum]) -> str:
        """What tells it from the others."""
        told = (
            ({to.depth for to in among}, f"depth {self.depth}"),
            ({to.budget for to in among}, self.budget or "the training's own budget"),
            ({to.learning_rate for to in among}, f"learning rate {self.learning_rate or 0:g}"),
            ({to.train_site for to in among}, f"trained on {self.train_site}"),
        )
        return ", ".join(words for found, words in told if len(found) > 1)


def _rates_are_shared(trained: Sequence[Condition]) -> bool:
    rates: dict[Arm, set[float | None]] = defaultdict(set)
    for condition in trained:
        rates[condition.arm].add(condition.learning_rate)
    first, *others = rates.values() or ({None},)
    return len(first) > 1 and all(other == first for other in others)


def _in_table(together: Iterable[Condition]) -> tuple[Condition, ...]:
    """Of one stratum: untrained first, the default before the rater, whatever depth the rater's rows say."""
    return tuple(sorted(together, key=lambda c: (c.training_size, _TABLE_ORDER.index(c.arm))))


def _ordered(found: Iterable[Condition]) -> tuple[Condition, ...]:
    return tuple(
        sorted(
            found,
            key=lambda c: (
                (c.depth, c.train_site or "", c.budget or ""),
                (c.training_size, _TABLE_ORDER.index(c.arm), c.source or ""),
                (c.learning_rate or 0.0, c.freezing or ""),
            ),
        )
    )
