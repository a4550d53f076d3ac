"""Test a registered model on every study of a cohort, without training."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from jobs.shared.console import console, notes
from jobs.shared.decisions_output import note_origin, why_in_use
from jobs.shared.definitions import described, load_definition
from jobs.shared.entry_points import run_as_module
from jobs.shared.evaluate_output import COLUMNS, marked, show_rows
from jobs.shared.execution import execute_with_progress
from jobs.shared.left_out import note_left_out
from jobs.shared.options import (
    CacheOption,
    CsvOption,
    JsonOption,
    ModelOption,
    SavePredictionsOption,
    StoreOption,
    connect_to_read,
    plain_name,
)
from jobs.shared.output_file import save_csv
from jobs.shared.seen_studies import seen_studies
from lesionlab.evaluation.exports import export_predictions
from lesionlab.evaluation.rescoring import Scoring, own_rows, rescore_run, rescored_rows
from lesionlab.experiments.benchmarks import refuse_looks
from lesionlab.experiments.manifests import forbidden_parts, frozen_manifest
from lesionlab.experiments.planning import testing_run
from lesionlab.experiments.registry import find_model
from lesionlab.experiments.site_policies import purpose_of, refuse_showing
from storage_schemas.definitions import DEFINITIONS


def evaluate(
    cohort: Annotated[
        str, typer.Argument(metavar="COHORT", callback=plain_name, help="Name of a preprocessed cohort in the store.")
    ],
    store: StoreOption,
    cache: CacheOption,
    model: ModelOption,
    definition: Annotated[
        str,
        typer.Option(
            metavar="NAME|FILE",
            help=f"Definition of lesion and hit: {', '.join(DEFINITIONS)}; or your own (YAML file).",
        ),
    ] = "paper",
    allow_seen: Annotated[
        bool,
        typer.Option(
            "--allow-seen", help="Also test studies that the model was trained on; each row says so. Refused otherwise."
        ),
    ] = False,
    same_patients: Annotated[
        bool,
        typer.Option(
            "--same-patients",
            help="Patient labels of COHORT and of the model's training cohorts mean the same people.",
        ),
    ] = False,
    save_predictions: SavePredictionsOption = None,
    csv_file: CsvOption = None,
    for_programs: JsonOption = False,
) -> None:
    """Test a registered model on every study of a cohort, without training.

    Refused for studies that the model, or a model it was fine-tuned from, was
    trained on: the same image under any name, a likely copy, another study of the
    same patient. Its numbers on them say nothing about new patients. Refused for
    benchmarks too: each look at them takes a ticket, see promote.

    Example: lesionlab evaluate demo-ms --model demo-glioma --definition msseg-2
    """
    by = load_definition(definition)
    place = connect_to_read(store)
    card = find_model(place, model)
    purpose = purpose_of(f"evaluate-{card.name}", card.task.name, tested=True)
    manifest = frozen_manifest(place, cohort, purpose)
    note_left_out(forbidden_parts(place, cohort, purpose))
    if why := why_in_use(place, model, card):
        notes.print(why)
    note_origin(place, card)
    refuse_looks(place, manifest)
    run = testing_run(card, manifest)
    refuse_showing(place, (run,), "rows")
    seen = seen_studies(place, card, manifest, allowed=allow_seen, same_patients=same_patients)
    execute_with_progress((run,), place, cache, plain=True, what="model")
    scoring = Scoring(by)
    if by == run.metric:
        rows = own_rows(place, (run,))
    else:
        rescore_run(place, run, (scoring,))
        rows = rescored_rows(place, (run,), scoring)
    lines = marked(rows, seen)
    if csv_file:
        save_csv(csv_file, COLUMNS, lines)
    if for_programs:
        console.print(json.dumps(lines, indent=2))
    else:
        show_rows(rows, seen, f"{model} on {cohort}, {described(by)}")
    if save_predictions:
        notes.print(f"{export_predictions(place, (run,), save_predictions)} masks in {save_predictions}")


if __name__ == "__main__":
    run_as_module(evaluate)
