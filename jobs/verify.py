"""A dataset of scans in; the verdict on each of its studies out, and nothing written but the file that is asked for."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.table import Table
from rich.text import Text

from jobs.shared.command_line import PlainOption, console, run_alone
from jobs.shared.intake import (
    DatasetArgument,
    HashIdsOption,
    ScrubOption,
    SiteOption,
    SpacingOption,
    TaskOption,
    WorkersOption,
    admit,
    input_files,
    recipe_of,
    shared_out,
)
from jobs.shared.output_file import csv_text, refuse_inputs, save_output
from jobs.shared.progress import steps
from jobs.shared.tasks import load_task
from lesionlab.preprocessing.cohort import judge, tally
from lesionlab.preprocessing.costs import READING, study_cost
from lesionlab.preprocessing.ingest import check_study
from storage_schemas.verdicts import Finding, StudyVerdict, VerdictRow

_STYLES = {"pass": "green", "repaired": "yellow", "quarantined": "bold red"}


def verify(
    path: DatasetArgument,
    task: TaskOption = "flair-single",
    site: SiteOption = None,
    scrub: ScrubOption = False,
    hash_ids: HashIdsOption = False,
    registration: Annotated[
        bool,
        typer.Option("--registration", help="Make each study's volume too: registers its images, for minutes a study."),
    ] = False,
    spacing: SpacingOption = 1.0,
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the verdicts there.")] = None,
    csv_file: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE", help="Write the verdict table there, one line a finding.")
    ] = None,
    workers: WorkersOption = None,
    plain: PlainOption = False,
) -> None:
    """Say of each study of a dataset whether it would pass, and why not; no store is read or written.

    Exit code 0: all pass, or were repaired.

    Example: lesionlab verify ./ms-cohort --task flair-new
    """
    recipe = recipe_of(load_task(task), spacing, scrub=scrub)
    dataset = admit(path, recipe, site, hash_ids=hash_ids)
    for option, file in (("--json", json_file), ("--csv", csv_file)):
        if file and file.exists():
            refuse_inputs(option, file, input_files(path))
    with steps("verifying") as step:
        outcomes = judge(
            dataset,
            partial(check_study, recipe=recipe, registration=registration),
            shared_out(dataset, study_cost(recipe.task, spacing) if registration else READING, workers, plain=plain),
            step,
        )
    verdicts = [outcome.verdict for outcome in outcomes]
    rows = [row for verdict in verdicts for row in verdict.rows()]
    if json_file:
        documents = [verdict.model_dump() | {"verdict": verdict.verdict} for verdict in verdicts]
        save_output("--json", json_file, (json.dumps(documents, indent=2) + "\n").encode())
    if csv_file:
        save_output(
            "--csv", csv_file, csv_text(list(VerdictRow.model_fields), [row.model_dump() for row in rows]).encode()
        )
    console.print(table_of(verdicts))
    console.print(tally(verdicts))
    if any(verdict.verdict == "quarantined" for verdict in verdicts):
        raise typer.Exit(1)


def table_of(verdicts: list[StudyVerdict]) -> Table:
    """One row a finding; for people, at 80 columns and more."""
    table = Table("study", "verdict", "finding", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in table.columns:
        column.overflow = "fold"
    table.columns[0].max_width = 24
    for verdict in verdicts:
        style = _STYLES[verdict.verdict]
        first, *others = [_words(finding, verdict) for finding in verdict.findings] or [""]
        table.add_row(verdict.study, verdict.verdict, Text(first), style=style)
        for text in others:
            table.add_row("", "", Text(text), style=style)
    return table


def _words(finding: Finding, verdict: StudyVerdict) -> str:
    """Code and text; what was put right is marked where other findings stand beside it."""
    mark = " (repaired)" if finding.repaired and verdict.verdict == "quarantined" else ""
    return f"{finding.code}, {finding.text()}{mark}"


if __name__ == "__main__":
    run_alone(verify)
