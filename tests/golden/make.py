"""Write the golden results of a stage's current version, once: `python -m tests.golden.make STAGE`."""

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


def sums() -> dict[str, str]:
    """The digests in SHA256SUMS by relative path."""
    lines = SUMS.read_text().splitlines() if SUMS.exists() else []
    return {name: digest for digest, _, name in (line.partition("  ") for line in lines)}


def main(stage: str) -> None:
    """Write the file and its line in SHA256SUMS. Raises SystemExit if the version already has a file."""
    file = golden_file(stage, getattr(CURRENT, stage))
    if file.exists():
        raise SystemExit(f"{file} exists: changed results need a new version; raise CURRENT.{stage} first")
    with tempfile.TemporaryDirectory() as folder:
        arrays = GOLDEN[stage](Path(folder))
    file.parent.mkdir(exist_ok=True)
    np.savez_compressed(file, **arrays)
    known = sums() | {file.relative_to(FOLDER).as_posix(): sha256(file.read_bytes()).hexdigest()}
    SUMS.write_text("".join(f"{digest}  {name}\n" for name, digest in sorted(known.items())))


if __name__ == "__main__":
    main(sys.argv[1])
