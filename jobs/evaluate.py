"""Test a registered model on every study of a cohort, without training."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from jobs.shared.console import console, notes
from jobs.shared.entry_points import run_as_module
from jobs.shared.evaluate_output import show_rows
from jobs.shared.execution import execute_with_progress
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
from lesionlab.evaluation.study import export_predictions
from lesionlab.experiments.manifests import current_manifest
from lesionlab.experiments.planning import testing_run
from lesionlab.experiments.registry import find_model
from lesionlab.store.tables import read_rows
from storage_schemas import keys
from storage_schemas.base import as_columns
from storage_schemas.results import StudyRow


def evaluate(
    cohort: Annotated[
        str, typer.Argument(metavar="COHORT", callback=plain_name, help="Name of a preprocessed cohort in the store.")
    ],
    store: StoreOption,
    cache: CacheOption,
    model: ModelOption,
    save_predictions: SavePredictionsOption = None,
    csv_file: CsvOption = None,
    for_programs: JsonOption = False,
) -> None:
    """Test a registered model on every study of a cohort, without training.

    Example: lesionlab evaluate demo-ms --model demo-glioma
    """
    place = connect_to_read(store)
    run = testing_run(find_model(place, model), current_manifest(place, cohort))
    execute_with_progress((run,), place, cache, plain=True, what="model")
    key = keys.STUDY_ROWS.build(experiment=run.experiment, run_id=run.run_id)
    rows = read_rows(place, [key], StudyRow)
    if csv_file:
        save_csv(csv_file, list(StudyRow.model_fields), map(as_columns, rows))
    if for_programs:
        console.print(json.dumps([row.model_dump(mode="json") for row in rows], indent=2))
    else:
        show_rows(rows, f"{model} on {cohort}")
    if save_predictions:
        notes.print(f"{export_predictions(place, (run,), save_predictions)} masks in {save_predictions}")


if __name__ == "__main__":
    run_as_module(evaluate)
