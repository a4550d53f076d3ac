"""Define what every dataset layout returns: the files of each study, by role, and their metadata."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from storage_schemas.base import Slug, StudyId
from storage_schemas.manifests import Exclusion

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


@dataclass(frozen=True)
class Dataset:
    """The complete and the faulty studies of one dataset, sorted by name."""

    studies: tuple[StudyFiles, ...]
    faulty: tuple[Exclusion, ...]
    notes: tuple[str, ...] = ()
    """What the user should know about the dataset as a whole, although no study is faulty for it."""
    site: Slug = DEFAULT_SITE
    """Site of faulty studies of which no other is known."""


def dataset_of(found: Iterable[StudyFiles | Exclusion], notes: tuple[str, ...] = ()) -> Dataset:
    """Separate the complete from the faulty studies of one dataset; both keep their order."""
    listed = list(found)
    return Dataset(
        studies=tuple(study for study in listed if isinstance(study, StudyFiles)),
        faulty=tuple(study for study in listed if isinstance(study, Exclusion)),
        notes=notes,
    )
