"""Execute runs under Ray, or one by one in this process; completed runs are skipped."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from lesionlab.errors import LesionlabError, RunHeld, StoreError, TrainingError
from lesionlab.experiments.active_sweeps import announced
from lesionlab.experiments.cells import count_of_runs, run_title
from lesionlab.experiments.leases import is_free, new_submission, record_end
from lesionlab.experiments.ledger import completed, is_complete
from lesionlab.experiments.publishing import publish_missing
from lesionlab.orchestration.cell import run_cell, worker_task
from lesionlab.orchestration.failures import error_text, failure_kind
from lesionlab.orchestration.metrics import count_store_errors, emit_sweep
from lesionlab.orchestration.progress import CellOutcome, SweepCell, SweepProgress, Watch
from lesionlab.orchestration.room import Room, declared_room
from lesionlab.store.at_once import at_once
from lesionlab.store.documents import is_sound, write_document
from lesionlab.store.objects import Store
from lesionlab.training.loop import SoloWorker
from lesionlab.training.schedule import length_of
from storage_schemas import keys
from storage_schemas.base import Digest
from storage_schemas.runs import RunSpec

OnChange = Callable[[SweepProgress], None]

POLL_S = 5.0
"""Interval at which runs that another submission executes are looked at."""


def execute(
    runs: Sequence[RunSpec],
    store: Store,
    cache: Path,
    *,
    plain: bool = False,
    room: Room | None = None,
    on_change: OnChange = lambda progress: None,
) -> int:
    """Execute the runs that have no ledger entry; return how many this call saw to their end.

    Runs use Ray, on this machine or on the cluster at RAY_ADDRESS, within the declared room (default: this machine's
    own); with `plain` they run one by one in this process. Runs that another submission executes meanwhile are waited
    for, and taken over if it disappears. Raises TrainingError that names every failed run; the results of the other
    runs are kept.
    """
    publish_missing(store, runs, reopening=True)  # another experiment may have executed them
    done = completed(store, (run.run_id for run in runs))
    for run in runs:
        if run.run_id in done and run.cell is None:
            restore_spec(store, run)
    todo = [run for run in runs if run.run_id not in done]
    if not todo:
        return 0
    room, submission = room or declared_room(), new_submission()
    count_store_errors()

    def told(progress: SweepProgress) -> None:
        emit_sweep(todo[0].experiment, progress, others=bool(watch.held))
        announcement.update(
            running=len(progress.running),
            left=progress.left,
            waiting=progress.waiting,
            waiting_s=progress.waiting_s,
        )
        on_change(progress)

    watch = Watch([SweepCell(run.run_id, {}, cost(run)) for run in todo], told)
    free = todo
    with announced(store, todo[0].experiment, submission, len(todo)) as announcement:
        while free:
            if plain:
                one_by_one(free, store, cache, submission, room, watch)
            else:
                on_ray(free, store, cache, submission, room, watch)
            free = wait_for_others(store, todo, submission, watch)
    publish_missing(store, todo, {run.run_id for run in todo} - watch.errors.keys())
    titles = {run.run_id: run_title(run) for run in todo}
    faults = [f"{titles[name]}: {error}" for name, error in watch.errors.items()]
    if faults:
        refused = any(watch.kinds.get(name) == "refused" for name in watch.errors)
        again = "Do as the refusals say, then run" if refused else "Run"
        summary = f"{len(faults)} of {len(todo)} runs failed; the others are kept. {again} the same command again"
        raise TrainingError(*faults, summary)
    return len(todo)


def restore_spec(store: Store, run: RunSpec) -> None:
    """Write the spec of a complete pretraining again if it is damaged: no plan holds another copy."""
    key = keys.RUN_SPEC.build(run_id=run.run_id)
    if not is_sound(store, key, RunSpec):
        write_document(store, key, run)


def wait_for_others(store: Store, runs: Sequence[RunSpec], submission: Digest, watch: Watch) -> list[RunSpec]:
    """Wait for those of the runs that other submissions execute; return those that they gave up, once there are some.

    Each look costs a request for each of these runs, and a look at the store's clock: a claim ends when its run is
    complete.
    """
    while held := [run for run in runs if run.run_id in watch.held]:
        holders = Counter(watch.held[run.run_id] for run in held)
        watch.waits("; ".join(f"{count_of_runs(count)} {holder}" for holder, count in holders.most_common()))
        given_up = []
        for run in free_ones(store, held, submission):
            if is_complete(store, run.run_id):
                watch.end(run.run_id)
            else:
                given_up.append(run)
        if given_up or not watch.held:
            watch.waits("")
            return given_up
        time.sleep(POLL_S)
        watch.tick()
    return []


def free_ones(store: Store, runs: Sequence[RunSpec], submission: Digest) -> list[RunSpec]:
    """Those of the runs that this submission could claim now."""
    now = store.now()
    free = at_once(lambda run: is_free(store, run.run_id, submission, now), runs)
    return [run for run, is_now in zip(runs, free, strict=True) if is_now]


def on_ray(runs: Iterable[RunSpec], store: Store, cache: Path, submission: Digest, room: Room, watch: Watch) -> None:
    """Execute as a Ray Tune sweep, in a Ray session on this machine or on the cluster at RAY_ADDRESS."""
    from lesionlab.orchestration.session import ray_session  # imported here: a plain run need not wait for Ray
    from lesionlab.orchestration.sweep import run_sweep

    def failed(outcome: CellOutcome) -> None:
        with suppress(StoreError):  # it is for `lesionlab status` only, and the sweep goes on
            record_end(store, outcome.name, submission, outcome.kind or "lost", outcome.error or "")

    with ray_session():
        for workers, group in groupby(sorted(runs, key=_workers), key=_workers):
            cells = [SweepCell(r.run_id, worker_task(r, store.uri, cache, submission), cost(r)) for r in group]
            run_sweep(run_cell, cells, workers=workers, store_uri=store.uri, room=room, watch=watch, on_failure=failed)


def one_by_one(
    runs: Sequence[RunSpec], store: Store, cache: Path, submission: Digest, room: Room, watch: Watch
) -> None:
    """Execute one by one in this process, on the room's device."""
    for run in runs:
        watch.start(run.run_id)
        try:
            worker = _Watched(room.torch_device(), watch=watch, run_id=run.run_id)
            run_cell(worker, worker_task(run, store.uri, cache, submission))
            watch.end(run.run_id)
        except RunHeld as error:
            watch.leave(run.run_id, str(error))
        except Exception as error:
            if not isinstance(error, LesionlabError) and failure_kind(error) == "error":
                raise  # a bug
            watch.kinds[run.run_id] = failure_kind(error)
            watch.end(run.run_id, error_text(error))


@dataclass(frozen=True)
class _Watched(SoloWorker):
    """A solo worker that reports to the watch."""

    watch: Watch | None = None
    run_id: str = ""

    def report(self, metrics: dict[str, float]) -> None:
        if self.watch is not None:
            self.watch.result(self.run_id, metrics)


def cost(run: RunSpec) -> float:
    """Relative cost of a run, in patches: those it trains on and those of the studies that it tests."""
    seen = length_of(run).steps * run.training.batch_size if run.train else 0
    return seen + len(run.test) * run.training.patches_per_study


def _workers(run: RunSpec) -> int:
    return run.training.workers
