"""Read a text table (.tsv, .csv) with the line numbers of its rows, and the site that a row names."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from lesionlab.delimited import is_missing, read_delimited
from lesionlab.errors import DatasetError, InputError
from storage_schemas.base import Slug

_SLUG_CHARACTERS = 63
_ORDINARY = re.compile(r"[\w\s.,:/()\[\]-]*", re.ASCII)
"""Site names of these characters alone differ in more than spelling if their plain names differ."""
_DIGEST_CHARACTERS = 6
_LIKE_SITE = re.compile(
    r"(\w+[\s_-])?(sites?|cent(er|re)|hospital|institut(e|ion)|clinic)([\s_-]?(id|name|code|number|no))?", re.IGNORECASE
)
"""Columns that other tables call the site: `centre`, `site_id`, `Study Center`, `hospital name`."""


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
    """Read a table. Raises DatasetError if it cannot be read without losing a line: see `read_delimited`."""
    try:
        content = read_delimited(path)
    except InputError as error:
        raise DatasetError(*error.args) from error
    return Table(content.columns, content.rows)


def width_fault(table: Table, cells: tuple[str, ...]) -> str | None:
    """What is wrong with the number of cells of a row, or None."""
    if len(cells) == len(table.columns):
        return None
    return f"wanted {len(table.columns)} cells, as in the first line, found {len(cells)}; correct the line"


def label_spelling(label: str) -> str:
    """The label without prefix, case, separators and leading zeros: `Sub_01` and `sub-1` are `1`."""
    bare = re.sub(r"^sub[-_ ]*(?=.)", "", label.casefold())
    return re.sub(r"(?<!\d)0+(?=\d)", "", re.sub(r"[^a-z0-9]", "", bare))


def site_notes(name: str, table: Table, default_site: str) -> Iterator[str]:
    """Notes on rows without a site, and on a column that seems to hold the sites under another name."""
    column = next((column for column in table.columns if column.lower() == "site"), None)
    if column is not None:
        blank = sum(is_missing(record.get(column, "")) for record in table.records())
        if blank:
            found = f"{blank} of {len(table.rows)} rows have no site"
            yield f"{name}: {found}; counted at {default_site}; fill in the column {column}"
    elif near := next((column for column in table.columns if _LIKE_SITE.fullmatch(column)), None):
        yield (
            f"{name}: there is no column site, so all are counted at {default_site}; if {near} holds the sites, "
            "rename it to site"
        )


def site_in(record: Mapping[str, str]) -> Slug | None:
    """Site of a row: its cell under `site`, in upper or lower case; None if no site is given."""
    return next((site_of(cell) for column, cell in record.items() if column.lower() == "site"), None)


def site_of(name: str) -> Slug | None:
    """Convert a site to a plain name (`Site A` becomes `site-a`); None if no site is given.

    A name with other characters (`Zürich`, `東京`, `A+`), or a long one, ends in a digest, so that two sites never
    become one.
    """
    if is_missing(name):
        return None
    spelled = unicodedata.normalize("NFC", name.strip()).casefold()
    letters = unicodedata.normalize("NFKD", spelled).encode("ascii", "ignore").decode()
    plain = re.sub(r"[^a-z0-9]+", "-", letters).strip("-")
    if plain and len(plain) <= _SLUG_CHARACTERS and _ORDINARY.fullmatch(spelled):
        return plain
    digest = sha256(spelled.encode()).hexdigest()[:_DIGEST_CHARACTERS]
    return f"{plain[: _SLUG_CHARACTERS - _DIGEST_CHARACTERS - 1].rstrip('-') or 'site'}-{digest}"
