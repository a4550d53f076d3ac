"""Submit an experiment to a cluster."""

from __future__ import annotations

from typing import Annotated

import typer

from jobs.shared.cluster_options import AddressOption, ContextOption, NamespaceOption
from jobs.shared.console import console
from jobs.shared.costing import NO_COST, PriceOption, cache_gi, known_costs, room_of, show_cost, show_footprint
from jobs.shared.entry_points import run_as_module
from jobs.shared.experiment_files import load_spec
from jobs.shared.following import follow, show_end
from jobs.shared.options import (
    DeviceOption,
    GpusPerWorkerOption,
    SlotsOption,
    SpecArgument,
    StoreOption,
    connect,
    connect_to_read,
)
from jobs.shared.submission_output import show_submission
from jobs.shared.submitting import Namespace, Place, RunningRay, joined_attempt, refuse_if_elsewhere, start
from lesionlab.clusters.api import connected
from lesionlab.errors import InputError
from lesionlab.experiments.costs import finished_runs
from lesionlab.experiments.footprint import footprint
from lesionlab.experiments.rehearsal import rehearse
from lesionlab.experiments.submissions import attempt_to_join, new_submission
from lesionlab.orchestration.room import Device


def submit(
    spec: SpecArgument,
    store: StoreOption,
    gpus: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="GPUs on all nodes together.", show_default="as the site's template"),
    ] = None,
    slots: SlotsOption = None,
    gpus_per_worker: GpusPerWorkerOption = 1.0,
    max_gpu_hours: Annotated[
        float | None,
        typer.Option(metavar="H", min=0.01, help="Begin no run once the experiment's runs have taken so many."),
    ] = None,
    price: PriceOption = None,
    context: ContextOption = None,
    namespace: NamespaceOption = None,
    address: AddressOption = None,
    device: DeviceOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be done, and whether you may; write nothing.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    detach: Annotated[bool, typer.Option("--detach", help="Do not follow the job.")] = False,
) -> None:
    """Submit an experiment to a cluster: pretraining, sweep and report as one job.

    Everything is resolved here first, so a mistake costs no GPU. Safe to repeat:
    the same experiment is one job, completed work is skipped, and Ctrl-C leaves
    the job running.

    Example: lesionlab submit experiment.yaml --store s3://consortium/studies --dry-run
    Example: lesionlab submit experiment.yaml --store s3://consortium/studies --gpus 8
    """
    if store.startswith(("file:", "memory:")) and address is None:
        raise InputError(f"--store {store}: no pod of a cluster can reach it; wanted s3://bucket/prefix")
    if max_gpu_hours is not None and slots is None:
        raise InputError("--max-gpu-hours: wanted --slots N too: so many runs begin before the hours are counted again")
    experiment = load_spec(spec)
    place = connect_to_read(store) if dry_run else connect(store)
    rehearsal = rehearse(experiment, place)
    finished = finished_runs(place)
    bytes_ = footprint(place, rehearsal.missing, finished)
    target = destination(address, device, context, namespace, store, gpus, cache_gi(bytes_))
    submission = new_submission(
        rehearsal,
        device=target.device,
        gpus_per_worker=gpus_per_worker,
        slots=slots,
        max_gpu_hours=max_gpu_hours,
    )
    number = attempt_to_join(
        place, submission, lambda number: target.seen(submission.id, number), missing=len(rehearsal.missing)
    )
    joined = joined_attempt(place, submission, number)
    show_submission(submission, number, rehearsal, target, place)
    if rehearsal.missing:
        show_cost(known_costs(rehearsal.missing, finished, submission.device, room_of(submission, target)), price)
        show_footprint(bytes_)
    else:
        console.print(NO_COST)
    if joined is not None and joined.over:
        show_end(submission.id, joined.outcome)
        return
    if joined is not None:
        refuse_if_elsewhere(joined.attempt, target)
    if dry_run:
        return
    target.refuse_if_forbidden()
    if not yes and not typer.confirm("submit it?"):
        raise typer.Exit(1)
    where = target.where(submission.id, number)
    new = start(place, submission, number, target)
    console.print(f"{submission.id}: {'submitted' if new else 'is submitted already'}, {where}")
    if not detach:
        follow(place, submission.id, target)


def destination(
    address: str | None,
    device: Device | None,
    context: str | None,
    namespace: str | None,
    store: str,
    gpus: int | None,
    cache_gi: int | None = None,
) -> Place:
    """Where to send work. Raises ClusterError if it cannot be reached, InputError if the options contradict it."""
    if address is None:
        return Namespace(connected(context, namespace), store, gpus, device=device, cache_gi=cache_gi)
    if device is None or gpus is not None:
        raise InputError("--address: wanted --device cpu or --device cuda, and no --gpus: its nodes are there already")
    return RunningRay(address, device, store)


if __name__ == "__main__":
    run_as_module(submit)
