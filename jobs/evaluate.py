"""A registered model and a preprocessed cohort in; the model tested on every study of it, without any training, out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from jobs.shared.command_line import CacheOption, StoreOption, connect, console, plain_name, run_alone
from jobs.shared.execution import execute_with_progress
from jobs.sweep import export_predictions
from lesionlab.errors import SpecError
from lesionlab.experiments.manifests import current_manifest
from lesionlab.experiments.registry import find_model
from lesionlab.store.tables import read_rows
from storage_schemas import keys
from storage_schemas.definitions import MetricDefinition
from storage_schemas.manifests import Manifest
from storage_schemas.models import ModelCard, ModelName
from storage_schemas.results import StudyRow
from storage_schemas.runs import Cell, Parent, RunSpec, TrainingConfig
from storage_schemas.tasks import same_task, told_apart
from storage_schemas.versions import CURRENT


def testing_run(card: ModelCard, manifest: Manifest) -> RunSpec:
    """The run that tests a model on a whole cohort. Raises SpecError where it was made for other images."""
    if not same_task(card.task, manifest.task) or card.spacing_mm != manifest.spacing_mm:
        wanted, found = told_apart(card.task, manifest.task)
        raise SpecError(
            f"model {card.name}@{card.version} is for {wanted} at {card.spacing_mm} mm, "
            f"cohort {manifest.cohort} was prepared for {found} at {manifest.spacing_mm} mm; "
            "preprocess it for the model"
        )
    return RunSpec.named(
        experiment=f"evaluate-{card.name}",
        task=card.task,
        channels=card.channels,
        spacing_mm=card.spacing_mm,
        cell=Cell(arm="default", source=card.name, training_size=0, fold=1, seed=0, depth=card.architecture.depth),
        cohort=manifest.cohort,
        manifest=manifest.id,
        train=(),
        test=manifest.studies,
        parent=Parent(model=ModelName(name=card.name, version=card.version), weights_sha256=card.weights_sha256),
        architecture=card.architecture,
        training=TrainingConfig(patch_voxels=card.patch_voxels),
        inference=card.inference,
        metric=MetricDefinition(),
        seed=0,
        versions=CURRENT,
    )


def show_rows(rows: list[StudyRow], title: str) -> None:
    """Print one line a study; an undefined value is a dash."""
    table = Table(title=title, title_justify="left")
    for column in (
        "study",
        "site",
        "lesions",
        "true positives",
        "predicted",
        "false positives",
        "sensitivity",
        "PPV",
        "Dice",
    ):
        table.add_column(column, justify="left" if column in {"study", "site"} else "right")
    for row in rows:
        counts = (row.reference_lesions, row.true_positives, row.predicted_lesions, row.false_positives)
        shares = (row.sensitivity, row.ppv, row.dice)
        table.add_row(row.study, row.site, *map(str, counts), *("–" if x is None else f"{x:.2f}" for x in shares))
    console.print(table)


def evaluate(
    cohort: Annotated[
        str, typer.Argument(metavar="COHORT", callback=plain_name, help="Name under which it was preprocessed.")
    ],
    store: StoreOption,
    cache: CacheOption,
    model: Annotated[str, typer.Option(metavar="NAME", help="Registered model: NAME (its champion) or NAME@VERSION.")],
    save_predictions: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write every predicted mask there as NIfTI, in native space.")
    ] = None,
) -> None:
    """Test a registered model on a cohort, as it is.

    Example: lesionlab evaluate demo-ms --model demo-glioma
    """
    place = connect(store)
    run = testing_run(find_model(place, model), current_manifest(place, cohort))
    execute_with_progress((run,), place, cache, plain=True, what="model")
    key = keys.STUDY_ROWS.build(experiment=run.experiment, run_id=run.run_id)
    show_rows(read_rows(place, [key], StudyRow), f"{model} on {cohort}")
    if save_predictions:
        console.print(
            f"{export_predictions((run,), place, save_predictions)} masks in {save_predictions}", markup=False
        )


if __name__ == "__main__":
    run_alone(evaluate)
