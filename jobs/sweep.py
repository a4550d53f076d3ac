"""A study file in; every cell of its design trained and tested, with rows and predictions in the store, out."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from jobs.shared.command_line import (
    CacheOption,
    PlainOption,
    ReplanOption,
    SpecArgument,
    StoreOption,
    connect,
    console,
    notes,
    run_alone,
)
from jobs.shared.execution import execute_with_progress
from jobs.shared.specs import load_spec
from lesionlab.evaluation.study import export_prediction, read_prediction
from lesionlab.experiments.cells import trainings
from lesionlab.experiments.ledger import completed
from lesionlab.experiments.store_planning import plan_experiment
from lesionlab.experiments.stored_plans import store_plan
from lesionlab.store.objects import Store
from storage_schemas.experiments import ExperimentSpec, Plan
from storage_schemas.runs import RunSpec


def sweep_experiment(spec: ExperimentSpec, store: Store, cache: Path, *, plain: bool, replan: bool = False) -> Plan:
    """Run what the ledger lacks of a study. Raises TrainingError that names the cells that failed."""
    plan = plan_experiment(spec, store, replan=replan)
    store_plan(store, plan)
    execute_with_progress(plan.runs, store, cache, plain=plain, what="cells")
    return plan


def export_predictions(runs: Iterable[RunSpec], store: Store, folder: Path) -> int:
    """Write every stored prediction of these runs as NIfTI in native space; returns how many."""
    written = 0
    for run in runs:
        for entry in run.test:
            prediction = read_prediction(store, run.run_id, entry.study)
            path = folder / run.run_id / f"{entry.study}_label-lesion_mask.nii.gz"
            path.parent.mkdir(parents=True, exist_ok=True)
            export_prediction(path, prediction.mask_ijk, prediction.card.native_grid)
            written += 1
    return written


def sweep(
    spec: SpecArgument,
    store: StoreOption,
    cache: CacheOption,
    plain: PlainOption = False,
    replan: ReplanOption = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List the cells and which are done, run nothing.")] = False,
    save_predictions: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write every predicted mask there as NIfTI, in native space.")
    ] = None,
) -> None:
    """Train and test every cell of a study; run it again after a stop and it does what is missing.

    Example: lesionlab sweep demo
    """
    study, place = load_spec(spec), connect(store)
    if dry_run:
        plan = plan_experiment(study, place, replan=replan)
        done = completed(place, (run.run_id for run in plan.runs))
        for run in plan.runs:
            state = "done" if run.run_id in done else "to do"
            console.print(f"{run.run_id}  {state:5}  {run.cell.title() if run.cell else ''}")
        console.print(f"{len(done)} of {len(plan.runs)} cells done; {trainings(study)} trainings in all")
        return
    plan = sweep_experiment(study, place, cache, plain=plain, replan=replan)
    if save_predictions:
        notes.print(
            f"{export_predictions(plan.runs, place, save_predictions)} masks in {save_predictions}", markup=False
        )
    console.print(f"{len(plan.runs)} cells done; now: lesionlab analyse {study.name}")


if __name__ == "__main__":
    run_alone(sweep)
