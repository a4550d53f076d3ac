"""Describe a cohort by the paper's Tables 1 and 2: patients, scanners and sequences."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from jobs.shared.cohort_facts import cohort_facts, cohort_sheets
from jobs.shared.console import console
from jobs.shared.entry_points import run_as_module
from jobs.shared.options import StoreOption, connect_to_read, plain_name
from jobs.shared.output_file import save_csv
from jobs.shared.sheet_files import save_sheets
from lesionlab.analysis.sheets.sheet import as_markdown
from storage_schemas.facts import StudyFacts


def cohort(
    name: Annotated[
        str,
        typer.Argument(metavar="NAME", callback=plain_name, help="Name of a preprocessed cohort, such as demo-ms."),
    ],
    store: StoreOption,
    spec: Annotated[
        str | None,
        typer.Option(metavar="EXPERIMENT", help="Also show each subset of this experiment (file or built-in name)."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Also save the tables here, as CSV, Markdown and HTML.")
    ] = None,
    csv_file: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE", help="Save the facts of each study and visit as CSV.")
    ] = None,
    for_programs: Annotated[
        bool, typer.Option("--json", help="Print the facts of each study and visit as JSON, without the tables.")
    ] = False,
) -> None:
    """Describe a cohort: sex, age, field strength, sequence times and scanners; missing values are counted.

    Example: lesionlab cohort demo-ms --out ./tables
    """
    place = connect_to_read(store)
    sheets = cohort_sheets(place, name, spec)
    facts = [row.model_dump(mode="json") for row in cohort_facts(place, name)]
    if csv_file:
        save_csv(csv_file, list(StudyFacts.model_fields), facts)
    if out:
        save_sheets(sheets, out)
    if for_programs:
        console.print(json.dumps(facts, indent=2))
        return
    for sheet in sheets.values():
        console.print(as_markdown(sheet))
    if out:
        console.print(f"tables: {out}")


if __name__ == "__main__":
    run_as_module(cohort)
