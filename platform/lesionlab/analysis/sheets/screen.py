"""Print performance tables as plain text, for a screen or a log."""

from __future__ import annotations

from collections.abc import Sequence
from io import StringIO
from itertools import groupby

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from lesionlab.analysis.statistics.tables import Against, PColumn, PerformanceTable
from lesionlab.analysis.words.keys import column_title, key_of
from lesionlab.analysis.words.models import short_name_among, stratum_name
from lesionlab.analysis.words.numbers import mean_se_n, starred
from lesionlab.analysis.words.tables import SCREEN_COLUMNS, SCREEN_METRICS, screen_title
from storage_schemas.metrics import PRIMARY

_SCREEN_COLUMNS = 96
_USUAL = 2
"""Columns of p values that fit the screen: versus the default model, and versus the one way of training de novo."""
_COLUMNS_MORE = 20
"""Each further comparison makes the text so much wider: a column of sensitivity and one of PPV."""


def as_text(tables: Sequence[PerformanceTable]) -> str:
    """Print each table with its key below; consecutive tables with the same key share it."""
    return "".join(
        _with_key(list(together), key) for key, together in groupby(tables, lambda table: key_of(table, _shown(table)))
    )


def _shown(table: PerformanceTable) -> list[PColumn]:
    """The screen is narrow: comparisons with the second rater are in the CSV and in the report."""
    return [column for column in table.p_columns(PRIMARY) if column.against is not Against.RATER]


def _with_key(tables: Sequence[PerformanceTable], key: Sequence[str]) -> str:
    sheet = StringIO()
    more = max(len(_shown(table)) - _USUAL for table in tables)
    width = _SCREEN_COLUMNS + _COLUMNS_MORE * max(0, more)
    console = Console(file=sheet, width=width, markup=False, color_system=None, force_terminal=False)
    for table in tables:
        console.print(_rich_table(table))
    for line in key:
        console.print(line, markup=False, highlight=False)
    return "\n".join(line.rstrip() for line in sheet.getvalue().splitlines()) + "\n"


def _rich_table(table: PerformanceTable) -> Table:
    """Dice, if there is any, stands without its p values: they are in the CSV and in the report."""
    title = screen_title(table.source, stratum_name(table.stratum))
    sheet = Table(box=SIMPLE_HEAD, collapse_padding=True, pad_edge=False, title=title)
    shown = _shown(table)
    compared = [column_title(column, table).replace(" ", "\n") for column in shown]
    dice = any(line.measures["dice"].summary.n for line in table.lines)
    model, size = SCREEN_COLUMNS
    sheet.add_column(model, overflow="fold")
    sheet.add_column(size, justify="right")
    titles = [text for metric in PRIMARY for text in (SCREEN_METRICS[metric], *compared)]
    for column in [*titles, SCREEN_METRICS["dice"]] if dice else titles:
        sheet.add_column(column, justify="right", no_wrap=True)
    for line in table.lines:
        texts = [short_name_among(line.condition, table.models), str(line.condition.training_size)]
        for measure in (line.measures[metric] for metric in PRIMARY):
            texts += [mean_se_n(measure.summary), *(starred(column.test_of(measure)) for column in shown)]
        sheet.add_row(*texts, *[mean_se_n(line.measures["dice"].summary)] * dice)
    return sheet
