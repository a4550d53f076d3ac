"""Train and test every cell of an experiment."""

from __future__ import annotations

from typing import Annotated

import typer

from jobs.shared.console import console
from jobs.shared.entry_points import run_as_module
from jobs.shared.experiment_files import load_spec
from jobs.shared.left_out import note_policies
from jobs.shared.options import (
    CacheOption,
    DeviceOption,
    GpusPerWorkerOption,
    PlainOption,
    ReplanOption,
    SavePredictionsOption,
    SlotsOption,
    SpecArgument,
    StoreOption,
    WaitOption,
    connect,
    connect_to_read,
)
from jobs.shared.stages import export_plan, sweep_experiment
from lesionlab.experiments.cells import trainings
from lesionlab.experiments.publishing import finished
from lesionlab.experiments.store_planning import plan_experiment
from lesionlab.orchestration.room import WAIT_MINUTES, declared_room
from lesionlab.store.dry_run import DryRun
from lesionlab.store.objects import Store
from storage_schemas.experiments import ExperimentSpec


def show_cells(experiment: ExperimentSpec, store: Store, *, replan: bool) -> None:
    """Print which cells are done."""
    plan = plan_experiment(experiment, store, replan=replan)
    note_policies(plan, store)
    done = finished(store, plan.runs)
    for run in plan.runs:
        state = "done" if run.run_id in done else "to do"
        console.print(f"{run.run_id}  {state:5}  {run.cell.title() if run.cell else ''}")
    console.print(f"{len(done)} of {len(plan.runs)} cells done; {trainings(experiment)} trainings in all")


def sweep(
    spec: SpecArgument,
    store: StoreOption,
    cache: CacheOption,
    plain: PlainOption = False,
    replan: ReplanOption = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List the cells and which are done; run nothing.")] = False,
    device: DeviceOption = None,
    slots: SlotsOption = None,
    gpus_per_worker: GpusPerWorkerOption = 1.0,
    wait: WaitOption = WAIT_MINUTES,
    save_predictions: SavePredictionsOption = None,
) -> None:
    """Train and test every cell of an experiment.

    Safe to re-run: completed runs are skipped. Several may submit the same
    experiment: each run is executed once. Nodes that are not there yet are
    waited for.

    Example: lesionlab sweep demo
    Example: RAY_ADDRESS=head:6379 lesionlab sweep demo --device cuda --slots 8
    """
    experiment = load_spec(spec)
    if dry_run:
        show_cells(experiment, DryRun(connect_to_read(store)), replan=replan)
        return
    place = connect(store)
    room = declared_room(device, gpus_per_worker, slots, wait)
    masks = save_predictions is not None
    plan = sweep_experiment(experiment, place, cache, plain=plain, replan=replan, room=room, masks=masks)
    export_plan(plan, place, save_predictions)
    console.print(f"{len(plan.runs)} cells done; next: lesionlab analyse {experiment.name}")


if __name__ == "__main__":
    run_as_module(sweep)
