"""Write a file that a person named: whole, and never over an input of the command."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from lesionlab.atomic import write_atomically
from lesionlab.errors import InputError


def refuse_inputs(option: str, path: Path, inputs: Iterable[Path]) -> None:
    """Before anything is computed. Raises InputError where the file is one of the inputs, whatever it is called."""
    for one in inputs:
        if is_same_file(path, one):
            raise InputError(f"{option} {path}: is the input {one}, which is never overwritten; choose another name")


def refuse_existing(option: str, path: Path) -> None:
    """Before anything is computed. Raises InputError where something is there already."""
    if path.exists():
        raise InputError(f"{option} {path}: exists already; choose another name, or replace it with --force")


def save_output(option: str, path: Path, data: bytes) -> None:
    """Write it whole, or leave what was there. Raises InputError where it cannot be written."""
    try:
        write_atomically(path, data)
    except OSError as error:
        raise InputError(f"{option} {path}: cannot be written ({error.strerror}); choose another place") from error


def csv_text(columns: Sequence[str], lines: Iterable[Mapping[str, object]]) -> str:
    """A heading and one line each; None is an empty cell."""
    text = io.StringIO()
    table = csv.DictWriter(text, columns, lineterminator="\n")
    table.writeheader()
    table.writerows(lines)
    return text.getvalue()


def is_same_file(path: Path, other: Path) -> bool:
    """By the identity of the file, not by its name; a file that is not there is no other's."""
    try:
        return os.path.samefile(path, other)
    except (OSError, ValueError):  # ValueError: no file name at all, as a cell of a table may hold
        return False
