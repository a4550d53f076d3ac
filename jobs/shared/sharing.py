"""Who a report is for, and saving one that may leave the hospitals."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from jobs.shared.console import console
from jobs.shared.report_folder import PAGE_NAME, save_files
from lesionlab.analysis.methods.student import LEAST_PATIENTS
from lesionlab.analysis.shared_report import SharedReport
from lesionlab.analysis.statistics.sharing import Level, Share
from lesionlab.errors import InputError

ShareOption = Annotated[
    Level,
    typer.Option(help="Who the report is for: the hospitals (all of it), the consortium, or the public."),
]
SmallestOption = Annotated[
    int,
    typer.Option(
        min=LEAST_PATIENTS,
        metavar="PATIENTS",
        help="With --share consortium or public: fewest patients that a number may describe.",
    ),
]


def chosen_share(level: Level, smallest: int, out: Path | None) -> Share | None:
    """What a shared report may say; None: the report of the hospitals. Raises InputError without a folder to write
    it to: the store is read by others than those it is for."""
    if level == "site":
        return None
    if out is None:
        raise InputError(f"--share {level}: wanted a folder to write the report to, --out DIR")
    return Share(level, smallest)


def save_shared(report: SharedReport, out: Path) -> None:
    """Write every file, then print tables and answer."""
    save_files(report.files, out)
    console.print(report.table_text, markup=False, highlight=False)
    console.print(report.answer, markup=False, highlight=False)
    console.print(f"report: {out / PAGE_NAME}")
