"""A table of text (.tsv, .csv) in; its rows, with their line numbers, out."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from pathlib import Path

from lesionlab.errors import DatasetError
from storage_schemas.base import Slug


@dataclass(frozen=True)
class Table:
    """Text as it stands in the file, blanks around it removed; rows may be shorter or longer than the header."""

    columns: tuple[str, ...]
    rows: tuple[tuple[int, tuple[str, ...]], ...]
    """Line number (1 is the header's) and cells; empty lines are left out."""

    def records(self) -> list[dict[str, str]]:
        """Each row by column, as far as it reaches."""
        return [dict(zip(self.columns, cells, strict=False)) for _, cells in self.rows]


def read_table(path: Path) -> Table:
    """Tabs divide a .tsv, commas a .csv. Raises DatasetError where it cannot be read."""
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
    """A site as a plain name (`Site A` becomes `site-a`); None where none is told."""
    plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:63].rstrip("-")
    return plain if plain and name != "n/a" else None
