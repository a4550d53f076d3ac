"""Performance tables in; the same as text for a screen or a log out, in plain characters."""

from __future__ import annotations

from collections.abc import Sequence
from io import StringIO

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from lesionlab.analysis.statistics.summary import Summary
from lesionlab.analysis.statistics.tables import PerformanceTable, mean_se, p_text, short_name

_SCREEN_COLUMNS = 96


def as_text(tables: Sequence[PerformanceTable], key: Sequence[str]) -> str:
    """The tables and their key for a screen or a log, in plain characters."""
    sheet = StringIO()
    console = Console(file=sheet, width=_SCREEN_COLUMNS, color_system=None, force_terminal=False)
    for table in tables:
        console.print(_rich_table(table))
    for line in key:
        console.print(line, markup=False, highlight=False)
    return "\n".join(line.rstrip() for line in sheet.getvalue().splitlines()) + "\n"


def _rich_table(table: PerformanceTable) -> Table:
    """Dice without its p values: they are in the CSV and in the report, the screen is narrow."""
    sheet = Table(
        box=SIMPLE_HEAD,
        collapse_padding=True,
        pad_edge=False,
        title="; ".join(
            [f"Default model: {table.source}"] * bool(table.source) + [table.setting] * bool(table.setting)
        ),
    )
    sheet.add_column("Model")
    sheet.add_column("N", justify="right")
    for title in ("Sensitivity", "p\ndefault", "p\nmethod", "PPV", "p\ndefault", "p\nmethod", "Dice"):
        sheet.add_column(title, justify="right", no_wrap=True)
    for line in table.lines:
        texts = [short_name(line.condition), str(line.condition.training_size)]
        for measure in (line.measures["sensitivity"], line.measures["ppv"]):
            texts += [_with_n(measure.summary), p_text(measure.against_default), p_text(measure.between_methods)]
        sheet.add_row(*texts, _with_n(line.measures["dice"].summary))
    return sheet


def _with_n(summary: Summary) -> str:
    return mean_se(summary) + (f" (n={summary.n})" if summary.undefined else "")
