"""Who a report is for, and saving one that may leave the hospitals."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from jobs.shared.console import console
from jobs.shared.report_folder import PAGE_NAME, save_files
from lesionlab.analysis.methods.student import LEAST_PATIENTS
from lesionlab.analysis.shared_report import SharedReport
from lesionlab.analysis.statistics.sharing import Level, Share
from lesionlab.errors import InputError
from lesionlab.experiments.site_policies import smallest_count_of
from lesionlab.store.objects import Store
from storage_schemas.base import Slug
from storage_schemas.sites import SMALLEST_COUNT

ShareOption = Annotated[
    Level,
    typer.Option(help="Who the report is for: the hospitals (all of it), the consortium, or the public."),
]
SmallestOption = Annotated[
    int | None,
    typer.Option(
        min=LEAST_PATIENTS,
        metavar="PATIENTS",
        help="With --share consortium or public: fewest patients that a number may describe. The consortium or a site "
        "may ask for more.",
        show_default=f"what the consortium agreed on, else {SMALLEST_COUNT}",
    ),
]


def chosen_share(level: Level, smallest: int | None, out: Path | None) -> Share | None:
    """What a shared report may say, before the store's own counts; None: the report of the hospitals.

    Raises InputError without a folder to write it to: the store is read by others than those it is for.
    """
    if level == "site":
        return None
    if out is None:
        raise InputError(f"--share {level}: wanted a folder to write the report to, --out DIR")
    return Share(level, smallest or SMALLEST_COUNT)


def agreed_share(share: Share, store: Store, sites: Collection[Slug], smallest: int | None) -> Share:
    """With the smallest count that holds for a report on studies of these sites: given, agreed on, or a site's own;
    with fewer than LEAST_PATIENTS nothing can be told at all."""
    return replace(share, smallest=max(LEAST_PATIENTS, smallest_count_of(store, sites, smallest)))


def save_shared(report: SharedReport, out: Path) -> None:
    """Write every file, then print tables and answer."""
    save_files(report.files, out)
    console.print(report.table_text, markup=False, highlight=False)
    console.print(report.answer, markup=False, highlight=False)
    console.print(f"report: {out / PAGE_NAME}")
