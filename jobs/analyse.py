"""The rows of a study in; statistics, tables, figures and one report, out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from jobs.door import StoreOption, connect, console, plain_name, run_alone
from lesionlab.analysis.report import ReportResult, write_report
from lesionlab.errors import InputError
from lesionlab.store.documents import read_document, read_pointer
from lesionlab.store.objects import Store
from storage_schemas import keys
from storage_schemas.studies import Plan


def current_plan(store: Store, study_name: str) -> Plan:
    """The plan that was swept last under this name. Raises InputError that lists the studies that there are."""
    digest = read_pointer(store, keys.CURRENT_PLAN.build(study_name=study_name))
    if digest is None:
        found = {fields["study_name"] for key in store.list("plans/") if (fields := keys.CURRENT_PLAN.parse(key))}
        raise InputError(
            f"study {study_name}: no sweep in {store.uri}; there: {', '.join(sorted(found)) or 'none yet'}; "
            "start with: lesionlab sweep SPEC"
        )
    return read_document(store, keys.PLAN.build(study_name=study_name, digest=digest), Plan)


def save_report(store: Store, result: ReportResult, out: Path) -> Path:
    """Copy a report with its tables and figures out of the store; returns the page to open."""
    root = result.key.rpartition("/")[0] + "/"
    for key in store.list(root):
        path = out / key.removeprefix(root)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(store.get(key))
    return out / "report.html"


def analyse(
    study: Annotated[
        str, typer.Argument(metavar="STUDY", callback=plain_name, help="Name of a study that was swept, such as demo.")
    ],
    store: StoreOption,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Also copy report, tables and figures to this folder.")
    ] = None,
) -> None:
    """Compare the arms of a study and write the report.

    Example: lesionlab analyse demo --out ./demo-report
    """
    place = connect(store)
    result = write_report(place, current_plan(place, study))
    console.print(result.table_text, markup=False)
    console.print(result.answer, markup=False)
    console.print(f"report: {save_report(place, result, out) if out else f'{store}/{result.key}'}", markup=False)


if __name__ == "__main__":
    run_alone(analyse)
