"""Which code made a result: the rooms' sources in, one digest out."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from importlib.resources.abc import Traversable
from platform import python_version

from storage_schemas.base import Digest

PREPROCESSING = ("lesionlab.imaging", "lesionlab.preprocessing")
"""Code that decides the voxels of a study volume."""

RUNS = ("lesionlab.imaging", "lesionlab.model", "lesionlab.training", "lesionlab.evaluation")
"""Code that decides the weights and rows of a run."""

ANALYSIS = ("lesionlab.analysis", "lesionlab.imaging")
"""Code that decides the numbers, words and figures of a report."""

_NUMERIC = ("matplotlib", "numpy", "pandas", "scipy", "statsmodels")

SCORES = ("lesionlab.imaging", "lesionlab.evaluation")
"""Code that decides the rows of a prediction that is there already."""


@cache
def code_version(packages: tuple[str, ...]) -> Digest:
    """Digest of every source of these packages, templates too: a changed line is another version, its results are made
    anew. Read once: a process runs the code that it began with."""
    sha = hashlib.sha256()
    for package in sorted(packages):
        for path, source in sorted(_sources(files(package), package)):
            sha.update(f"{path}\0{len(source)}\0".encode())
            sha.update(source)
    return sha.hexdigest()[:16]


def analysis_versions() -> dict[str, str]:
    """What makes a report of results: the digest of our code, and the versions of the language and the libraries."""
    libraries = {name: version(name) for name in _NUMERIC}
    return {"lesionlab.analysis": code_version(ANALYSIS), "python": python_version(), **libraries}


def _sources(folder: Traversable, path: str) -> Iterable[tuple[str, bytes]]:
    for item in folder.iterdir():
        if item.is_dir():
            yield from _sources(item, f"{path}/{item.name}")
        elif item.name.endswith((".py", ".j2")):
            yield f"{path}/{item.name}", item.read_bytes()
