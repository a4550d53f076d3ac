"""The result version of each room that decides a result: one integer, raised when the same inputs give other results.

An identity holds the versions of the rooms that its result passed through. The golden runs in `tests/golden/` hold each
room to its version: they fail where a result moved and the integer did not. Comments, names, speed and error messages
raise nothing.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from storage_schemas.base import Document

Version = Annotated[int, Field(ge=1)]


class ResultVersions(Document):
    """Of every room that decides the result of a run."""

    preprocessing: Version
    """From files to the voxels, grids and masks of a study volume."""
    augmentation: Version
    """From a study volume to its deformed copies and the places where patches may lie."""
    training: Version
    """From volumes, or their copies, and a start to trained weights: draws, patches, steps."""
    inference: Version
    """From weights and a study volume to a probability map and a mask in native space."""
    evaluation: Version
    """From two masks to the rows of a study and its lesions."""


CURRENT = ResultVersions(preprocessing=1, augmentation=1, training=1, inference=1, evaluation=2)
"""The versions of this code."""


def version_difference(planned: ResultVersions) -> str:
    """Which rooms of this code give other results than those that were planned, and what to do."""
    wanted, found = planned.model_dump(), CURRENT.model_dump()
    rooms = ", ".join(
        f"{room} {wanted[room]} (this code has {found[room]})" for room in wanted if wanted[room] != found[room]
    )
    return (
        f"planned with result versions {rooms}; go on with the lesionlab version that planned it, or plan anew: "
        "finished runs keep their results, but other versions never mix with them"
    )
