"""Execute runs under Ray, or one by one in this process; completed runs are skipped."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

import torch

from lesionlab.errors import LesionlabError, TrainingError
from lesionlab.experiments.cells import run_title
from lesionlab.experiments.ledger import completed
from lesionlab.experiments.publishing import publish_missing
from lesionlab.model.devices import best_device
from lesionlab.orchestration.cell import run_cell, worker_task
from lesionlab.orchestration.progress import CellOutcome, SweepCell, SweepProgress, Watch
from lesionlab.store.objects import Store
from lesionlab.training.loop import SoloWorker
from lesionlab.training.schedule import length_of
from storage_schemas.runs import RunSpec

OnChange = Callable[[SweepProgress], None]


def execute(
    runs: Sequence[RunSpec],
    store: Store,
    cache: Path,
    *,
    plain: bool = False,
    on_change: OnChange = lambda progress: None,
) -> int:
    """Execute the runs that have no ledger entry; return how many.

    Runs use Ray, on this machine or on the cluster at RAY_ADDRESS; with `plain` they run one by one in this process.
    Raises TrainingError that names every failed run; the results of the other runs are kept.
    """
    done = completed(store, (run.run_id for run in runs))
    publish_missing(store, (run for run in runs if run.run_id in done))  # another experiment may have executed them
    left = [run for run in runs if run.run_id not in done]
    if not left:
        return 0
    outcomes = one_by_one(left, store, cache, on_change) if plain else on_ray(left, store, cache, on_change)
    titles = {run.run_id: run_title(run) for run in left}
    faults = [f"{titles[outcome.name]}: {outcome.error}" for outcome in outcomes if outcome.error]
    if faults:
        raise TrainingError(
            *faults, f"{len(faults)} of {len(left)} runs failed; the others are kept. Run the same command again"
        )
    return len(left)


def on_ray(runs: Iterable[RunSpec], store: Store, cache: Path, on_change: OnChange) -> list[CellOutcome]:
    """Execute as a Ray Tune sweep, in a Ray session on this machine or on the cluster at RAY_ADDRESS."""
    from lesionlab.orchestration.session import ray_session  # imported here: a plain run need not wait for Ray
    from lesionlab.orchestration.sweep import run_sweep

    outcomes: list[CellOutcome] = []
    with ray_session():
        for workers, group in groupby(sorted(runs, key=_workers), key=_workers):
            cells = [SweepCell(run.run_id, worker_task(run, store.uri, cache), cost(run)) for run in group]
            outcomes += run_sweep(run_cell, cells, workers=workers, store_uri=store.uri, on_change=on_change)
    return outcomes


def one_by_one(runs: Sequence[RunSpec], store: Store, cache: Path, on_change: OnChange) -> list[CellOutcome]:
    """Execute one by one in this process, on its best device."""
    watch = Watch([SweepCell(run.run_id, {}, cost(run)) for run in runs], on_change)
    outcomes = []
    for run in runs:
        watch.start(run.run_id)
        try:
            run_cell(_Watched(watch=watch, run_id=run.run_id), worker_task(run, store.uri, cache))
            outcomes.append(CellOutcome(run.run_id))
        except LesionlabError as error:
            outcomes.append(CellOutcome(run.run_id, "; ".join(map(str, error.args))))
        watch.end(run.run_id, outcomes[-1].error)
    return outcomes


@dataclass(frozen=True)
class _Watched(SoloWorker):
    """A solo worker that reports to the watch."""

    device: torch.device = field(default_factory=best_device)
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
