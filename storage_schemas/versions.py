"""Declare the result version of each stage: an integer that is raised when the same inputs give other results.

An identity includes the versions of the stages that its result depends on. The golden runs in `tests/golden/` fail if
the results of a stage change and its version does not. Changes of comments, names, speed or error messages leave the
versions unchanged.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from storage_schemas.base import Document

Version = Annotated[int, Field(ge=1)]


class ResultVersions(Document):
    """Result versions of all stages that determine the result of a run."""

    preprocessing: Version
    """Files to the voxels, grids and masks of a study volume."""
    augmentation: Version
    """A study volume to its deformed copies and the possible positions of patches."""
    training: Version
    """Deformed copies and initial weights to trained weights: random draws, patches, steps."""
    inference: Version
    """Weights and a study volume to a probability map and a mask in native space."""
    evaluation: Version
    """Two masks to the study row and the lesion rows."""


CURRENT = ResultVersions(preprocessing=3, augmentation=1, training=2, inference=2, evaluation=2)
"""Result versions of this code."""


def version_difference(planned: ResultVersions) -> str:
    """The stages of which this code has another result version than the plan, and what to do."""
    wanted, found = planned.model_dump(), CURRENT.model_dump()
    stages = ", ".join(
        f"{stage} {wanted[stage]} (this code has {found[stage]})" for stage in wanted if wanted[stage] != found[stage]
    )
    return (
        f"planned with result versions {stages}; continue with the lesionlab that made the plan, or plan again: "
        "completed runs keep their results, but results of different versions are never mixed"
    )
