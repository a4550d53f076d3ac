"""What made a result: digests of sources, and the versions of the language and the libraries.

Provenance stands beside a result and never in its name: a comment changes these digests and no result.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from importlib.resources.abc import Traversable
from platform import python_version

from storage_schemas.base import Digest

ALL = ("lesionlab", "storage_schemas")
"""Every source of the platform that can have a part in a result."""

ANALYSIS = ("lesionlab.analysis", "lesionlab.imaging", "storage_schemas")
"""Code that decides the numbers, words and figures of a report."""

_OF_REPORTS = ("matplotlib", "numpy", "pandas", "scipy", "statsmodels")
_OF_RUNS = ("antspyx", "numpy", "ray", "scipy", "torch", "zarr")


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
    return {"lesionlab.analysis": code_version(ANALYSIS), "python": python_version(), **_versions(_OF_REPORTS)}


def run_libraries() -> dict[str, str]:
    """Versions of the language and of the libraries that a run depends on, as far as they are installed."""
    return {"python": python_version(), **_versions(_OF_RUNS)}


def _versions(names: Iterable[str]) -> dict[str, str]:
    found = {}
    for name in names:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def _sources(folder: Traversable, path: str) -> Iterable[tuple[str, bytes]]:
    for item in folder.iterdir():
        if item.is_dir():
            yield from _sources(item, f"{path}/{item.name}")
        elif item.name.endswith((".py", ".j2")):
            yield f"{path}/{item.name}", item.read_bytes()
