"""One entry of a manifest in; the study's voxels as read-only memory maps of a folder on this node out.

Training reads patches from the maps, never from the store: all processes of a node share them through the page cache.
The folder is `<cache>/volumes/<digest>/{card.json,image.npy,label.npy,native_label.npy}`, with
`second_label.npy` where the volume has one, filled once per node.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from lesionlab.errors import StoreError
from lesionlab.store.arrays import read_array, read_attributes
from lesionlab.store.base import Store
from lesionlab.store.files import locked, sync_folder
from storage_schemas.keys import STUDY_VOLUME
from storage_schemas.manifests import ManifestEntry
from storage_schemas.volumes import ATTRIBUTE, StudyVolumeCard


@dataclass(frozen=True)
class CachedVolume:
    """A study volume on this node. Axes: C channel; I J K model grid; i j k native grid. The maps are read-only."""

    card: StudyVolumeCard
    image_CIJK: NDArray[np.float16]
    label_IJK: NDArray[np.uint8]
    native_label_ijk: NDArray[np.uint8]
    second_label_ijk: NDArray[np.uint8] | None
    """Another rater's mask, where there is one."""


def open_cached(store: Store, entry: ManifestEntry, cache: Path) -> CachedVolume:
    """The study volume of this entry, copied from the store to `cache` where it is not there, or not whole.

    Any number of processes may ask at once: one copies, the others wait for it. Raises MissingObject where the store
    does not have the volume, StoreError where the volume is not that of the entry, or the cache cannot be written.
    """
    folder = cache / "volumes" / entry.volume
    volume = _mapped(folder) or _filled(store, entry, folder)
    found = (volume.card.study, volume.card.patient, volume.card.site)
    wanted = (entry.study, entry.patient, entry.site)
    if found != wanted:
        raise StoreError(
            f"{entry.study}: its volume {entry.volume} in {store.uri} says (study, patient, site) {found}, "
            f"the manifest says {wanted}; preprocess the cohort again"
        )
    return volume


def _filled(store: Store, entry: ManifestEntry, folder: Path) -> CachedVolume:
    """Copy under a lock, so that a node copies once; look again first, for another process may have done it."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with locked(folder.with_suffix(".lock")):
            volume = _mapped(folder)
            if volume is None:
                _copy(store, entry, folder)
                volume = _mapped(folder)
    except OSError as error:
        raise StoreError(
            f"{entry.study}: cannot be copied to the cache {folder.parent} ({error.strerror or error}); "
            "free some space there, or name another cache folder"
        ) from error
    if volume is None:
        raise StoreError(
            f"{entry.study}: the arrays of its volume {entry.volume} in {store.uri} do not fit its card; "
            "preprocess the cohort again"
        )
    return volume


def _copy(store: Store, entry: ManifestEntry, folder: Path) -> None:
    key = STUDY_VOLUME.build(site=entry.site, study=entry.study, digest=entry.volume)
    draft = folder.with_suffix(".draft")
    # Whatever lies at either place was left by a process that died; this one alone holds the lock.
    for stale in (draft, folder):
        shutil.rmtree(stale, ignore_errors=True)
    draft.mkdir()
    try:
        card = StudyVolumeCard.model_validate(read_attributes(store, key)[ATTRIBUTE])
    except (KeyError, ValidationError) as error:
        raise StoreError(
            f"{entry.study}: {key} in {store.uri} has no valid card; preprocess the cohort again"
        ) from error
    (draft / "card.json").write_text(card.canonical_json())
    for name in ("image", "label", "native_label", *(("second_label",) if card.second_rater else ())):
        np.save(draft / f"{name}.npy", read_array(store, key, name))
    for path in draft.iterdir():
        with path.open("rb+") as file:
            os.fsync(file.fileno())
    sync_folder(draft)
    draft.rename(folder)
    sync_folder(folder.parent)


def _mapped(folder: Path) -> CachedVolume | None:
    """The volume in this folder, or None where it is missing, unreadable, cut short, or not what its card says."""
    try:
        card = StudyVolumeCard.model_validate_json((folder / "card.json").read_bytes())
        study, native = card.model_grid.shape, card.native_grid.shape
        return CachedVolume(
            card=card,
            image_CIJK=_map(folder / "image.npy", (len(card.channels), *study), np.float16),
            label_IJK=_map(folder / "label.npy", study, np.uint8),
            native_label_ijk=_map(folder / "native_label.npy", native, np.uint8),
            second_label_ijk=_map(folder / "second_label.npy", native, np.uint8) if card.second_rater else None,
        )
    except (OSError, EOFError, ValueError):  # a ValidationError is a ValueError
        return None


def _map(path: Path, shape: tuple[int, ...], dtype: type[np.generic]) -> NDArray[Any]:
    """The file's array, mapped read-only. Raises ValueError where the file is cut short or holds something else."""
    array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    if array.shape != shape or array.dtype != dtype:
        raise ValueError(f"{path}: wanted {shape} {np.dtype(dtype)}, found {array.shape} {array.dtype}")
    return array
