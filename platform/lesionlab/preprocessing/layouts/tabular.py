"""Read a text table (.tsv, .csv) with the line numbers of its rows."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from pathlib import Path

from lesionlab.errors import DatasetError
from storage_schemas.base import Slug


@dataclass(frozen=True)
class Table:
    """Text of the file, with blanks around each cell removed; rows may be shorter or longer than the header."""

    columns: tuple[str, ...]
    rows: tuple[tuple[int, tuple[str, ...]], ...]
    """Line number (the header is line 1) and cells; empty lines are skipped."""

    def records(self) -> list[dict[str, str]]:
        """Each row as a dict by column; short rows have fewer entries."""
        return [dict(zip(self.columns, cells, strict=False)) for _, cells in self.rows]


def read_table(path: Path) -> Table:
    """Read a table separated by tabs (.tsv) or commas (.csv). Raises DatasetError if it cannot be read."""
    tabs = path.suffix == ".tsv"
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = csv.reader(file, delimiter="\t" if tabs else ",")
            filled = [(lines.line_num, tuple(cell.strip() for cell in cells)) for cells in lines if any(cells)]
    except (OSError, ValueError, csv.Error) as error:
        divider = "tabs" if tabs else "commas"
        raise DatasetError(f"{path}: not readable as a table ({error}); save it as UTF-8 with {divider}") from error
    return Table(filled[0][1], tuple(filled[1:])) if filled else Table((), ())


def site_of(name: str) -> Slug | None:
    """Convert a site to a plain name (`Site A` becomes `site-a`); None if no site is given."""
    plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:63].rstrip("-")
    return plain if plain and name != "n/a" else None
