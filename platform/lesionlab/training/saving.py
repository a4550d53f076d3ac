"""Save checkpoints of a training by time, also within an epoch, in the background from a copy.

The workers of a run meet for it: at a look, which comes about every LOOK_S seconds, they agree whether a checkpoint is
due and whether one of them is about to lose its node. Looks change no result.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol, TypeVar

import torch
from torch import nn

from lesionlab.errors import RunYielded, StoreUnreachable
from lesionlab.training.checkpoint import Checkpoints, Progress, save_checkpoint, snapshot
from storage_schemas.base import Digest

T = TypeVar("T")

CHECKPOINT_S = 300.0
"""Training time that a lost worker costs at most."""

LOOK_S = 10.0
"""Interval of looks: cloud providers announce the end of a spot machine 30 s (Google, Azure) to 120 s (AWS) before."""

_LOG = logging.getLogger(__name__)


class Looking(Protocol):
    """One of the workers that train a network together."""

    @property
    def rank(self) -> int: ...
    def gather(self, value: T) -> list[T]:
        """Return every worker's value, by rank."""
        ...

    def leaving(self) -> bool:
        """Whether this worker will soon lose its node; every worker must ask equally often."""
        ...


class Saver:
    """Saves checkpoints in one background thread. As a context, leaving it waits for the last one."""

    def __init__(
        self,
        checkpoints: Checkpoints,
        run_id: Digest,
        network: nn.Module,
        optimizer: torch.optim.Optimizer,
        every_s: float,
    ) -> None:
        self._checkpoints, self._run_id, self._every_s = checkpoints, run_id, every_s
        self._network, self._optimizer = network, optimizer
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="lesionlab-checkpoint")
        self._writing: Future[None] | None = None
        self._last = time.monotonic()

    def __enter__(self) -> Saver:
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.shutdown()

    @property
    def idle(self) -> bool:
        """Whether no checkpoint is being written."""
        return self._writing is None or self._writing.done()

    def due(self) -> bool:
        """Whether it is time for a checkpoint and the one before it is written. Raises its error, see `wait`."""
        if not self.idle:
            return False
        self.wait()
        return time.monotonic() - self._last >= self._every_s

    def save(self, progress: Progress) -> None:
        """Copy the state and begin to write it. Raises the error of the checkpoint before it, see `wait`."""
        self.wait()
        state = snapshot(self._run_id, progress, self._network, self._optimizer)
        self._writing = self._thread.submit(save_checkpoint, self._checkpoints, state)
        self._last = time.monotonic()

    def wait(self) -> None:
        """Wait until the last checkpoint is written, and raise its error.

        A store that does not answer is only a warning, because the next checkpoint may find it again.
        """
        writing, self._writing = self._writing, None
        try:
            if writing is not None:
                writing.result()
        except StoreUnreachable as error:
            _LOG.warning("run %s: a checkpoint was not stored (%s); training goes on", self._run_id, error)


class Looks:
    """Brings the workers of a training together from time to time."""

    def __init__(
        self, worker: Looking, saver: Saver, report: Callable[[Progress], None], interval_s: float = LOOK_S
    ) -> None:
        self._worker, self._saver, self._report, self._interval_s = worker, saver, report, interval_s
        self._steps = self._until = 1
        self._began = self._reported = time.monotonic()

    def reported(self) -> None:
        """Note that all workers have just reported."""
        self._reported = time.monotonic()

    def after_step(self, progress: Callable[[], Progress]) -> None:
        """Count a step, and look if it is time: save what is due, and report if there was no report for an interval.

        `progress` is called on all workers alike. Raises RunYielded on every worker, after a checkpoint, if one of them
        is about to lose its node.
        """
        self._until -= 1
        if self._until:
            return
        now = progress()
        notices = self._worker.gather((self._worker.leaving(), *self._rank_0_decides()))
        leaving = any(notice[0] for notice in notices)
        _, due, report, self._until = notices[0]
        self._steps, self._began = self._until, time.monotonic()
        if self._worker.rank == 0 and (due or leaving):
            self._saver.save(now)
        if leaving:
            if self._worker.rank == 0:
                self._saver.wait()
            self._worker.gather(None)  # or the first to give up would end rank 0 while it writes
            raise RunYielded(f"its node is about to be taken away; a checkpoint was saved after step {now.steps}")
        if report:
            self._report(now)
            self.reported()

    def _rank_0_decides(self) -> tuple[bool, bool, int]:
        """Whether to save, whether to report, and the number of steps until the next look."""
        if self._worker.rank != 0:
            return False, False, 1
        now = time.monotonic()
        of_a_step = (now - self._began) / self._steps
        steps = max(1, int(self._interval_s / of_a_step)) if of_a_step > 0 else 1
        return self._saver.due(), now - self._reported >= self._interval_s, steps
