"""Define what every dataset layout returns: the files of each study, by role, and their metadata."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lesionlab.preprocessing.paths import place_of
from storage_schemas.base import Slug, StudyId
from storage_schemas.tasks import Task
from storage_schemas.verdicts import Finding

DEFAULT_SITE: Slug = "site-1"
"""Site of studies whose dataset names none."""


@dataclass(frozen=True)
class Reference:
    """A manually drawn mask."""

    mask: Path
    transform: Path | None = None
    """ITK affine from native space to the space of the mask; None: the mask is in native space."""
    labels: frozenset[int] | None = None
    """The labels of a label map that are lesion; None: the file is a mask."""


@dataclass(frozen=True)
class Parts:
    """Files of a study that may be opened, by their names in findings (`FLAIR`, `initial`, `mask`)."""

    images: Mapping[str, Path] = field(default_factory=dict)
    masks: Mapping[str, Reference] = field(default_factory=dict)
    sidecars: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Content of JSON sidecars, by the name of the image."""


@dataclass(frozen=True)
class StudyFiles:
    """The files of one complete study."""

    study: StudyId
    patient: str
    """BIDS subject label, without `sub-`."""
    site: Slug
    images: Mapping[str, Path]
    """By role, in the order of the task's inputs."""
    reference: Reference
    second: Reference | None = None
    """Another rater's mask."""
    sidecars: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Content of the images' JSON sidecars, by role, if there are any."""
    participant: Mapping[str, str] = field(default_factory=dict)
    """The patient's row in participants.tsv or in the table of paths."""
    transforms: Mapping[str, Path] = field(default_factory=dict)
    """The user's own registrations, by the role of the moving image: ITK affines from the fixed image to it."""

    @property
    def second_rater(self) -> bool:
        """Whether another rater's mask is there."""
        return self.second is not None

    def parts(self, task: Task) -> Parts:
        """The same files by their names in findings."""
        return parts_of(task, self.images, self.reference, self.second, self.sidecars)


@dataclass(frozen=True)
class Incomplete:
    """A study that is refused for its layout or its name: why, and what of it may be opened all the same."""

    study: str
    """As in findings; not always a valid name."""
    findings: tuple[Finding, ...]
    parts: Parts = field(default_factory=Parts)
    site: Slug = DEFAULT_SITE

    @property
    def patient(self) -> str:
        """BIDS subject label, without `sub-`, as far as the study's name has one."""
        return self.study.partition("_")[0].removeprefix("sub-")

    @property
    def faults(self) -> tuple[str, ...]:
        """Texts of the findings."""
        return tuple(finding.text() for finding in self.findings if not finding.repaired)


@dataclass(frozen=True)
class Dataset:
    """The complete and the faulty studies of one dataset, sorted by name."""

    studies: tuple[StudyFiles, ...]
    faulty: tuple[Incomplete, ...]
    notes: tuple[str, ...] = ()
    """What the user should know about the dataset as a whole, although no study is faulty for it."""
    site: Slug = DEFAULT_SITE
    """Site of faulty studies of which no other is known."""
    faults: tuple[str, ...] = ()
    """Why the dataset as a whole cannot be used, although its studies can be checked."""


def parts_of(
    task: Task,
    images: Mapping[str, Path],
    reference: Reference | None = None,
    second: Reference | None = None,
    sidecars: Mapping[str, Mapping[str, Any]] | None = None,
) -> Parts:
    """Name files as findings do; `images` and `sidecars` are by role."""
    masks = {"mask": reference, "second mask": second}
    return Parts(
        images={place_of(task, role): path for role, path in images.items()},
        masks={place: mask for place, mask in masks.items() if mask},
        sidecars={place_of(task, role): sidecar for role, sidecar in (sidecars or {}).items()},
    )


def dataset_of(found: Iterable[StudyFiles | Incomplete], notes: tuple[str, ...] = ()) -> Dataset:
    """Separate the complete from the faulty studies of one dataset; both keep their order."""
    listed = list(found)
    return Dataset(
        studies=tuple(study for study in listed if isinstance(study, StudyFiles)),
        faulty=tuple(study for study in listed if not isinstance(study, StudyFiles)),
        notes=notes,
    )
