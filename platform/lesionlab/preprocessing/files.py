"""What every layout of a dataset leaves: the files of each study, by role, and what is known beside them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from storage_schemas.base import Slug, StudyId
from storage_schemas.manifests import Exclusion

DEFAULT_SITE: Slug = "site-1"
"""Of studies whose dataset names no site."""


@dataclass(frozen=True)
class Reference:
    """A mask that a person drew."""

    mask: Path
    transform: Path | None = None
    """ITK affine from native space to the space that the mask lies in; None: the mask lies in native space."""


@dataclass(frozen=True)
class StudyFiles:
    """One study that has all its files."""

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
    """Content of the images' JSON files, by role, as far as there are any."""
    participant: Mapping[str, str] = field(default_factory=dict)
    """The patient's row of participants.tsv, or of the table of paths."""


@dataclass(frozen=True)
class Dataset:
    """The studies of one dataset, in the order of their names."""

    studies: tuple[StudyFiles, ...]
    faulty: tuple[Exclusion, ...]


def dataset_of(found: Iterable[StudyFiles | Exclusion]) -> Dataset:
    """The whole and the faulty studies of one dataset apart, each in the order in which they come."""
    listed = list(found)
    return Dataset(
        studies=tuple(study for study in listed if isinstance(study, StudyFiles)),
        faulty=tuple(study for study in listed if isinstance(study, Exclusion)),
    )
