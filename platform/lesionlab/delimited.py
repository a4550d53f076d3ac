"""Read a text table (.csv, .tsv) strictly: no line may vanish in a cell, and every row keeps its line number.

Every room that reads a table reads it here, so the same file is read alike everywhere.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from lesionlab.errors import InputError

MISSING = frozenset({"", "na", "n/a", "#n/a", "nan", "null"})
"""Cells that say that there is no value, in lower case: BIDS, R, spreadsheets, pandas and databases."""
_DIVIDERS = {"\t": "tabs", ",": "commas", ";": "semicolons"}


@dataclass(frozen=True)
class Delimited:
    """The cells of one file, without blanks around them; rows may be shorter or longer than the first line."""

    columns: tuple[str, ...]
    """First line; empty if the file is."""
    rows: tuple[tuple[int, tuple[str, ...]], ...]
    """Line number in the file (the first is 1) and cells; empty lines and empty surplus cells are left out."""
    divider: str
    """What separates the cells: a tab, a comma or a semicolon."""


def is_missing(cell: str) -> bool:
    """Whether this cell says that there is no value: empty, `NA`, `n/a`, `nan`, `null`."""
    return cell.strip().lower() in MISSING


def read_delimited(path: Path) -> Delimited:
    """Read a table with tabs (.tsv) or commas (other names), or with the divider that its first line uses instead.

    Raises InputError, with the line, if the file is not UTF-8, a quote is not closed, or a cell contains a line break:
    a forgotten quote would otherwise hide the lines up to the next one.
    """
    wanted = "\t" if path.suffix.lower() == ".tsv" else ","
    text = _text(path, wanted)
    divider = _divider(text, wanted)
    lines = list(_lines(path, text, divider))
    if not lines:
        return Delimited((), (), divider)
    (_, columns), *rows = lines
    return Delimited(columns, tuple((number, _trimmed(cells, len(columns))) for number, cells in rows), divider)


def _text(path: Path, wanted: str) -> str:
    kind = "TSV" if wanted == "\t" else "CSV"
    try:
        data = path.read_bytes()
        return data.decode("utf-8-sig")
    except OSError as error:
        raise InputError(
            f"{path}: not readable as {kind} ({error.strerror}); correct the path or permission"
        ) from error
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"{path}: not readable as {kind} in UTF-8: line {line} is in another encoding, such as Latin-1 or UTF-16; "
            f"save it as UTF-8 with {_DIVIDERS[wanted]}"
        ) from error


def _divider(text: str, wanted: str) -> str:
    """The wanted divider; if the first line has none, the most frequent other one."""
    first = next((line for line in text.splitlines() if line.strip()), "")
    return wanted if wanted in first else max(_DIVIDERS, key=lambda divider: (first.count(divider), divider == wanted))


def _lines(path: Path, text: str, divider: str) -> Iterator[tuple[int, tuple[str, ...]]]:
    reader = csv.reader(StringIO(text, newline=""), delimiter=divider, strict=True)
    start = 1
    try:
        for cells in reader:
            if any("\n" in cell or "\r" in cell for cell in cells):
                raise InputError(
                    f"{path}: line {start}: wanted one row per line, found a quote that is only closed on line "
                    f"{reader.line_num}; correct the quotes, or remove the line breaks from the cell"
                )
            if any(cell.strip() for cell in cells):
                yield start, tuple(cell.strip() for cell in cells)
            start = reader.line_num + 1
    except csv.Error as error:
        found = "text after a closed quote" if "expected after" in str(error) else "a quote that is never closed"
        raise InputError(f"{path}: line {start}: found {found}; correct the quotes of this line") from error


def _trimmed(cells: tuple[str, ...], width: int) -> tuple[str, ...]:
    """Without the empty cells beyond the columns that spreadsheets add."""
    return cells[:width] if not any(cells[width:]) else cells
