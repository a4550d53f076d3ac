"""Describe what made a result: digests of the source code, versions of Python and the libraries.

Provenance is stored with a result and is never part of its identity: a comment changes these digests but no result.
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
"""All packages that can affect a result."""

ANALYSIS = ("lesionlab.analysis", "lesionlab.imaging", "storage_schemas")
"""The packages that determine the numbers, text and figures of a report."""

_OF_REPORTS = ("matplotlib", "numpy", "pandas", "scipy", "statsmodels")
_OF_RUNS = ("antspyx", "numpy", "ray", "scipy", "torch", "zarr")


@cache
def code_version(packages: tuple[str, ...]) -> Digest:
    """Digest of all source files of these packages, templates included. Computed once per process, which keeps running
    the code that it loaded."""
    sha = hashlib.sha256()
    for package in sorted(packages):
        for path, source in sorted(_sources(files(package), package)):
            sha.update(f"{path}\0{len(source)}\0".encode())
            sha.update(source)
    return sha.hexdigest()[:16]


def analysis_versions() -> dict[str, str]:
    """Provenance of a report: the digest of the analysis code, the versions of Python and the libraries."""
    return {"lesionlab.analysis": code_version(ANALYSIS), "python": python_version(), **_versions(_OF_REPORTS)}


def run_libraries() -> dict[str, str]:
    """Versions of Python and of the installed libraries that a run depends on."""
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
