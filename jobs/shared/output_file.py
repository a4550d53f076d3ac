"""Write an output file completely or not at all, and never over an input."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import typer

from jobs.shared.console import notes
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


def fault_of_output(path: Path) -> str | None:
    """Why a file cannot be written here; None if nothing speaks against it before the work."""
    try:
        if path.is_dir():
            return "is a folder; name a file in it"
        return None if path.parent.is_dir() else f"there is no folder {path.parent}; make it, or choose another place"
    except OSError as error:
        return f"cannot be written ({error.strerror}); choose another path"


def output_file(option: typer.CallbackParam, path: Path | None) -> Path | None:
    """Callback of an option that names a file to write: ends the command before anything is computed for nothing."""
    if path is not None and (fault := fault_of_output(path)):
        # One line, which can be copied; the frame of a usage error would fold the path.
        notes.print(f"error: {option.opts[0]} {path}: {fault}", style="bold red")
        raise typer.Exit(1)
    return path


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


def no_file(path: Path) -> str:
    """What is there instead of a file."""
    return "wanted a file, found a folder" if path.is_dir() else "no such file"


def is_same_file(path: Path, other: Path) -> bool:
    """Whether both paths are the same existing file, also through links."""
    try:
        return os.path.samefile(path, other)
    except (OSError, ValueError):  # ValueError: not a valid path, as a table cell may contain
        return False
