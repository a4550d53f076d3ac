"""Read a text table (.csv, .tsv) strictly: no line may vanish in a cell, and every row keeps its line number.

Every room that reads a table reads it here, so the same file is read alike everywhere.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from lesionlab.atomic import read_whole
from lesionlab.errors import InputError

MISSING = frozenset(
    {
        "",
        "na",
        "n/a",
        "#n/a",
        "nan",
        "null",
        "<na>",
        "none",
        "missing",
        "undefined",
        "unknown",
        "notavailable",
        "notapplicable",
        "n.a.",
        "#div/0!",
        "#num!",
        "#value!",
        "#ref!",
        "#name?",
        "#null!",
        "(blank)",
        ".",
        "-",
        "--",
        "–",
        "—",
    }
)
"""Cells without a value, in lower case and without blanks: as BIDS, R, spreadsheets (0/0 too), pandas, Python and SAS
databases write it."""
_NAMED_DIVIDER = re.compile(r"sep=([,;\t])(?=\r|\n)", re.IGNORECASE)
_NO_TABLES = {
    b"pk\x03\x04": "a spreadsheet (.xlsx, .ods) or another ZIP archive; save it as CSV in UTF-8",
    b"\xd0\xcf\x11\xe0": "a spreadsheet (.xls); save it as CSV in UTF-8",
    b"version https://git-lfs": "a Git LFS pointer; fetch its content (git lfs pull)",
    b"<!doctype html": "a web page, so the download failed; download the table again",
    b"<html": "a web page, so the download failed; download the table again",
}
"""By the first bytes, in lower case, what the file is and what to do with it."""
_FORMULA = re.compile(r"[=@\t\r]|[+-].*[(|!]")
_DIVIDERS = {"\t": "tabs", ",": "commas", ";": "semicolons"}


MOST_COLUMNS = 10_000
"""Beyond it is no table, but perhaps one that lost its line breaks."""


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
    """Whether this cell says that there is no value: empty, `NA`, `n/a`, `nan`, `null`, `-`, `#DIV/0!`, …"""
    return "".join(cell.lower().split()) in MISSING


def read_delimited(path: Path) -> Delimited:
    """Read a table with tabs (.tsv) or commas (other names), or with the divider that its first line uses instead.

    A first line `sep=;`, which Excel writes, names the divider. Raises InputError if the file is no text table, and,
    with the line, if it is not UTF-8, a quote is not closed, or a cell contains a line break:
    a forgotten quote would otherwise hide the lines up to the next one.
    """
    wanted = "\t" if path.suffix.lower() == ".tsv" else ","
    text = _text(path, wanted)
    named = _NAMED_DIVIDER.match(text)
    if named:
        # An empty line takes its place, so that every row keeps its number.
        text = text[named.end() :]
    divider = named[1] if named else _divider(text, wanted)
    lines = list(_lines(path, text, divider))
    if not lines:
        return Delimited((), (), divider)
    (_, columns), *rows = lines
    if len(columns) > MOST_COLUMNS:
        raise InputError(f"{path}: line 1: wanted at most {MOST_COLUMNS} columns, found {len(columns)}")
    return Delimited(columns, tuple((number, _trimmed(cells, len(columns))) for number, cells in rows), divider)


def shown_as_text(cells: Iterable[object]) -> list[object]:
    """The cells of a line to be written, with an apostrophe before each text that a spreadsheet would execute.

    A name that comes with the data may be `=HYPERLINK(…)`. Numbers are left alone, signs and all.
    """
    return [f"'{cell}" if isinstance(cell, str) and _FORMULA.match(cell) else cell for cell in cells]


def _text(path: Path, wanted: str) -> str:
    kind = "TSV" if wanted == "\t" else "CSV"
    try:
        data = read_whole(path)
        if found := next((kind for start, kind in _NO_TABLES.items() if data.lstrip().lower().startswith(start)), None):
            raise InputError(f"{path}: wanted a text table ({kind}), found {found}")
        if b"\0" in data:
            raise InputError(
                f"{path}: not readable as {kind} in UTF-8: found binary data, or text in UTF-16; save it as UTF-8 with "
                f"{_DIVIDERS[wanted]}"
            )
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
        if "larger" in str(error):
            found = f"a cell of more than {csv.field_size_limit()} characters, perhaps {found}"
        raise InputError(f"{path}: line {start}: found {found}; correct the quotes of this line") from error


def _trimmed(cells: tuple[str, ...], width: int) -> tuple[str, ...]:
    """Without the empty cells beyond the columns that spreadsheets add."""
    return cells[:width] if not any(cells[width:]) else cells
