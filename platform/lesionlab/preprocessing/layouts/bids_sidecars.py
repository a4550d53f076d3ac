"""Read the sidecar of an image in a BIDS dataset, from the JSON files next to it and in the folders above.

This is the BIDS inheritance principle: a JSON file applies to every image in or below its folder that has its suffix
and all its entities. Files closer to the image take precedence; within one folder, names with more entities do. An
entry can be replaced but not removed, not even by `null`.
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
    """Reads each JSON file of a dataset only once if the visits are processed in order."""

    def __init__(self, tree: BidsTree) -> None:
        self._tree = tree
        self._content = lru_cache(FOLDERS_KEPT)(self._read)

    def of(self, image: BidsFile, place: str, findings: list[Finding]) -> dict[str, Any]:
        """All entries that apply to this image; files that cannot be used are added to `findings`."""
        merged: dict[str, Any] = {}
        folder = image.path.parent.relative_to(self._tree.root)
        for level in reversed([folder, *folder.parents]):
            applicable = [file for file in self._tree.files(level, (".json",)) if _applies_to(file.name, image.name)]
            for file in sorted(applicable, key=lambda file: len(file.name.entities)):
                content = self._content(file.path)
                if isinstance(content, str):
                    findings.append(Finding(code="unreadable", place=place, what=f"its {file.path.name} {content}"))
                else:
                    merged |= content
        return merged

    def _read(self, path: Path) -> dict[str, Any] | str:
        return fault_of_file(path, self._tree.resolved) or read_sidecar(path)


def read_sidecar(path: Path) -> dict[str, Any] | str:
    """The entries of one JSON file, or a text that says what is wrong with it."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        if not text.strip():
            return "is empty; fill it, or remove it"
        content = json.loads(text)
    except OSError:
        return "cannot be read; give read permission"
    except json.JSONDecodeError as error:
        return f"is not valid JSON (line {error.lineno}, column {error.colno}: {error.msg.split(':')[0]}); correct it"
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        return f"is not in UTF-8 (line {line}); save it as UTF-8"
    except RecursionError:
        return "is nested too deeply to be read; correct it"
    except ValueError as error:  # Python reads whole numbers of at most 4,300 digits
        return f"is not readable JSON ({str(error).split(';')[0]}); correct it"
    return content if isinstance(content, dict) else "is not a JSON object; correct it"


def _applies_to(sidecar: BidsName, image: BidsName) -> bool:
    return sidecar.suffix == image.suffix and sidecar.entities.items() <= image.entities.items()
