"""An image of a BIDS dataset in; what the JSON files beside it and above it say of it, out.

Inheritance as BIDS has it: a JSON file speaks for every image that lies beside or below it, has its suffix and has all
entities that its own name has. Nearer files overrule farther ones; within one folder, names with more entities
overrule names with fewer. An entry is not removed by `null` or the like, only replaced.
"""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

from lesionlab.preprocessing.layouts.bids_tree import FOLDERS_KEPT, BidsFile, BidsName, BidsTree
from lesionlab.preprocessing.paths import fault_of_file
from storage_schemas.verdicts import Finding


class BidsSidecars:
    """Reads each JSON file of a dataset once, as long as its visits are gone through in order."""

    def __init__(self, tree: BidsTree) -> None:
        self._tree = tree
        self._content = lru_cache(FOLDERS_KEPT)(self._read)

    def of(self, image: BidsFile, place: str, findings: list[Finding]) -> dict[str, Any]:
        """All entries that hold for this image; a file that cannot be used is added to `findings`."""
        merged: dict[str, Any] = {}
        folder = image.path.parent.relative_to(self._tree.root)
        for level in reversed([folder, *folder.parents]):
            speaking = [file for file in self._tree.files(level, (".json",)) if _speaks_for(file.name, image.name)]
            for file in sorted(speaking, key=lambda file: len(file.name.entities)):
                content = self._content(file.path)
                if isinstance(content, str):
                    findings.append(Finding(code="unreadable", place=place, what=f"its {file.path.name} {content}"))
                else:
                    merged |= content
        return merged

    def _read(self, path: Path) -> dict[str, Any] | str:
        return fault_of_file(path, self._tree.resolved) or read_sidecar(path)


def read_sidecar(path: Path) -> dict[str, Any] | str:
    """The entries of one JSON file, or what is wrong with it."""
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError:
        return "cannot be read; give read permission"
    except (ValueError, RecursionError):
        return "is not readable as JSON; correct it"
    return content if isinstance(content, dict) else "holds no JSON object; correct it"


def _speaks_for(sidecar: BidsName, image: BidsName) -> bool:
    return sidecar.suffix == image.suffix and sidecar.entities.items() <= image.entities.items()
