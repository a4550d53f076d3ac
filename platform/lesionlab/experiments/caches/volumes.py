"""Open a study volume as read-only memory maps of a folder on this node; copy it from the store on first use.

Training reads patches from the maps, never from the store: all processes of a node share them through the page cache.
The folder is `<cache>/volumes/<digest>/{card.json,image.npy,label.npy,native_label.npy}`, plus `second_label.npy` if
there is a second rater's mask. It is filled once per node.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lesionlab.errors import StoreError
from lesionlab.experiments.caches.folders import map_array, open_or_fill, save_arrays
from lesionlab.store.arrays import read_array
from lesionlab.store.base import Store
from lesionlab.store.documents import read_card
from storage_schemas.base import label_of
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
    """The second rater's mask, if there is one."""


def open_cached(store: Store, entry: ManifestEntry, cache: Path, key: str = "") -> CachedVolume:
    """The study volume of a manifest entry; copied from the store to `cache` if it is missing or incomplete there.

    `key` is where the volume lies, if not at its site. Several processes may open it at once: one copies, the others
    wait. Raises MissingObject if the store lacks the volume, StoreError if the volume belongs to another study or the
    cache cannot be written.
    """
    folder = cache / "volumes" / entry.volume
    try:
        volume = open_or_fill(folder, _mapped, partial(_copy, store, entry, key or entry.volume_key))
    except OSError as error:
        raise StoreError(
            f"{entry.study}: cannot be copied to the cache {folder.parent} ({error.strerror or error}); "
            "free some space there, or choose another cache folder"
        ) from error
    if volume is None:
        raise StoreError(
            f"{entry.study}: the arrays of its volume {entry.volume} in {store.uri} do not fit its card; "
            "preprocess the cohort again"
        )
    found = (volume.card.study, volume.card.patient, volume.card.site)
    wanted = (label_of(entry.study), label_of(entry.patient), entry.site)
    if found != wanted:
        raise StoreError(
            f"{entry.study}: its volume {entry.volume} in {store.uri} says (study, patient, site) {found}, "
            f"the manifest says {wanted}; preprocess the cohort again"
        )
    # Random draws follow the labels, and two sites may have the same.
    card = volume.card.model_copy(update={"study": entry.study, "patient": entry.patient})
    return replace(volume, card=card)


def _copy(store: Store, entry: ManifestEntry, key: str, folder: Path) -> None:
    card = read_card(store, key, ATTRIBUTE, StudyVolumeCard)
    (folder / "card.json").write_text(card.canonical_json(), encoding="utf-8")
    names = ("image", "label", "native_label", *(("second_label",) if card.second_rater else ()))
    save_arrays(folder, {name: read_array(store, key, name) for name in names})


def _mapped(folder: Path) -> CachedVolume | None:
    """The volume in this folder, or None if it is missing, unreadable, truncated or does not match its card."""
    try:
        card = StudyVolumeCard.model_validate_json((folder / "card.json").read_bytes())
        model, native = card.model_grid.shape, card.native_grid.shape
        return CachedVolume(
            card=card,
            image_CIJK=map_array(folder / "image.npy", np.float16, (len(card.channels), *model)),
            label_IJK=map_array(folder / "label.npy", np.uint8, model),
            native_label_ijk=map_array(folder / "native_label.npy", np.uint8, native),
            second_label_ijk=map_array(folder / "second_label.npy", np.uint8, native) if card.second_rater else None,
        )
    except (OSError, EOFError, ValueError):  # a ValidationError is a ValueError
        return None
