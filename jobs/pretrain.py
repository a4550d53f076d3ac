"""Train and register the default models that an experiment starts from."""

from __future__ import annotations

from jobs.shared.cohorts import preprocess_sources
from jobs.shared.console import console
from jobs.shared.entry_points import run_as_module
from jobs.shared.experiment_files import load_spec
from jobs.shared.options import (
    BidsOption,
    CacheOption,
    DeviceOption,
    ExcludeFaultyOption,
    GpusPerWorkerOption,
    PlainOption,
    SlotsOption,
    SpecArgument,
    StoreOption,
    WaitOption,
    WorkOption,
    connect,
)
from jobs.shared.stages import pretrain_sources
from lesionlab.orchestration.room import WAIT_MINUTES, declared_room


def pretrain(
    spec: SpecArgument,
    store: StoreOption,
    cache: CacheOption,
    work: WorkOption,
    bids: BidsOption = None,
    exclude_faulty: ExcludeFaultyOption = False,
    plain: PlainOption = False,
    device: DeviceOption = None,
    slots: SlotsOption = None,
    gpus_per_worker: GpusPerWorkerOption = 1.0,
    wait: WaitOption = WAIT_MINUTES,
) -> None:
    """Train and register the default models of an experiment.

    Each source cohort is read from --bids if given, otherwise from the store,
    otherwise simulated as the experiment file says. Safe to re-run: completed
    trainings are skipped.

    Example: lesionlab pretrain wahlig2023-enhancing --bids metastases=./metastases
    """
    experiment, place = load_spec(spec), connect(store)
    preprocess_sources(experiment, place, work, bids or [], exclude_faulty=exclude_faulty, plain=plain)
    room = declared_room(device, gpus_per_worker, slots, wait)
    for card in pretrain_sources(experiment, place, cache, plain=plain, room=room):
        console.print(
            f"registered {card.name}@{card.version}: depth {card.architecture.depth}, "
            f"{card.training_studies} studies of {card.cohort}, {card.task.name}"
        )


if __name__ == "__main__":
    run_as_module(pretrain)
