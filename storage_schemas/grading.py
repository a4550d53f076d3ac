"""Define the rows of a self-grading: lesions of known size and contrast, inserted where a site's scans have none."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from storage_schemas.base import Digest, Document, Slug, StudyId

DIAMETERS_MM = (3.0, 5.0, 8.0, 12.0)
"""Of the inserted lesions: from the smallest that consensus criteria count in MS, 3 mm (Thompson et al. 2018)."""

CONTRASTS = (0.5, 1.0, 2.0)
"""Brightness added at the centre of a lesion, in SDs of the image over the head: what the network sees."""

Height = Literal["lower", "middle", "upper"]
"""Third of the head, along its axis from feet to head."""
Region = Literal["central", "peripheral"]
"""central: at least half as deep under the head's surface as its deepest voxel."""


class InsertedLesion(Document):
    """One inserted lesion, and whether one model detected it."""

    model: Slug
    version: Digest
    cohort: Slug
    manifest: Digest
    study: StudyId
    patient: str
    site: Slug
    channel: str
    """Input channel in which it was inserted."""
    definition: str
    """The MetricDefinition by which it counts as detected, as `name@digest`."""
    diameter_mm: Annotated[float, Field(gt=0)]
    contrast: Annotated[float, Field(gt=0)]
    height: Height
    region: Region
    x_mm: float
    y_mm: float
    z_mm: float
    """Its centre in world space, RAS+ millimetres."""
    detected: bool
    """Whether the prediction after insertion hits it."""
    marked_before: bool
    """Whether the prediction before insertion had a lesion there already; such rows tell nothing about detection."""
