"""Performance tables in; the same as text for a screen or a log out, in plain characters."""

from __future__ import annotations

from collections.abc import Sequence
from io import StringIO
from itertools import groupby

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from lesionlab.analysis.sheets.key import EXPLAINED, Comparison, comparisons, key_of
from lesionlab.analysis.statistics.summary import Summary
from lesionlab.analysis.statistics.tables import PerformanceTable, mean_se, method_name, p_text

_SCREEN_COLUMNS = 96
_USUAL = 2
"""Comparisons that fit the screen: with the default model, and with the one way of training de novo."""
_COLUMNS_MORE = 20
"""Each further comparison makes the text so much wider: a column of sensitivity and one of PPV."""


def as_text(tables: Sequence[PerformanceTable]) -> str:
    """Each table with its key below; tables that read alike share one."""
    return "".join(
        _with_key(list(together), key) for key, together in groupby(tables, lambda table: key_of(table, _shown(table)))
    )


def _shown(table: PerformanceTable) -> list[Comparison]:
    """The screen is narrow: what is compared with Grader 2 is in the CSV and in the report."""
    return [compared for compared in comparisons(table, EXPLAINED) if compared.title != "p Grader 2"]


def _with_key(tables: Sequence[PerformanceTable], key: Sequence[str]) -> str:
    sheet = StringIO()
    more = max(len(_shown(table)) - _USUAL for table in tables)
    width = _SCREEN_COLUMNS + _COLUMNS_MORE * max(0, more)
    console = Console(file=sheet, width=width, color_system=None, force_terminal=False)
    for table in tables:
        console.print(_rich_table(table))
    for line in key:
        console.print(line, markup=False, highlight=False)
    return "\n".join(line.rstrip() for line in sheet.getvalue().splitlines()) + "\n"


def _rich_table(table: PerformanceTable) -> Table:
    """Dice, where there is any, without its p values: they are in the CSV and in the report."""
    sheet = Table(
        box=SIMPLE_HEAD,
        collapse_padding=True,
        pad_edge=False,
        title="; ".join(
            [f"Default model: {table.source}"] * bool(table.source) + [table.stratum] * bool(table.stratum)
        ),
    )
    shown = _shown(table)
    compared = [one.title.replace(" ", "\n") for one in shown]
    dice = ["Dice"] * any(line.measures["dice"].summary.n for line in table.lines)
    sheet.add_column("Model")
    sheet.add_column("N", justify="right")
    for title in ("Sensitivity", *compared, "PPV", *compared, *dice):
        sheet.add_column(title, justify="right", no_wrap=True)
    for line in table.lines:
        texts = [method_name(line.condition, table.models), str(line.condition.training_size)]
        for measure in (line.measures[metric] for metric in EXPLAINED):
            texts += [_with_n(measure.summary), *(p_text(one.of(measure)) for one in shown)]
        sheet.add_row(*texts, *[_with_n(line.measures["dice"].summary)] * len(dice))
    return sheet


def _with_n(summary: Summary) -> str:
    return mean_se(summary) + (f" (n={summary.n})" if summary.undefined else "")
