"""Result rows of a study in; the conditions that it compares, and one value per study and condition, out.

A condition is what the paper calls a model: one arm at one training size, whatever the fold and the seed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

from storage_schemas.results import Arm, StudyRow
from storage_schemas.runs import Cell

Metric = Literal["sensitivity", "ppv", "dice"]
METRICS: tuple[Metric, ...] = ("sensitivity", "ppv", "dice")

_TABLE_ORDER: tuple[Arm, ...] = ("default", "grader", "fine-tuned", "de-novo")


@dataclass(frozen=True)
class Condition:
    """One arm (and its source) at one training size; 0 studies for the default model."""

    arm: Arm
    source: str | None
    training_size: int

    @property
    def model(self) -> str:
        """The method without its size: `fine-tuned from glioma`, `default model glioma`, `de novo`."""
        return method(self.arm, self.source)

    def title(self) -> str:
        """How people call this condition: `fine-tuned from glioma, 10 studies`."""
        return self.model if self.arm == "default" else f"{self.model}, {count_of(self.training_size, 'study')}"


def count_of(number: int, thing: str) -> str:
    """`1 study`, `8 studies`."""
    return f"1 {thing}" if number == 1 else f"{number} {thing.removesuffix('y')}ies"


def method(arm: Arm, source: str | None) -> str:
    """How people call an arm."""
    return {
        "default": f"default model {source}",
        "grader": "Grader 2",
        "fine-tuned": f"fine-tuned from {source}",
        "de-novo": "de novo",
    }[arm]


def conditions(cells: Iterable[Cell]) -> tuple[Condition, ...]:
    """The conditions of these cells in the paper's order: default, then by size fine-tuned and de novo."""
    found = {Condition(cell.arm, cell.source, cell.training_size) for cell in cells}
    return tuple(sorted(found, key=lambda c: (c.training_size, _TABLE_ORDER.index(c.arm), c.source or "")))


def cells_of(rows: Iterable[StudyRow]) -> frozenset[Cell]:
    """The cells of the design that have rows."""
    return frozenset(
        Cell(arm=row.arm, source=row.source, training_size=row.training_size, fold=row.fold, seed=row.seed)
        for row in rows
    )


def rows_of(condition: Condition, rows: Iterable[StudyRow]) -> list[StudyRow]:
    """The rows of one condition."""
    return [row for row in rows if Condition(row.arm, row.source, row.training_size) == condition]


def values_by_study(rows: Iterable[StudyRow], condition: Condition, metric: Metric) -> dict[str, float | None]:
    """One value per tested study: the mean over the seeds; None where the metric is undefined under every seed."""
    values = defaultdict(list)
    for row in rows_of(condition, rows):
        values[row.study].append(getattr(row, metric))
    return {study: mean_of_defined(values[study]) for study in sorted(values)}


def values_by_position(rows: Sequence[StudyRow], condition: Condition, metric: Metric) -> dict[int, float | None]:
    """One value per place in the test subset: the mean over the folds of the values by study (the paper's unit)."""
    place = {row.study: row.position for row in rows_of(condition, rows)}
    values = defaultdict(list)
    for study, value in values_by_study(rows, condition, metric).items():
        values[place[study]].append(value)
    return {position: mean_of_defined(values[position]) for position in sorted(values)}


def mean_of_defined(values: Iterable[float | None]) -> float | None:
    """Mean of the values that are not None; None where none is left. The same for every order of the values."""
    kept = [value for value in values if value is not None]
    return fmean(kept) if kept else None
