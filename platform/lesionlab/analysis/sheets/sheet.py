"""A table as people read it, and how it is written as CSV, Markdown and HTML."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape
from io import StringIO
from itertools import groupby

from lesionlab.analysis.words.numbers import NONE
from lesionlab.delimited import shown_as_text


@dataclass(frozen=True)
class Column:
    """One column, and the group of columns that it belongs to."""

    title: str
    group: str = ""

    @property
    def name(self) -> str:
        """`PPV: p default`; the title alone without a group."""
        return f"{self.group}: {self.title}" if self.group else self.title


@dataclass(frozen=True)
class Sheet:
    """Texts in rows and columns."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    heads: int = 1
    """Number of columns, from the left, that say what a row is about. In the first, a repeated text is shown once."""
    notes: tuple[str, ...] = ()
    """What a reader must know to read it."""
    sortable: bool = False
    """Whether the page may sort it; then no repeated text is hidden."""
    numbers: tuple[Mapping[str, float | None], ...] = ()
    """By row, further columns of the CSV, in full precision: for programs. Their names are not those of columns."""


def columns(*titles: str, group: str = "") -> tuple[Column, ...]:
    """Columns of one group."""
    return tuple(Column(title, group) for title in titles)


def compact(sheet: Sheet) -> Sheet:
    """Remove the columns that are empty in every row."""
    kept = [place for place in range(len(sheet.columns)) if any(row[place] for row in sheet.rows)]
    return replace(
        sheet,
        columns=tuple(sheet.columns[place] for place in kept),
        rows=tuple(tuple(row[place] for place in kept) for row in sheet.rows),
        heads=sum(place < sheet.heads for place in kept),
    )


def as_csv(sheet: Sheet) -> str:
    """Write every cell as it is shown, including repeated ones, then the numbers in full precision; without the notes.

    Not reached, or no bound, is `inf` there; what there is not is empty.
    """
    names = list(dict.fromkeys(name for row in sheet.numbers for name in row))
    values = [[row.get(name) for name in names] for row in sheet.numbers] or [[] for _ in sheet.rows]
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(shown_as_text([*(column.name for column in sheet.columns), *names]))
    writer.writerows(shown_as_text([*row, *own]) for row, own in zip(sheet.rows, values, strict=True))
    return text.getvalue()


def as_markdown(sheet: Sheet) -> str:
    """Write Markdown with columns of equal width, so that the source is readable too."""
    lines = [[column.name for column in sheet.columns], *_told_once(sheet)]
    escaped = [[cell.replace("|", "\\|") for cell in line] for line in lines]
    widths = [max(3, *(len(cell) for cell in column)) for column in zip(*escaped, strict=True)]

    def line_of(cells: Sequence[str]) -> str:
        texts = [
            cell.ljust(width) if place < sheet.heads else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return f"| {' | '.join(texts)} |"

    rule = [("-" * width) if place < sheet.heads else ("-" * (width - 1) + ":") for place, width in enumerate(widths)]
    notes = [line for note in sheet.notes for line in ("", note)]
    return "\n".join([sheet.title, "", line_of(escaped[0]), line_of(rule), *map(line_of, escaped[1:]), *notes, ""])


def as_html(sheet: Sheet) -> str:
    """Write a `<table>` and its notes, to be put into a page."""
    numeric = _numeric_columns(sheet)
    body = [
        "<tr>" + "".join(_cell(text, place < sheet.heads, numeric[place]) for place, text in enumerate(row)) + "</tr>"
        for row in _told_once(sheet)
    ]
    notes = [f"<li>{escape(note)}</li>" for note in sheet.notes]
    return "\n".join(
        [
            '<table class="sortable">' if sheet.sortable else "<table>",
            f"<caption>{escape(sheet.title)}</caption>",
            f"<thead>{_head(sheet, numeric)}</thead>",
            "<tbody>",
            *body,
            "</tbody>",
            "</table>",
            *(['<ul class="notes">', *notes, "</ul>"] if notes else []),
            "",
        ]
    )


def as_page(sheet: Sheet) -> str:
    """Write the same as a file of its own."""
    return (
        f'<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8"><title>{escape(sheet.title)}</title>\n'
        f"<style>{_STYLE}</style></head>\n<body>\n{as_html(sheet)}</body>\n</html>\n"
    )


FORMATS: Mapping[str, Callable[[Sheet], str]] = {"csv": as_csv, "md": as_markdown, "html": as_page}
"""By file extension."""


def files_of(sheets: Mapping[str, Sheet]) -> dict[str, str]:
    """Write each sheet in each format, by file name."""
    return {f"{name}.{ending}": write(sheet) for name, sheet in sheets.items() for ending, write in FORMATS.items()}


_STYLE = (
    "body{font:15px/1.4 sans-serif}table{border-collapse:collapse}caption{text-align:left}"
    "th,td{padding:.2em .6em;text-align:left}td{text-align:right}thead{border-bottom:1px solid}"
)


def _head(sheet: Sheet, numeric: Sequence[bool]) -> str:
    """One line, or two if columns are grouped."""
    titled = [
        (column.group, f"{_class('n' * number)}>{escape(column.title)}</th>")
        for column, number in zip(sheet.columns, numeric, strict=True)
    ]
    if not any(column.group for column in sheet.columns):
        return "<tr>" + "".join(f'<th scope="col"{title}' for _, title in titled) + "</tr>"
    above, below = "", ""
    for group, members in groupby(titled, key=lambda title: title[0]):
        titles = [title for _, title in members]
        if group:
            above += f'<th scope="colgroup" colspan="{len(titles)}" class="group">{escape(group)}</th>'
            below += "".join(f'<th scope="col"{title}' for title in titles)
        else:
            above += "".join(f'<th scope="col" rowspan="2"{title}' for title in titles)
    return f"<tr>{above}</tr><tr>{below}</tr>"


def _cell(text: str, head: bool, numeric: bool) -> str:
    """Numbers are right-aligned, starred p values are bold."""
    classes = _class("n" * numeric, "star" * text.endswith("*"))
    return f'<th scope="row"{classes}>{escape(text)}</th>' if head else f"<td{classes}>{escape(text)}</td>"


def _class(*names: str) -> str:
    given = " ".join(name for name in names if name)
    return f' class="{given}"' if given else ""


def _numeric_columns(sheet: Sheet) -> list[bool]:
    """Return which columns hold numbers, p values, or means with their error; an empty column does not."""
    told = [[row[place] for row in sheet.rows if row[place]] for place in range(len(sheet.columns))]
    return [bool(texts) and all(text == NONE or _NUMBER.match(text) for text in texts) for texts in told]


_NUMBER = re.compile(r"[<≤>+−]?\s?\d")


def _told_once(sheet: Sheet) -> list[tuple[str, ...]]:
    """Keep a repeated text of the first column on the first of its rows only."""
    if sheet.sortable:
        return list(sheet.rows)
    before = [("",), *sheet.rows]
    return [("", *row[1:]) if row[0] == last[0] else row for row, last in zip(sheet.rows, before, strict=False)]
