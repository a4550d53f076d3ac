"""The two consoles of every command: results on standard output, progress and errors on standard error."""

from __future__ import annotations

import os

from rich.console import Console
from rich.table import Table

if os.environ.get("COLUMNS", "").strip() and not os.environ["COLUMNS"].strip("0 "):
    del os.environ["COLUMNS"]  # 0 means that the width is not known, but rich would print nothing at all, not even JSON

console = Console(highlight=False, markup=False, soft_wrap=True)
"""Results. Text is printed literally, since a title may contain brackets."""
notes = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
"""Progress and errors."""

LEAST_WIDTH = 80
"""Columns of the narrowest table: in a narrower one whole columns would vanish; the terminal breaks its lines."""
FULL_WIDTH = 10_000
"""Columns of a file or pipe, which has no edge; wider than any table here."""


def show_table(table: Table) -> None:
    """Print a table; a text wider than its column continues on the next line and is never cut.

    In a file or pipe each row is one line, unless COLUMNS gives a width.
    """
    for column in table.columns:
        column.overflow = "fold"
    edge = console.is_terminal or "COLUMNS" in os.environ
    if edge and console.width >= LEAST_WIDTH:
        console.print(table)
    else:
        width = LEAST_WIDTH if edge else FULL_WIDTH
        Console(file=console.file, width=width, highlight=False, markup=False).print(table)
