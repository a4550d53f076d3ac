"""How well a model detects inserted lesions: by diameter and contrast, by height and by region."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

from lesionlab.analysis.methods.intervals import Interval, Origin
from lesionlab.analysis.methods.proportion import clustered_proportion
from storage_schemas.grading import Height, InsertedLesion, Region


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
    """One model's detection of inserted lesions in one cohort. A value is None with fewer than three patients."""

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


def self_grading(rows: Sequence[InsertedLesion]) -> SelfGrading:
    """All detections of one self-grading, whose rows must be of one model and cohort, at least one."""
    first = rows[0]
    return SelfGrading(
        model=f"{first.model}@{first.version}",
        cohort=first.cohort,
        studies=len({row.study for row in rows}),
        patients=len({(row.site, row.patient) for row in rows}),
        marked_before=sum(row.marked_before for row in rows),
        cells={
            cell: detection(rows, lambda row, cell=cell: (row.diameter_mm, row.contrast) == cell)  # type: ignore[misc]
            for cell in sorted({(row.diameter_mm, row.contrast) for row in rows})
        },
        heights={
            name: detection(rows, lambda row, name=name: row.height == name)  # type: ignore[misc]
            for name in get_args(Height)
        },
        regions={
            name: detection(rows, lambda row, name=name: row.region == name)  # type: ignore[misc]
            for name in get_args(Region)
        },
    )
