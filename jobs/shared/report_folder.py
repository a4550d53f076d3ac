"""The files of a report in; a folder that holds them, and nothing of an earlier report, out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path

from jobs.shared.output_file import is_same_file, save_output
from lesionlab.errors import InputError

SUMS = "SHA256SUMS"
"""What was written and its digests, as `sha256sum --check` reads it."""


def make_folder(folder: Path, rows: Path | None = None) -> None:
    """Before anything is computed for it. Raises InputError where there can be no such folder, or where the table that
    is to be analysed lies where the report's own tables go."""
    if rows is not None and is_same_file(rows.resolve().parent, folder / "tables"):
        raise InputError(f"--out {folder}: its tables would overwrite the input {rows}; choose another folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--out {folder}: wanted a folder ({error.strerror}); choose another place") from error


def save_files(files: Mapping[str, bytes], folder: Path) -> None:
    """Write them, by name. What an earlier report left there goes, and only that: a file that its list names and that
    was not changed since. All else in the folder stays as it is."""
    for path in _left_by_another(files, folder):
        path.unlink()
    sums = "".join(f"{sha256(data).hexdigest()}  {name}\n" for name, data in sorted(files.items()))
    for name, data in {**files, SUMS: sums.encode()}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        save_output("--out", path, data)


def _left_by_another(files: Mapping[str, bytes], folder: Path) -> Iterable[Path]:
    listed = folder / SUMS
    for line in listed.read_text(encoding="utf-8", errors="replace").splitlines() if listed.is_file() else ():
        digest, _, name = line.partition("  ")
        path = folder / name
        ours = name not in files and path.is_file() and path.resolve().is_relative_to(folder.resolve())
        if ours and sha256(path.read_bytes()).hexdigest() == digest:
            yield path
