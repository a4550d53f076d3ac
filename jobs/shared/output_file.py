"""Write an output file completely or not at all, and never over an input."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from lesionlab.atomic import write_atomically
from lesionlab.delimited import shown_as_text
from lesionlab.errors import InputError


def refuse_inputs(option: str, path: Path, inputs: Iterable[Path]) -> None:
    """Call before computing. Raises InputError if the file is one of the inputs, also under another name."""
    for one in inputs:
        if is_same_file(path, one):
            raise InputError(
                f"{option} {path}: this is the input {one}, which is never overwritten; choose another name"
            )


def refuse_existing(option: str, path: Path) -> None:
    """Call before computing. Raises InputError if the path exists."""
    if path.exists():
        raise InputError(f"{option} {path}: already exists; choose another name, or overwrite it with --force")


def save_output(option: str, path: Path, data: bytes) -> None:
    """Write the file completely or leave it unchanged. Raises InputError if it cannot be written."""
    try:
        write_atomically(path, data)
    except OSError as error:
        raise InputError(f"{option} {path}: cannot be written ({error.strerror}); choose another path") from error


def save_csv(path: Path, columns: Sequence[str], lines: Iterable[Mapping[str, object]]) -> None:
    """Write a table for `--csv`. Raises InputError if it cannot be written."""
    save_output("--csv", path, csv_text(columns, lines).encode())


def csv_text(columns: Sequence[str], lines: Iterable[Mapping[str, object]]) -> str:
    """A header and one line per mapping; None becomes an empty cell."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(columns)
    for line in lines:
        if unknown := line.keys() - set(columns):
            raise ValueError(f"columns that are not declared: {sorted(unknown)}")
        table.writerow(shown_as_text(line.get(column) for column in columns))
    return text.getvalue()


def is_same_file(path: Path, other: Path) -> bool:
    """Whether both paths are the same existing file, also through links."""
    try:
        return os.path.samefile(path, other)
    except (OSError, ValueError):  # ValueError: not a valid path, as a table cell may contain
        return False
