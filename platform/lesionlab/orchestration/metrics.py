"""Emit the measures of `experiments/measures.py` through Ray's exporter; without Ray, nothing is emitted."""

from __future__ import annotations

import sys
import threading
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import torch

from lesionlab.experiments import measures
from lesionlab.experiments.measures import Measure
from lesionlab.orchestration.progress import SweepProgress
from lesionlab.store import patience
from lesionlab.training.history import History
from lesionlab.training.loop import Worker, WorkerAround
from storage_schemas.results import EpochRow
from storage_schemas.runs import RunSpec

_LOCK = threading.Lock()


def emit(measure: Measure, value: float, **labels: str) -> None:
    """Set a gauge, or add to a counter."""
    if not under_ray():
        return
    with _LOCK:
        metric = _metric(measure)
    if measure.kind == "gauge":
        metric.set(value, labels)
    elif value > 0:
        metric.inc(value, labels)


def under_ray() -> bool:
    """Whether this process belongs to a Ray session."""
    ray = sys.modules.get("ray")
    return ray is not None and hasattr(ray, "is_initialized") and bool(ray.is_initialized())


@cache
def _metric(measure: Measure) -> Any:
    from ray.util import metrics  # imported here: a plain run needs no Ray

    kind = metrics.Gauge if measure.kind == "gauge" else metrics.Counter
    return kind(measure.name, measure.meaning, tag_keys=measure.labels)


def count_store_errors() -> None:
    """From now on, count the requests of this process that a store does not answer."""
    if _count_one not in patience.UNANSWERED:
        patience.UNANSWERED.append(_count_one)


def _count_one() -> None:
    emit(measures.STORE_ERRORS, 1)


def emit_sweep(experiment: str, progress: SweepProgress, *, others: bool) -> None:
    """The state of a sweep's runs, and what it waits for; `others`: for runs of another submission."""
    states = {"done": progress.done, "failed": progress.failed, "left": progress.left}
    for state, count in (states | {"running": len(progress.running)}).items():
        emit(measures.CELLS, count, experiment=experiment, state=state)
    for what, waits in (("nodes", not others), ("others", others)):
        emit(measures.WAITING, float(bool(progress.waiting) and waits), experiment=experiment, what=what)


@dataclass(frozen=True)
class MeasuredHistory:
    """A history that also emits the speed and the memory of each epoch."""

    history: History
    run: RunSpec
    device: torch.device

    def add(self, row: EpochRow) -> None:
        self.history.add(row)
        of_run = {"experiment": self.run.experiment, "run": self.run.run_id}
        emit(measures.PATCHES, row.patches_per_s, **of_run)
        emit(measures.DATA_WAIT, row.waiting_s / row.seconds if row.seconds else 0.0, **of_run)
        emit(measures.MEMORY, row.peak_memory_mib * 2**20, **of_run, device=_kind(self.device))


@dataclass
class MeasuredWorker(WorkerAround):
    """A worker whose reports are emitted too: the loss, and the device time since the last one of all workers."""

    worker: Worker
    run: RunSpec
    _told_s: float = field(default=0.0, init=False)

    def report(self, metrics: dict[str, float]) -> None:
        self.worker.report(metrics)
        if self.rank == 0:
            emit(measures.LOSS, metrics["loss"], experiment=self.run.experiment, run=self.run.run_id)
            self.used(metrics["seconds"] - self._told_s)
            self._told_s = metrics["seconds"]

    def used(self, seconds: float) -> None:
        """Each worker used its device for so long; only rank 0 tells it."""
        kind = _kind(self.device)
        total = seconds * self.world_size * (_gpu_share() if kind == "gpu" else 1.0)
        emit(measures.DEVICE_SECONDS, total, experiment=self.run.experiment, device=kind)


def _kind(device: torch.device) -> str:
    return "gpu" if device.type == "cuda" else "cpu"


def _gpu_share() -> float:
    """The part of a GPU that Ray gave to this worker."""
    if not under_ray():
        return 1.0
    given = sys.modules["ray"].get_runtime_context().get_assigned_resources()
    return float(given.get("GPU", 1.0))
