"""Which code made a result: the rooms' sources in, one digest out."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from importlib.resources import files
from importlib.resources.abc import Traversable

from storage_schemas.base import Digest

PREPROCESSING = ("lesionlab.imaging", "lesionlab.preprocessing")
"""Code that decides the voxels of a study volume."""

RUNS = ("lesionlab.imaging", "lesionlab.model", "lesionlab.training", "lesionlab.evaluation")
"""Code that decides the weights and rows of a run."""

SCORES = ("lesionlab.imaging", "lesionlab.evaluation")
"""Code that decides the rows of a prediction that is there already."""


def code_version(packages: Iterable[str]) -> Digest:
    """Digest of every Python source of these packages: a changed line is another version, its results are made anew."""
    sha = hashlib.sha256()
    for package in sorted(packages):
        for path, source in sorted(_sources(files(package), package)):
            sha.update(f"{path}\0{len(source)}\0".encode())
            sha.update(source)
    return sha.hexdigest()[:16]


def _sources(folder: Traversable, path: str) -> Iterable[tuple[str, bytes]]:
    for item in folder.iterdir():
        if item.is_dir():
            yield from _sources(item, f"{path}/{item.name}")
        elif item.name.endswith(".py"):
            yield f"{path}/{item.name}", item.read_bytes()
