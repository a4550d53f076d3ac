"""Make elastically deformed copies of study volumes in this node's cache and open them as memory maps.

Each copy is made once per node; all trials on the node share it through the page cache. Its name is the identity of
everything that determines it, including the result version of augmentation. The random draws depend on the study's
name and not on its voxels, so a volume from newer preprocessing is deformed in the same way. With
`augmentation: every-patch` the one copy of a study is the study itself.

On disk a voxel takes 2 bytes per channel (float16) and 1 byte for the label: 22 MB for a one-channel head of
182×218×182. So 50 studies × 3 copies take 3.2 GB, and a node that trains on all 60 studies of the paper stores 3.9 GB.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lesionlab.errors import TrainingError
from lesionlab.experiments.caches.folders import map_array, open_or_fill, save_arrays
from lesionlab.training.augment import deform
from lesionlab.training.patches import Places, find_places
from storage_schemas.base import Digest, StudyId, digest_of
from storage_schemas.identity import identity_digest
from storage_schemas.runs import Elastic, RunSpec, TrainingConfig
from storage_schemas.versions import CURRENT
from storage_schemas.volumes import StudyVolumeCard


class StudyArrays(Protocol):
    """The parts of a study volume that training reads."""

    @property
    def card(self) -> StudyVolumeCard: ...
    @property
    def image_CIJK(self) -> NDArray[np.float16]: ...
    @property
    def label_IJK(self) -> NDArray[np.uint8]: ...


@dataclass(frozen=True)
class AugmentedVolume:
    """One deformed copy; `image_CIJK` and `label_IJK` are read-only memory maps."""

    study: StudyId
    copy: int
    image_CIJK: NDArray[np.float16]
    label_IJK: NDArray[np.uint8]
    places: Places


def open_augmented(
    volume: StudyArrays,
    volume_digest: Digest,
    copy: int,
    training: TrainingConfig,
    seed: int,
    cache: Path,
    *,
    wait: bool = True,
) -> AugmentedVolume:
    """Open copy number `copy` of a study; make it first if the cache lacks it. All nodes make equal copies.

    Raises TrainingError if the cache cannot be written or the copy cannot be read back; Held, unless it shall wait, if
    somebody else makes this copy now.
    """
    name = copy_name(volume.card.study, volume_digest, copy, training, seed)
    folder = cache / "augmented" / name
    opened = partial(_open, study=volume.card.study, copy=copy)
    try:
        made = partial(_make_copy, volume=volume, copy=copy, training=training, seed=seed)
        found = open_or_fill(folder, opened, made, wait=wait)
    except OSError as error:
        raise TrainingError(
            f"{volume.card.study}: cannot write a deformed copy to the cache {folder.parent} "
            f"({error.strerror or error}); free some space there or choose another cache folder"
        ) from error
    if found is None:
        raise TrainingError(f"{volume.card.study}: the deformed copy {folder} cannot be read back; check the disk")
    return found


def copy_name(study: StudyId, volume: Digest, copy: int, training: TrainingConfig, seed: int) -> Digest:
    """The name of a deformed copy: the digest of everything that determines its voxels and its possible patches."""
    return identity_digest(
        {
            "augmentation_version": CURRENT.augmentation,
            "study": study,
            "volume": volume,
            "copy": _stored(copy, training)[0],
            "seed": seed,
            "elastic": _stored(copy, training)[1],
            "patch_voxels": training.patch_voxels,
        }
    )


def _stored(copy: int, training: TrainingConfig) -> tuple[int, Elastic]:
    """Which copy serves as this one, and how it is deformed."""
    return (0, Elastic(sd_mm=0)) if training.augmentation == "every-patch" else (copy, training.elastic)


def copies_of(run: RunSpec) -> set[Digest]:
    """The names of all deformed copies that the training of a run reads."""
    copies = range(run.training.augmentations)
    return {
        copy_name(entry.study, entry.volume, copy, run.training, run.seed) for entry in run.train for copy in copies
    }


def _open(folder: Path, study: StudyId, copy: int) -> AugmentedVolume | None:
    try:
        return AugmentedVolume(
            study=study,
            copy=copy,
            image_CIJK=map_array(folder / "image_CIJK.npy", np.float16),
            label_IJK=map_array(folder / "label_IJK.npy", np.uint8),
            places=Places(
                lesions_V4=np.load(folder / "lesions_V4.npy"),
                exclusive_S3=np.load(folder / "exclusive_S3.npy"),
                crowded=bool(np.load(folder / "crowded.npy")),
            ),
        )
    except (OSError, EOFError, ValueError):
        return None


def _make_copy(folder: Path, volume: StudyArrays, copy: int, training: TrainingConfig, seed: int) -> None:
    stored, elastic = _stored(copy, training)
    rng = np.random.default_rng(int(digest_of([volume.card.study, stored, seed]), 16))
    deformed = deform(volume.image_CIJK, volume.label_IJK, volume.card.spacing_mm, elastic, rng)
    places = find_places(deformed.image_CIJK, deformed.label_IJK, training.patch_voxels, rng)
    save_arrays(
        folder,
        {
            "image_CIJK": deformed.image_CIJK,
            "label_IJK": deformed.label_IJK,
            "lesions_V4": places.lesions_V4,
            "exclusive_S3": places.exclusive_S3,
            "crowded": np.array(places.crowded),
        },
    )
