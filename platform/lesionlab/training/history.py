"""Measure each epoch of a training: its loss, its speed, and where its time and memory go."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Iterable, Iterator
from typing import Protocol, TypeVar

import torch

from lesionlab.training.checkpoint import Progress
from lesionlab.training.schedule import learning_rate
from storage_schemas.results import EpochRow
from storage_schemas.runs import TrainingConfig

T = TypeVar("T")

_MIB = 2**20


class History(Protocol):
    """Where the history of one run is kept."""

    def add(self, row: EpochRow) -> None:
        """Keep the row of an epoch that has just ended; it is called before the checkpoint of that epoch is saved."""
        ...


class EpochMeter:
    """Measures one epoch in this process, from its construction to `row`."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._began = time.monotonic()
        self._waited_s = 0.0
        self._batches = 0
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)

    def timed(self, batches: Iterable[T]) -> Iterator[T]:
        """The same batches; the time until each is there counts as waiting for data."""
        source = iter(batches)
        while True:
            asked = time.monotonic()
            try:
                batch = next(source)
            except StopIteration:
                return
            self._waited_s += time.monotonic() - asked
            self._batches += 1
            yield batch

    def row(self, training: TrainingConfig, progress: Progress) -> EpochRow:
        """The row of the epoch that ended with this progress."""
        seconds = time.monotonic() - self._began
        return EpochRow(
            epoch=progress.epochs,
            step=progress.steps,
            loss=progress.loss,
            learning_rate=learning_rate(training, progress.steps - 1),
            seconds=seconds,
            waiting_s=self._waited_s,
            patches_per_s=self._batches * training.batch_size / seconds,
            peak_memory_mib=peak_memory_mib(self._device),
        )


def peak_memory_mib(device: torch.device) -> float:
    """On a GPU the largest memory of tensors since the epoch began, on a CPU that of the process since its start."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / _MIB
    unit = 1 if sys.platform == "darwin" else 1024  # getrusage counts bytes on macOS and KiB on Linux
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / _MIB
