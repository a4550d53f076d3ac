"""Validate the studies of a dataset without a store."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from jobs.shared.console import console
from jobs.shared.dataset_options import (
    AbsolutePathsOption,
    AcceptOption,
    DatasetArgument,
    HashIdsOption,
    RegisteredOption,
    ScrubOption,
    SiteOption,
    SpacingOption,
    StripOption,
    StrippedOption,
    TaskOption,
    WorkersOption,
)
from jobs.shared.dataset_screening import input_files, open_screened, study_map
from jobs.shared.entry_points import answer_no, run_as_module
from jobs.shared.options import PlainOption
from jobs.shared.output_file import output_file, refuse_inputs
from jobs.shared.progress import steps
from jobs.shared.stripping import chosen_stripping
from jobs.shared.tasks import load_task
from jobs.shared.verify_output import save_verdict_csv, save_verdict_json, show_verdicts
from lesionlab.errors import DatasetError
from lesionlab.preprocessing.cohort import judge
from lesionlab.preprocessing.costs import READING, study_cost
from lesionlab.preprocessing.ingest import Recipe, check_study


def verify(
    path: DatasetArgument,
    task: TaskOption = "flair-single",
    site: SiteOption = None,
    scrub: ScrubOption = False,
    hash_ids: HashIdsOption = False,
    absolute_paths: AbsolutePathsOption = False,
    accept: AcceptOption = None,
    registered: RegisteredOption = False,
    strip: StripOption = False,
    stripped: StrippedOption = False,
    registration: Annotated[
        bool,
        typer.Option("--registration", help="Also register and resample the images: minutes per study."),
    ] = False,
    spacing: SpacingOption = 1.0,
    json_file: Annotated[
        Path | None,
        typer.Option("--json", metavar="FILE", callback=output_file, help="Save the verdicts as JSON."),
    ] = None,
    csv_file: Annotated[
        Path | None,
        typer.Option(
            "--csv", metavar="FILE", callback=output_file, help="Save the verdicts as CSV, one line per finding."
        ),
    ] = None,
    workers: WorkersOption = None,
    plain: PlainOption = False,
) -> None:
    """Validate a dataset: pass, repaired or quarantined for each study, with reasons. Uses no store.

    Exit code 0: every study passes or was repaired. Exit code 3: at least one study is quarantined.

    Example: lesionlab verify ./ms-cohort --task flair-new
    """
    stripping = chosen_stripping(strip=strip, stripped=stripped)
    recipe = Recipe(load_task(task), spacing, scrub, frozenset(accept or ()), registered, stripping)
    dataset = open_screened(path, recipe, site, hash_ids=hash_ids, absolute_paths=absolute_paths, every_fault=True)
    for option, file in (("--json", json_file), ("--csv", csv_file)):
        if file and file.exists():
            refuse_inputs(option, file, input_files(path))
    cost = study_cost(recipe.task, spacing, recipe.stripper) if registration else READING
    with steps("verifying") as step:
        check = partial(check_study, recipe=recipe, registration=registration)
        outcomes = judge(dataset, check, study_map(dataset, cost, workers, step, plain=plain), step)
    verdicts = [outcome.verdict for outcome in outcomes]
    if json_file:
        save_verdict_json(verdicts, json_file)
    if csv_file:
        save_verdict_csv(verdicts, csv_file)
    show_verdicts(verdicts)
    if recipe.task.registrations and not registration:
        console.print("registration was not tried; to try it too: --registration (minutes per study)")
    if dataset.faults:
        raise DatasetError(*dataset.faults)
    if quarantined := sum(verdict.verdict == "quarantined" for verdict in verdicts):
        answer_no(f"{quarantined} of {len(verdicts)} studies are quarantined")


if __name__ == "__main__":
    run_as_module(verify)
