"""A task and a study grid in; what one study costs, out: to share studies out over a machine, not to bill anyone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from storage_schemas.tasks import Task


@dataclass(frozen=True)
class StudyCost:
    """Of one study, on one CPU."""

    seconds: float
    memory_bytes: int
    """Peak of its whole process, with room to spare."""


READING = StudyCost(seconds=2.0, memory_bytes=2 * 2**30)
"""Of a study whose images are read and looked at, and no more."""

_AT_1_MM_S: dict[Literal["none", "rigid", "syn"], float] = {"none": 3.0, "rigid": 60.0, "syn": 150.0}
_AT_1_MM_GIB: dict[Literal["none", "rigid", "syn"], float] = {"none": 1.0, "rigid": 1.5, "syn": 3.0}
_EVER_GIB = 1.0


def study_cost(task: Task, spacing_mm: float) -> StudyCost:
    """Measured on whole heads; it grows with the number of voxels of the study grid."""
    kinds = {registration.kind for registration in task.registrations}
    kind: Literal["none", "rigid", "syn"] = "syn" if "syn" in kinds else "rigid" if kinds else "none"
    voxels_of_1_mm = spacing_mm**-3
    return StudyCost(
        seconds=1.0 + _AT_1_MM_S[kind] * voxels_of_1_mm,
        memory_bytes=int((_EVER_GIB + _AT_1_MM_GIB[kind] * voxels_of_1_mm) * 2**30),
    )
