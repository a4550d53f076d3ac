"""Find the folders of a node's cache that no unfinished run needs."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from datetime import timedelta
from pathlib import Path

from lesionlab.experiments.upkeep.garbage import Garbage

FOLDERS = ("volumes", "augmented")
WITHDRAWN = "copy of a withdrawn study"


def find_unneeded(
    cache: Path, needed: Iterable[str], age: timedelta, withdrawn: AbstractSet[str] = frozenset()
) -> list[Garbage]:
    """Folders of study volumes and deformed copies with other names than the needed ones, filled longer ago than this;
    those of withdrawn studies at once.

    Each other one is made again when a run needs it.
    """
    names, before = set(needed), time.time() - age.total_seconds()
    found = []
    for folder in sorted(path for name in FOLDERS for path in (cache / name).glob("*") if path.is_dir()):
        unused = folder.name not in names and folder.stat().st_mtime < before
        if unused or folder.name in withdrawn:
            sizes = [path.stat().st_size for path in folder.iterdir()]
            why = WITHDRAWN if folder.name in withdrawn else "copy that no unfinished run needs"
            found.append(Garbage(str(folder), why, len(sizes), sum(sizes)))
    return found


def delete_unneeded(garbage: Iterable[Garbage]) -> None:
    """Delete these folders. Maps that a process has open stay valid."""
    for found in garbage:
        shutil.rmtree(found.key, ignore_errors=True)
