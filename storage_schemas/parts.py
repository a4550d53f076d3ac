"""Define what one site contributes to a cohort (Part), and a cohort that is declared for several sites.

A part is immutable and named by its content; `current.json` beside it points to the one that counts. The manifest of a
cohort is the union of its sites' current parts.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from storage_schemas.base import Digest, Document, Named, Sha256, Slug, StudyLabel
from storage_schemas.cohorts import Stripping
from storage_schemas.manifests import Exclusion, ManifestEntry
from storage_schemas.tasks import Task, TaskNamedOrFull
from storage_schemas.versions import Version

SecondRater = Literal["optional", "required", "none"]
"""Whether a second rater's mask may, must or must not accompany every study."""


class DeclaredCohort(Document):
    """A cohort of several sites, written by the consortium before they contribute (`cohort.yaml`)."""

    cohort: Slug
    sites: Annotated[tuple[Slug, ...], Field(min_length=1)]
    """The sites that are invited; the parts of no other site count."""
    task: TaskNamedOrFull
    spacing_mm: Annotated[float, Field(ge=0.5, le=5)] = 1.0
    """Spacing of the isotropic model grid."""
    strip: Stripping | None = None
    """How every site's images become skull-stripped; None: they are used as they come."""
    rating: Annotated[str, Field(min_length=1, max_length=1000)]
    """How the reference masks are drawn, in words that every rater reads."""
    second_rater: SecondRater = "optional"
    register_check: Sha256 | None = None
    """Tells whether a site has the right salt of the patient register; None: patients are not matched."""

    @model_validator(mode="after")
    def _each_site_once(self) -> DeclaredCohort:
        if len(set(self.sites)) < len(self.sites):
            raise ValueError(f"sites: wanted each site once, found {list(self.sites)}")
        return self


class Part(Named):
    """What one site contributes to a cohort. Raises ValueError if a study is listed twice or is another site's."""

    site: Slug
    cohort: Slug
    task: Task
    spacing_mm: Annotated[float, Field(gt=0)]
    strip: Stripping | None = None
    version: Version
    """Result version of the preprocessing that made its volumes."""
    studies: tuple[ManifestEntry, ...]
    """Sorted by label; labels are those of the site, without its name."""
    excluded: tuple[Exclusion, ...] = ()

    @model_validator(mode="after")
    def _its_own_studies_once(self) -> Part:
        names = [entry.study for entry in self.studies]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"site {self.site}: wanted each study once, found several of {', '.join(twice)}")
        if others := [entry.study for entry in self.studies if entry.site != self.site or "/" in entry.study]:
            raise ValueError(f"site {self.site}: wanted studies of this site, found {', '.join(others)}")
        return self

    def preparation(self) -> dict[str, str]:
        """What must be the same at every site of a cohort, in words."""
        return {
            "task": self.task.name,
            "spacing_mm": f"{self.spacing_mm:g}",
            "strip": self.strip or "none",
            "version of preprocessing": str(self.version),
        }


class Receipt(Named):
    """What left a site, and when: one for each contribution and each withdrawal."""

    SCHEMA: ClassVar[int] = 1

    site: Slug
    cohort: Slug
    what: Literal["contributed", "withdrawn"]
    part: Digest
    """The site's part of the cohort from then on."""
    studies: tuple[StudyLabel, ...]
    """The studies that were contributed or withdrawn."""
    objects: Annotated[int, Field(ge=0)]
    size: Annotated[int, Field(ge=0)]
    """Bytes of these objects."""
    at: str
    """UTC, ISO 8601."""
    lesionlab: str
    """Version of the lesionlab package."""


class SaltCheck(Document):
    """Tells whether a site's salt is the one that its earlier pseudonyms were made with, and nothing else about it."""

    check: Sha256


class Withdrawal(Document):
    """A study that was withdrawn: nothing of it may be read or contributed again under this label."""

    site: Slug
    study: StudyLabel
    volumes: tuple[Digest, ...]
    """Its volumes, of every preprocessing, which were deleted."""
    at: str
    """UTC, ISO 8601."""
