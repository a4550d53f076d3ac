"""Analyse a table of results from elsewhere: the same statistics, report and answer, without a store."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from jobs.shared.console import console
from jobs.shared.declarations import refuse_unknown
from jobs.shared.report_folder import save_files
from jobs.shared.sharing import save_shared
from lesionlab.analysis.report import PAGE, table_report
from lesionlab.analysis.shared_report import shared_table
from lesionlab.analysis.sheets.screen import as_text
from lesionlab.analysis.statistics.comparisons import Unit
from lesionlab.analysis.statistics.compute import statistics
from lesionlab.analysis.statistics.external import read_table, unit_of
from lesionlab.analysis.statistics.sharing import Share
from lesionlab.analysis.statistics.supplementary import Options
from lesionlab.analysis.words.answer import answer_text
from lesionlab.errors import InputError
from storage_schemas.experiments import Goal, Undefined
from storage_schemas.metrics import FRACTIONS

UnitOption = Annotated[
    Unit | None,
    typer.Option(
        show_default="fold-averaged for a rotation with the column position, else per-study",
        help="With --rows: unit of the unpaired tests: studies, or positions in the test subset averaged over the "
        "folds (as in the paper).",
    ),
]
UndefinedOption = Annotated[
    Undefined,
    typer.Option(
        help="With --rows: exclude undefined values, or (worst) count PPV as 0 if there are reference lesions but no "
        "predicted ones. Sensitivity without a reference lesion is always excluded."
    ),
]


def analyse_table(
    rows: Path, unit: Unit | None, options: Options, out: Path | None, shared: Share | None = None
) -> None:
    """Save the report if a folder is given, then print tables and answer. Raises InputError with all faults."""
    table = read_table(rows)
    refuse_unknown(options.declared, {row.source or "" for row in table.rows if row.arm == "other"})
    if shared is not None and out is not None:
        save_shared(shared_table(table, unit_of(table, unit), options, shared), out)
        return
    found = statistics(table.rows, table.rows, unit_of(table, unit), options)
    if out is not None:
        save_files(table_report(table, found), out)
    console.print(as_text(found.tables))
    console.print(answer_text(found.answer).text())
    if out is not None:
        console.print(f"report: {out / PAGE}")


def valid_margin(margin: float | None) -> float | None:
    """The margin. Raises InputError if it is no fraction above 0 and below 1."""
    if margin is not None and not 0 < margin < 1:
        raise InputError(f"--margin: wanted a fraction above 0 and below 1, such as 0.10; found {margin}")
    return margin


def goal_of(target: str | None, annotation_minutes: float | None) -> Goal | None:
    """The goal set by two options, or None. Raises InputError that names each invalid option."""
    metric, _, mean = (target or "sensitivity=").partition("=")
    if target is None and annotation_minutes is None:
        return None
    try:
        return Goal.model_validate({"metric": metric, "target": mean or None, "annotation_minutes": annotation_minutes})
    except ValidationError as error:
        wrong = {fault["loc"][0] for fault in error.errors()}
        faults = []
        if wrong & {"metric", "target"}:
            names = ", ".join(FRACTIONS)
            faults.append(f"--target: wanted {names} and a mean from 0 to 1, as in sensitivity=0.63; found {target!r}")
        if "annotation_minutes" in wrong:
            faults.append(f"--annotation-minutes: wanted more than 0; found {annotation_minutes}")
        raise InputError(*faults) from error
