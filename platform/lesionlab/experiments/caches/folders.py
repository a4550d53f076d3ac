"""Fill a cache folder once per node, completely or not at all, and map its arrays read-only.

A folder is named by the identity of its content, so it is never stale. Several processes may open it at once: one fills
it under a lock, the others wait. The cache may be deleted whenever nothing runs.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from lesionlab.store.files import locked, sync_folder

T = TypeVar("T")


def open_or_fill(folder: Path, opened: Callable[[Path], T | None], fill: Callable[[Path], None]) -> T | None:
    """Open a folder with `opened`; if that gives None, fill the folder and open it again.

    `fill` writes into an empty draft folder, which is synced and renamed. Returns None if the filled folder still does
    not open. Raises OSError.
    """
    if (found := opened(folder)) is not None:
        return found
    folder.parent.mkdir(parents=True, exist_ok=True)
    with locked(folder.with_suffix(".lock")):
        if (found := opened(folder)) is not None:  # another process may have filled it while this one waited
            return found
        draft = folder.with_suffix(".draft")
        # This process holds the lock, so anything at either path was left by a process that died.
        for stale in (draft, folder):
            shutil.rmtree(stale, ignore_errors=True)
        draft.mkdir()
        fill(draft)
        for path in draft.iterdir():
            with path.open("rb+") as file:
                os.fsync(file.fileno())
        sync_folder(draft)
        draft.rename(folder)
        sync_folder(folder.parent)
        return opened(folder)


def save_arrays(folder: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Save each array as one .npy file."""
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)


def map_array(path: Path, dtype: type[np.generic], shape: tuple[int, ...] | None = None) -> NDArray[Any]:
    """Map the file's array read-only. Raises ValueError if it is truncated or has another dtype or shape."""
    array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    if array.dtype != dtype or (shape is not None and array.shape != shape):
        raise ValueError(
            f"{path}: wanted {shape or 'an array of'} {np.dtype(dtype)}, found {array.shape} {array.dtype}"
        )
    return array
