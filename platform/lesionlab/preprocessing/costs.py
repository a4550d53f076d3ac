"""Estimate time and memory of preprocessing one study, to distribute studies over a machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from storage_schemas.cohorts import Stripper
from storage_schemas.tasks import Task


@dataclass(frozen=True)
class StudyCost:
    """Cost of one study on one CPU."""

    seconds: float
    memory_bytes: int
    """Peak memory of the whole process, with a margin."""


READING = StudyCost(seconds=2.0, memory_bytes=3 * 2**29)
"""Cost of a study whose images are only read and checked."""

Kind = Literal["none", "rigid", "syn"]

# On a 182 × 220 × 174 mm head at 1 mm, one thread; "none" is a study without registration.
_AT_1_MM_S: dict[Kind, float] = {"none": 3.0, "rigid": 60.0, "syn": 130.0}
# Measured peaks: 1.6 GiB at 1 mm and 0.6 at 2 mm with syn, 0.8 and 0.6 with rigid, 0.4 at 1 mm with none. Plus 50 %.
_AT_1_MM_GIB: dict[Kind, float] = {"none": 0.5, "rigid": 0.6, "syn": 1.8}
_ALWAYS_GIB = 0.8


# deepbet on a raw FLAIR, one thread: 15 s and a peak of 1.1 GiB with torch, at any spacing. Plus 50 %.
_STRIPPING_S = 15.0
_STRIPPING_GIB = 1.6


def study_cost(task: Task, spacing_mm: float, strip: Stripper | None = None) -> StudyCost:
    """Cost of a whole head; it grows with the number of voxels of the model grid."""
    kinds = {registration.kind for registration in task.registrations}
    kind: Kind = "syn" if "syn" in kinds else "rigid" if kinds else "none"
    voxels_of_1_mm = spacing_mm**-3
    return StudyCost(
        seconds=1.0 + (_STRIPPING_S if strip else 0.0) + _AT_1_MM_S[kind] * voxels_of_1_mm,
        memory_bytes=int(
            (_ALWAYS_GIB + (_STRIPPING_GIB if strip else 0.0) + _AT_1_MM_GIB[kind] * voxels_of_1_mm) * 2**30
        ),
    )
