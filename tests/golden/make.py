"""Write the golden results of a room's current version: `python -m tests.golden.make ROOM`. Never over an old one."""

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
"""Of every golden file: what was expected once stays in the history of the project."""


def golden_file(room: str, version: int) -> Path:
    """Where the expected results of this version lie."""
    return FOLDER / room / f"{version}.npz"


def sums() -> dict[str, str]:
    """What SHA256SUMS says, by path beside it."""
    lines = SUMS.read_text().splitlines() if SUMS.exists() else []
    return {name: digest for digest, _, name in (line.partition("  ") for line in lines)}


def main(room: str) -> None:
    """Write the file and its line in SHA256SUMS. Raises SystemExit where the version has its file already."""
    file = golden_file(room, getattr(CURRENT, room))
    if file.exists():
        raise SystemExit(f"{file} is there: results that moved need a new version; raise CURRENT.{room} first")
    with tempfile.TemporaryDirectory() as folder:
        arrays = GOLDEN[room](Path(folder))
    file.parent.mkdir(exist_ok=True)
    np.savez_compressed(file, **arrays)
    known = sums() | {file.relative_to(FOLDER).as_posix(): sha256(file.read_bytes()).hexdigest()}
    SUMS.write_text("".join(f"{digest}  {name}\n" for name, digest in sorted(known.items())))


if __name__ == "__main__":
    main(sys.argv[1])
