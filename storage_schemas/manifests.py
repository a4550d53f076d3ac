"""The manifest: which studies of a cohort passed the door, where their volumes lie, and which did not and why.

Immutable and named by its digest; `current.json` beside it points to the newest one.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from storage_schemas.base import Digest, Document, Named, Sha256, Slug, StudyId
from storage_schemas.tasks import Task
from storage_schemas.verdicts import Finding

ENTRY_ATTRIBUTE = "manifest_entry"
"""Name of the attribute of a study volume that holds its ManifestEntry, so that it is listed again without a look."""


class ManifestEntry(Document):
    """One study that passed."""

    study: StudyId
    patient: str
    """BIDS subject label: studies of one patient never stand on both sides of a split."""
    site: Slug
    volume: Digest
    """Digest in the key of the study volume."""
    image_sha256: Sha256
    """Of the native image's decoded voxels: the same image under two names is a leak, however it was compressed."""
    further_images_sha256: tuple[Sha256, ...] = ()
    """The same of the task's other images, in the order of its inputs."""
    lesions: Annotated[int, Field(ge=0)]
    """Connected components (26-neighbourhood) of the reference mask in native space."""
    lesion_volume_ml: Annotated[float, Field(ge=0)]
    second_rater: bool = False
    """Whether the volume holds another rater's mask too."""

    @property
    def images(self) -> frozenset[Sha256]:
        """All its images, by their voxels."""
        return frozenset({self.image_sha256, *self.further_images_sha256})


class Exclusion(Document):
    """One study that did not pass, with everything that was found."""

    study: str
    findings: Annotated[tuple[Finding, ...], Field(min_length=1)]

    @property
    def faults(self) -> tuple[str, ...]:
        """What is wrong, in words."""
        return tuple(finding.text() for finding in self.findings)


class Manifest(Named):
    """What one ingestion left in the store. Raises ValueError where one study is listed twice."""

    cohort: Slug
    task: Task
    spacing_mm: Annotated[float, Field(gt=0)]
    studies: tuple[ManifestEntry, ...]
    excluded: tuple[Exclusion, ...] = ()

    @model_validator(mode="after")
    def _each_study_once(self) -> Manifest:
        names = [entry.study for entry in self.studies]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"cohort {self.cohort}: listed more than once: {', '.join(twice)}")
        return self
