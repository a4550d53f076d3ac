"""Find the folders of a node's cache that no unfinished run needs."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path

from lesionlab.experiments.upkeep.garbage import Garbage

FOLDERS = ("volumes", "augmented")


def find_unneeded(cache: Path, needed: Iterable[str], age: timedelta) -> list[Garbage]:
    """Folders of study volumes and deformed copies with other names than the needed ones, filled longer ago than this.

    Each is made again when a run needs it.
    """
    names, before = set(needed), time.time() - age.total_seconds()
    found = []
    for folder in sorted(path for name in FOLDERS for path in (cache / name).glob("*") if path.is_dir()):
        if folder.name not in names and folder.stat().st_mtime < before:
            sizes = [path.stat().st_size for path in folder.iterdir()]
            found.append(Garbage(str(folder), "copy that no unfinished run needs", len(sizes), sum(sizes)))
    return found


def delete_unneeded(garbage: Iterable[Garbage]) -> None:
    """Delete these folders. Maps that a process has open stay valid."""
    for found in garbage:
        shutil.rmtree(found.key, ignore_errors=True)
