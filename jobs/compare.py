"""Compare anybody's models on a cohort: score their masks, beside each other or beside an experiment's arms."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from jobs.shared.audited import ANALYSING, audited
from jobs.shared.compare_output import as_json, dry_run_json, show_dry_run
from jobs.shared.comparing import (
    Missing,
    compared_table,
    found_masks,
    missing_masks,
    of_cohort,
    of_experiment,
)
from jobs.shared.console import console, notes
from jobs.shared.declarations import TrainedOnOption, declarations, refuse_unknown
from jobs.shared.entry_points import run_as_module
from jobs.shared.options import StoreOption, connect_to_read, plain_name
from jobs.shared.predicted_masks import model_folders
from jobs.shared.report_folder import report_folder, save_files
from jobs.shared.sharing import ShareOption, SmallestOption, agreed_share, chosen_share, save_shared
from lesionlab.analysis.report import PAGE, table_report
from lesionlab.analysis.shared_report import shared_table
from lesionlab.analysis.sheets.screen import as_text
from lesionlab.analysis.statistics.compute import statistics
from lesionlab.analysis.words.answer import answer_text
from lesionlab.errors import InputError
from storage_schemas.definitions import DEFINITIONS
from storage_schemas.policies import Leaves


def compare(
    store: StoreOption,
    masks: Annotated[
        list[str],
        typer.Option(
            metavar="NAME=FOLDER",
            help="A model under any name, and the folder with its masks, named by study or as BIDS-derivatives; "
            "repeatable.",
        ),
    ],
    cohort: Annotated[
        str | None,
        typer.Option(metavar="NAME", callback=plain_name, help="Score all studies of this preprocessed cohort."),
    ] = None,
    experiment: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", callback=plain_name, help="Score the test studies of this experiment, beside its own arms."
        ),
    ] = None,
    definition: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE",
            show_default="paper; with --experiment its own",
            help=f"Definition of lesion and hit: {', '.join(DEFINITIONS)}; or your own (YAML file).",
        ),
    ] = None,
    trained_on: TrainedOnOption = None,
    missing: Annotated[
        Missing, typer.Option(help="A study without a mask: refuse, or count it as an empty mask (nothing found).")
    ] = "refuse",
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Save report, tables and figures to this folder.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only list which mask belongs to which study, and which are missing.")
    ] = False,
    for_programs: Annotated[bool, typer.Option("--json", help="Print rows and comparisons as JSON.")] = False,
    share: ShareOption = "site",
    smallest_count: SmallestOption = None,
) -> None:
    """Compare models from elsewhere (nnU-Net, LST-AI, a second reader) by their masks, all by the same definition.

    A mask belongs to a study if its path has the study's BIDS entities, or its file name the patient's
    label. It must lie on the grid of the scan. --share narrows the report as that of analyse,
    and names no study of the cohort.

    Example: lesionlab compare --experiment demo --masks nnU-Net=./nnunet --masks LST-AI=./lst --out ./report

    Example: lesionlab compare --cohort ms --masks reader-2=./reader2 --trained-on "reader-2=a neuroradiologist"
    """
    if (cohort is None) == (experiment is None):
        raise typer.BadParameter("wanted either --cohort NAME or --experiment NAME")
    if experiment is not None and definition is not None:
        raise typer.BadParameter("--definition goes with --cohort; with --experiment its own definition is used")
    shared = chosen_share(share, smallest_count, out)
    if shared is not None and for_programs:
        raise InputError(f"--json prints rows of studies, --share {share} lets none out; read the tables in --out DIR")
    models = model_folders(masks)
    declared = declarations(trained_on or ())
    refuse_unknown(declared, {model.name for model in models})
    place = connect_to_read(store)
    shows: Leaves = "rows" if shared is None else "aggregates"
    setting = (
        of_experiment(place, experiment, shows) if experiment else of_cohort(place, cohort or "", definition, shows)
    )
    found = found_masks(models, setting.studies)
    if dry_run:
        if for_programs:
            console.print(dry_run_json(found))
        else:
            show_dry_run(found, setting.studies, named=shared is None)
        return
    lacking = missing_masks(found, named=shared is None)
    if lacking and missing == "refuse":
        raise InputError(*lacking)
    options = replace(setting.options, declared=declared)
    with report_folder(out):
        with audited(place, ANALYSING, experiment or setting.cohort, setting.audited):
            table = compared_table(place, setting, found)
        if shared is not None and out is not None:
            shared = agreed_share(shared, place, setting.sites, smallest_count)
            save_shared(shared_table(table, setting.unit, options, shared, simulated=setting.simulated), out)
            return
        result = statistics(table.rows, setting.planned(table.rows), setting.unit, options, setting.simulated)
        if out is not None:
            save_files(table_report(table, result), out)
    if for_programs:
        console.print(as_json(table, result))
        return
    console.print(as_text(result.tables))
    console.print(answer_text(result.answer).text())
    for sentence in lacking:
        notes.print(sentence, style="yellow")
    if out is not None:
        console.print(f"report: {out / PAGE}")


if __name__ == "__main__":
    run_as_module(compare)
