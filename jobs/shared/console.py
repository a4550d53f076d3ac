"""The two consoles of every command: results on standard output, progress and errors on standard error."""

from __future__ import annotations

import os

from rich.console import Console
from rich.table import Table

console = Console(highlight=False, markup=False, soft_wrap=True)
"""Results. Text is printed literally, since a title may contain brackets."""
notes = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
"""Progress and errors."""

FULL_WIDTH = 10_000
"""Columns of a file or pipe, which has no edge; wider than any table here."""


def show_table(table: Table) -> None:
    """Print a table; a text wider than its column continues on the next line and is never cut.

    In a file or pipe each row is one line, unless COLUMNS gives a width.
    """
    for column in table.columns:
        column.overflow = "fold"
    if console.is_terminal or "COLUMNS" in os.environ:
        console.print(table)
    else:
        Console(file=console.file, width=FULL_WIDTH, highlight=False, markup=False).print(table)
