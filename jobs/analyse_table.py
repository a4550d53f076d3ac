"""A table of results that were made elsewhere in; the same statistics, tables and answer out. No store, no study."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, get_args

import typer
from pydantic import ValidationError

from jobs.door import console
from jobs.faults import validation_faults
from lesionlab.analysis.sheets.beside_tables import beside_sheets
from lesionlab.analysis.sheets.screen import as_text
from lesionlab.analysis.sheets.sheet import files_of
from lesionlab.analysis.statistics.beside import Options
from lesionlab.analysis.statistics.comparisons import Unit
from lesionlab.analysis.statistics.conditions import Metric
from lesionlab.analysis.statistics.external import TableRow, read_table
from lesionlab.analysis.statistics.tables import csv_text, effects_csv, performance_csv, summary_csv
from lesionlab.analysis.statistics.whole import Statistics, statistics
from lesionlab.errors import InputError
from storage_schemas.studies import Goal, Undefined

UnitOption = Annotated[
    Unit,
    typer.Option(help="With --rows: the unpaired tests' unit. fold-averaged, the paper's: by position in the subset."),
]
UndefinedOption = Annotated[
    Undefined, typer.Option(help="With --rows: leave undefined values out, or count them as 0 (worst).")
]


def analyse_table(rows: Path, unit: Unit, options: Options, out: Path | None) -> None:
    """Print tables and answer; write them with every comparison into the folder. Raises InputError with all faults."""
    table = read_table(rows)
    found = statistics(table, table, unit, options)
    console.print(as_text(found.tables), markup=False)
    console.print(found.answer.text(), markup=False)
    if out is not None:
        for name, text in files(table, found).items():
            path = out / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        console.print(f"tables: {out}", markup=False)


def files(rows: tuple[TableRow, ...], found: Statistics) -> dict[str, str]:
    """By name: the numbers in full precision, what stands beside them, and the words."""
    return {
        "answer.txt": found.answer.text() + "\n",
        "performance.txt": as_text(found.tables),
        "performance.csv": performance_csv(found.tables),
        "summary.csv": summary_csv(found.summaries),
        "effects.csv": effects_csv(found.effects),
        "studies.csv": csv_text([row.model_dump() for row in rows]),
        **files_of(beside_sheets(found.beside)),
    }


def goal_of(target: str | None, annotation_minutes: float | None) -> Goal | None:
    """The goal that two options declare; None without them. Raises InputError where they cannot be read."""
    metric, _, mean = (target or "sensitivity=").partition("=")
    if target is None and annotation_minutes is None:
        return None
    try:
        return Goal.model_validate({"metric": metric, "target": mean or None, "annotation_minutes": annotation_minutes})
    except ValidationError as error:
        wanted = f"--target: wanted {', '.join(get_args(Metric))} and a mean from 0 to 1, as in sensitivity=0.63"
        raise InputError(f"{wanted}; found {target!r}", *validation_faults(error, Goal)) from error
