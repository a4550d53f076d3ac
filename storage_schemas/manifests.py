"""Define the manifest of a cohort: the studies that passed quality control, their volumes, and the excluded studies.

A manifest is the union of the sites' parts (`storage_schemas/parts.py`), computed when it is needed. The one that an
experiment is planned with is stored, immutable and named by its content.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, StringConstraints, model_validator

from storage_schemas.base import Digest, Document, Named, Sha256, Slug, StudyId
from storage_schemas.cohorts import Stripping
from storage_schemas.keys import volume_key
from storage_schemas.tasks import Task
from storage_schemas.verdicts import Finding

ENTRY_ATTRIBUTE = "manifest_entry"
"""Attribute of a study volume with its ManifestEntry, so that it can be listed without reading the scan again."""


class Likeness(Document):
    """What recognises copies of a study's images and mask that differ voxel by voxel; empty if written by 0.1.0.

    How each is computed is defined in `lesionlab.imaging.likeness`; it never changes, because stored ones are compared.
    """

    canonical_sha256: tuple[Sha256, ...] = ()
    """For each image, the digest of its ranked intensities in RAS order, the same for all mirror images."""
    mask_sha256: Sha256 | None = None
    """Digest of the reference mask inside its bounding box; None if it has few voxels."""
    fingerprints: tuple[Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9+/]+=*$")], ...] = ()
    """For each image with texture, the signs of local detail on a lattice over the head, base64."""


class ManifestEntry(Document):
    """One study that passed quality control."""

    study: StudyId
    patient: str
    """BIDS subject label: studies of one patient are never on both sides of a split."""
    site: Slug
    volume: Digest
    """Digest in the key of the study volume."""
    image_sha256: Sha256
    """Digest of the native image's decoded voxels: finds the same image under two names, in any compression."""
    further_images_sha256: tuple[Sha256, ...] = ()
    """Digests of the task's other images, in the order of its inputs."""
    lesions: Annotated[int, Field(ge=0)]
    """Number of connected components (26-connectivity) of the reference mask in native space."""
    lesion_volume_ml: Annotated[float, Field(ge=0)]
    likeness: Likeness = Likeness()
    """Finds copies that `image_sha256` does not."""
    second_rater: bool = False
    """Whether the volume also contains a second rater's mask."""
    register_token: Sha256 | None = None
    """HMAC of the patient's entry in the consortium's register, to match patients between sites; None: no entry."""

    @property
    def volume_key(self) -> str:
        """Place of its volume in the store."""
        return volume_key(self.site, self.study, self.volume)

    def qualified(self) -> ManifestEntry:
        """The same study with its site before both labels, which another site may use too; without register token."""
        own = {"study": f"{self.site}/{self.study}", "patient": f"{self.site}/{self.patient}", "register_token": None}
        return self.model_copy(update=own)

    @property
    def images(self) -> frozenset[Sha256]:
        """Digests of all its images that show, if shared with another study, that both have the same image."""
        return frozenset({self.image_sha256, *self.further_images_sha256, *self.likeness.canonical_sha256})

    def same_images(self, other: ManifestEntry) -> bool:
        """Whether two studies have the same images and no others."""
        canonical, others = set(self.likeness.canonical_sha256), set(other.likeness.canonical_sha256)
        if canonical and others:
            return canonical == others
        voxels, other_voxels = ({entry.image_sha256, *entry.further_images_sha256} for entry in (self, other))
        return voxels == other_voxels


class Exclusion(Document):
    """One study that failed quality control, with all findings."""

    study: str
    findings: Annotated[tuple[Finding, ...], Field(min_length=1)]

    @property
    def faults(self) -> tuple[str, ...]:
        """Texts of the findings that exclude it; what was repaired is not a fault."""
        return tuple(finding.text() for finding in self.findings if not finding.repaired)


class Manifest(Named):
    """The studies of a cohort. Raises ValueError if a study is listed twice."""

    cohort: Slug
    task: Task
    spacing_mm: Annotated[float, Field(gt=0)]
    studies: tuple[ManifestEntry, ...]
    excluded: tuple[Exclusion, ...] = ()
    strip: Stripping | None = None
    """Whether and how its images became skull-stripped; None: not declared, used as they came."""
    parts: dict[Slug, Digest] = Field(default_factory=dict)
    """The part of each site whose union this is."""

    @classmethod
    def named_form(cls, form: Mapping[str, Any]) -> dict[str, Any]:
        """The names of the parts that it is the union of, and whether its labels are qualified by site.

        A union is computed again and again, also by a later release whose documents have more fields; names that are
        stored keep it the same. Without parts all fields count, and stripping only if there is any.
        """
        fields = super().named_form(form)
        if fields["parts"]:
            qualified = any("/" in entry["study"] for entry in fields["studies"])
            return {"cohort": fields["cohort"], "parts": fields["parts"], "qualified": qualified}
        return {name: value for name, value in fields.items() if value or name not in ("strip", "parts")}

    @model_validator(mode="after")
    def _each_study_once(self) -> Manifest:
        names = [entry.study for entry in self.studies]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"cohort {self.cohort}: wanted each study once, found several of {', '.join(twice)}")
        return self
