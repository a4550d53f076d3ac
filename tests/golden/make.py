"""Write the golden results of a stage's current version, once: `python -m tests.golden.make STAGE`.

What a version measures in addition, and changes no number for, gets a file of its own: `python -m tests.golden.make
STAGE ADDITION` writes those arrays alone that the version's files lack.
"""

from __future__ import annotations

import sys
import tempfile
from hashlib import sha256
from pathlib import Path

import numpy as np

from storage_schemas.versions import CURRENT
from tests.golden.runs import GOLDEN

FOLDER = Path(__file__).parent
SUMS = FOLDER / "SHA256SUMS"
"""Checksums of all golden files; the expected results of earlier versions are kept."""


def golden_file(stage: str, version: int) -> Path:
    """Path of the expected results of this version."""
    return FOLDER / stage / f"{version}.npz"


def golden_results(stage: str, version: int) -> dict[str, np.ndarray]:
    """The expected results of this version: those of its first file and of every addition."""
    files = [golden_file(stage, version), *sorted((FOLDER / stage).glob(f"{version}-*.npz"))]
    return {name: array for file in files if file.exists() for name, array in np.load(file).items()}


def sums() -> dict[str, str]:
    """The digests in SHA256SUMS by relative path."""
    lines = SUMS.read_text().splitlines() if SUMS.exists() else []
    return {name: digest for digest, _, name in (line.partition("  ") for line in lines)}


def main(stage: str, addition: str = "") -> None:
    """Write the file and its line in SHA256SUMS. Raises SystemExit if the version already has this file."""
    version = getattr(CURRENT, stage)
    file = golden_file(stage, version)
    if addition:
        file = file.with_stem(f"{version}-{addition}")
    if file.exists():
        raise SystemExit(f"{file} exists: changed results need a new version; raise CURRENT.{stage} first")
    known_results = golden_results(stage, version)
    with tempfile.TemporaryDirectory() as folder:
        arrays = {name: array for name, array in GOLDEN[stage](Path(folder)).items() if name not in known_results}
    file.parent.mkdir(exist_ok=True)
    np.savez_compressed(file, **arrays)
    known = sums() | {file.relative_to(FOLDER).as_posix(): sha256(file.read_bytes()).hexdigest()}
    SUMS.write_text("".join(f"{digest}  {name}\n" for name, digest in sorted(known.items())))


if __name__ == "__main__":
    main(*sys.argv[1:])
