"""Run every stage of an experiment, from BIDS datasets to the report."""

from __future__ import annotations

from typing import Annotated

import typer

from jobs.shared.cohorts import cohort_origins, not_in_store
from jobs.shared.dataset_options import (
    AbsolutePathsOption,
    AddOption,
    HashIdsOption,
    ReplaceOption,
    ScrubOption,
    SiteOption,
    chosen_second,
)
from jobs.shared.dataset_screening import Screening
from jobs.shared.design_output import show_design
from jobs.shared.entry_points import run_as_module
from jobs.shared.experiment_files import load_spec
from jobs.shared.left_out import note_obstacles
from jobs.shared.options import (
    BidsOption,
    CacheOption,
    DeviceOption,
    ExcludeFaultyOption,
    GpusPerWorkerOption,
    PlainOption,
    ReplanOption,
    SavePredictionsOption,
    SlotsOption,
    SpecArgument,
    StoreOption,
    WaitOption,
    WorkOption,
    connect,
)
from jobs.shared.stages import run_experiment
from lesionlab.orchestration.room import WAIT_MINUTES, declared_room


def run(
    spec: SpecArgument,
    store: StoreOption,
    cache: CacheOption,
    work: WorkOption,
    bids: BidsOption = None,
    site: SiteOption = None,
    scrub: ScrubOption = False,
    hash_ids: HashIdsOption = False,
    absolute_paths: AbsolutePathsOption = False,
    exclude_faulty: ExcludeFaultyOption = False,
    add: AddOption = False,
    replace: ReplaceOption = False,
    save_predictions: SavePredictionsOption = None,
    plain: PlainOption = False,
    device: DeviceOption = None,
    slots: SlotsOption = None,
    gpus_per_worker: GpusPerWorkerOption = 1.0,
    wait: WaitOption = WAIT_MINUTES,
    replan: ReplanOption = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the design and exit.")] = False,
) -> None:
    """Run all stages of an experiment, from BIDS datasets to the report.

    Safe to re-run: completed work is skipped. A cohort that was preprocessed for
    this task and spacing is taken from the store if it is not given by --bids.

    Example: lesionlab run real-smoke --bids real-ms=./ms --bids real-glioma=./glioma
    """
    experiment, second = load_spec(spec), chosen_second(add=add, replace=replace)
    origins = cohort_origins(experiment, bids or [], not_in_store(experiment, bids or [], store))
    show_design(experiment)
    if dry_run:
        note_obstacles(experiment, store)
        return
    run_experiment(
        experiment,
        connect(store),
        cache,
        work,
        origins=origins,
        plain=plain,
        exclude_faulty=exclude_faulty,
        screening=Screening(scrub, hash_ids, site, absolute_paths),
        second=second,
        save_predictions=save_predictions,
        replan=replan,
        room=declared_room(device, gpus_per_worker, slots, wait),
    )


if __name__ == "__main__":
    run_as_module(run)
