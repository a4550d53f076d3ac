"""How well a model detects inserted lesions: by diameter and contrast, by height and by region."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar, get_args

from lesionlab.analysis.methods.intervals import Interval, Origin
from lesionlab.analysis.methods.proportion import clustered_proportion
from storage_schemas.grading import Height, InsertedLesion, Region

Group = TypeVar("Group", str, tuple[float, float])


@dataclass(frozen=True)
class Detection:
    """The fraction of inserted lesions that a model detects; patients are the clusters."""

    share: float
    patients: int
    lesions: int
    interval: Interval
    """95 % confidence interval."""
    lower: Callable[[float], float]
    """One-sided lower limit at a level."""
    p_below: Callable[[float], float]
    """One-sided p of: the true fraction is this or less."""


@dataclass(frozen=True)
class SelfGrading:
    """One model's detection of inserted lesions in one cohort. A value is None with fewer than three patients, or if it
    would tell of fewer than may be told."""

    model: str
    """`name@version`."""
    cohort: str
    studies: int
    patients: int
    marked_before: int
    """Lesions inserted where the model marked one already: left out."""
    cells: Mapping[tuple[float, float], Detection | None]
    """By diameter (mm) and contrast (SD)."""
    heights: Mapping[str, Detection | None]
    regions: Mapping[str, Detection | None]


def detection(rows: Sequence[InsertedLesion], which: Callable[[InsertedLesion], bool]) -> Detection | None:
    """Detection of some of the lesions, without those where the model marked a lesion before."""
    hits: dict[Origin, list[float]] = defaultdict(list)
    for row in rows:
        if which(row) and not row.marked_before:
            hits[Origin(None, f"{row.site}/{row.patient}")].append(float(row.detected))
    found = clustered_proportion(hits)
    if found is None:
        return None
    return Detection(found.share, found.clusters, found.n, found.interval, found.lower, found.p_below)


def self_grading(rows: Sequence[InsertedLesion], fewest: int = 1) -> SelfGrading:
    """All detections of one self-grading, whose rows must be of one model and cohort, at least one.

    None of them describes fewer than `fewest` patients, and no sum minus the others does.
    """
    first = rows[0]
    return SelfGrading(
        model=f"{first.model}@{first.version}",
        cohort=first.cohort,
        studies=len({row.study for row in rows}),
        patients=len({(row.site, row.patient) for row in rows}),
        marked_before=sum(row.marked_before for row in rows),
        cells=_told(rows, _cell, sorted({_cell(row) for row in rows}), fewest),
        heights=_told(rows, lambda row: row.height, get_args(Height), fewest),
        regions=_told(rows, lambda row: row.region, get_args(Region), fewest),
    )


def _cell(row: InsertedLesion) -> tuple[float, float]:
    return row.diameter_mm, row.contrast


def _told(
    rows: Sequence[InsertedLesion], group_of: Callable[[InsertedLesion], Group], groups: Sequence[Group], fewest: int
) -> dict[Group, Detection | None]:
    """The detection of each group of lesions. Groups of too few patients are withheld, and the next larger ones until
    those that are withheld have enough together: their sum follows from the other tables."""
    people: dict[Group, set[tuple[str, str]]] = {group: set() for group in groups}
    for row in rows:
        if not row.marked_before:
            people[group_of(row)].add((row.site, row.patient))
    withheld: set[tuple[str, str]] = set()
    shown: set[Group] = set()
    for group in sorted(groups, key=lambda one: len(people[one])):
        if len(people[group]) < fewest or 0 < len(withheld) < fewest:
            withheld |= people[group]
        else:
            shown.add(group)
    return {group: detection(rows, _in(group_of, group)) if group in shown else None for group in groups}


def _in(group_of: Callable[[InsertedLesion], Group], group: Group) -> Callable[[InsertedLesion], bool]:
    return lambda row: group_of(row) == group
