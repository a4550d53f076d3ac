"""Study volumes in; their elastically deformed copies, memory-mapped on this node and ready to be cut, out.

A copy is made once per node and shared by all trials on it through the page cache: content-addressed by everything that
decides it, made under a lock and renamed when whole, so that several processes may want the same one at once. What is
drawn follows from the study's name and not from its content, so that newer code that prepares it draws alike.

On disk a voxel takes 2 bytes a channel (float16) and 1 for the label: 22 MB for a 182×218×182 head of one channel, so
50 studies × 3 copies are 3.2 GB, and a node that sees all 60 studies of the paper holds 3.9 GB. The folder may be
deleted at any time when no training runs.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lesionlab.store.files import locked, sync_folder
from lesionlab.training.augment import deform
from lesionlab.training.patches import Places, find_places
from storage_schemas.base import Digest, StudyId, digest_of
from storage_schemas.runs import TrainingConfig
from storage_schemas.volumes import StudyVolumeCard

RECIPE = 2
"""Version of what this module, `augment` and `find_places` do; a change of it makes new copies."""


class StudyArrays(Protocol):
    """What training needs of a study volume."""

    @property
    def card(self) -> StudyVolumeCard: ...
    @property
    def image_CIJK(self) -> NDArray[np.float16]: ...
    @property
    def label_IJK(self) -> NDArray[np.uint8]: ...


@dataclass(frozen=True)
class AugmentedVolume:
    """One deformed copy: `image_CIJK` and `label_IJK` are read-only memory maps."""

    study: StudyId
    copy: int
    image_CIJK: NDArray[np.float16]
    label_IJK: NDArray[np.uint8]
    places: Places


def open_augmented(
    volume: StudyArrays, volume_digest: Digest, copy: int, training: TrainingConfig, seed: int, cache: Path
) -> AugmentedVolume:
    """Copy number `copy` of a study, made now where this node does not have it; the same on every node."""
    digest = digest_of(
        {
            "recipe": RECIPE,
            "volume": volume_digest,
            "copy": copy,
            "seed": seed,
            "elastic": training.elastic.model_dump(),
            "patch_voxels": training.patch_voxels,
        }
    )
    folder = cache / "augmented" / digest
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with locked(folder.with_suffix(".lock")):
            if not folder.exists():  # another process may have made it while this one waited
                chance = digest_of([volume.card.study, copy, seed])
                _make(folder, volume, training, np.random.default_rng(int(chance, 16)))
    return AugmentedVolume(
        study=volume.card.study,
        copy=copy,
        image_CIJK=np.load(folder / "image_CIJK.npy", mmap_mode="r"),
        label_IJK=np.load(folder / "label_IJK.npy", mmap_mode="r"),
        places=Places(
            lesions_V4=np.load(folder / "lesions_V4.npy"),
            exclusive_S3=np.load(folder / "exclusive_S3.npy"),
            crowded=bool(np.load(folder / "crowded.npy")),
        ),
    )


def _make(folder: Path, volume: StudyArrays, training: TrainingConfig, rng: np.random.Generator) -> None:
    deformed = deform(volume.image_CIJK, volume.label_IJK, volume.card.spacing_mm, training.elastic, rng)
    places = find_places(deformed.image_CIJK, deformed.label_IJK, training.patch_voxels, rng)
    arrays: dict[str, NDArray[Any]] = {
        "image_CIJK": deformed.image_CIJK,
        "label_IJK": deformed.label_IJK,
        "lesions_V4": places.lesions_V4,
        "exclusive_S3": places.exclusive_S3,
        "crowded": np.array(places.crowded),
    }
    draft = folder.with_suffix(".draft")
    shutil.rmtree(draft, ignore_errors=True)  # the stale files of a process that died: this one alone holds the lock
    draft.mkdir()
    for name, array in arrays.items():
        with (draft / f"{name}.npy").open("wb") as file:
            np.save(file, array)
            os.fsync(file.fileno())
    draft.rename(folder)
    sync_folder(folder.parent)
