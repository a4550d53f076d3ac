"""Fill a cache folder once per node, completely or not at all, and map its arrays read-only.

A folder is named by the identity of its content, so it is never stale. Several processes may open it at once: one fills
it under a lock, the others wait. The cache may be deleted whenever nothing runs.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from lesionlab.store.files import locked, sync_folder

T = TypeVar("T")

SUMS = "SHA256SUMS"
"""File of each folder, as `sha256sum --check` reads it."""

_LOG = logging.getLogger(__name__)
_CHECKED: dict[Path, list[tuple[str, int, int, int]]] = {}
"""Names, sizes, times and inodes of the files that this process has checked, by folder."""


def open_or_fill(
    folder: Path, opened: Callable[[Path], T | None], fill: Callable[[Path], None], *, wait: bool = True
) -> T | None:
    """Open a folder with `opened`; if that gives None or a file was altered, fill the folder and open it again.

    `fill` writes into an empty draft folder, which is synced and renamed. Returns None if the filled folder still does
    not open. Raises OSError; Held, unless it shall wait, if another process fills the folder.
    """
    if is_intact(folder) and (found := opened(folder)) is not None:
        return found
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.parent.chmod(0o700)
    with locked(folder.with_suffix(".lock"), wait=wait):
        if (
            is_intact(folder) and (found := opened(folder)) is not None
        ):  # another process may have filled it while this one waited
            return found
        draft = folder.with_suffix(".draft")
        if (folder / SUMS).exists():
            _LOG.warning("%s is damaged and is made again; check the disk if this happens often", folder)
        # This process holds the lock, so anything at either path was left by a process that died.
        for stale in (draft, folder):
            shutil.rmtree(stale, ignore_errors=True)
        draft.mkdir()
        fill(draft)
        sums = "".join(f"{_sha256(path)}  {path.name}\n" for path in sorted(draft.iterdir()))
        (draft / SUMS).write_text(sums, encoding="utf-8")
        for path in draft.iterdir():
            with path.open("rb+") as file:
                os.fsync(file.fileno())
        sync_folder(draft)
        draft.rename(folder)
        sync_folder(folder.parent)
        return opened(folder) if is_intact(folder) else None


def is_intact(folder: Path) -> bool:
    """Whether the folder is there with every file as it was written. Files are read once per process."""
    try:
        lines = (folder / SUMS).read_text(encoding="utf-8").removesuffix("\n").split("\n")
        sums = [line.split("  ", 1) for line in lines]
        files = [(path.name, path.stat()) for path in sorted(folder.iterdir())]
        state = [(name, found.st_size, found.st_mtime_ns, found.st_ino) for name, found in files]
        if _CHECKED.get(folder) != state:
            if any(_sha256(folder / name) != sum_ for sum_, name in sums):
                return False
            _CHECKED[folder] = state
    except (OSError, ValueError):  # a ValueError: the sums themselves are damaged
        return False
    return True


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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
