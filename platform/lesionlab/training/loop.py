"""Train the network of a run in place on its study volumes, in plain torch without Ray, in one process or several.

All random draws of an epoch follow from the run's seed and the epoch number, and a checkpoint says after which step it
was made. So a resumed run reaches the same weights as an uninterrupted one. The workers split each batch between them,
so their number changes rounding only, and a run may be resumed by another number of them.

Shapes: B batch (this worker's share), C channel, I J K voxels of a patch.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from lesionlab.errors import RunFailed, TrainingError
from lesionlab.model import devices
from lesionlab.model.devices import arithmetic, best_device
from lesionlab.model.parts import PartedNetwork
from lesionlab.training import compiling
from lesionlab.training.augmented import StudyArrays
from lesionlab.training.checkpoint import START, Checkpoints, Progress, resume
from lesionlab.training.copies import Copies, Volumes, epoch_patches, first_use, threads_beside
from lesionlab.training.feed import Patch, feed
from lesionlab.training.history import EpochMeter, History
from lesionlab.training.losses import loss_of
from lesionlab.training.optimizers import build_optimizer
from lesionlab.training.saving import CHECKPOINT_S, LOOK_S, Looks, Saver
from lesionlab.training.schedule import apply_freezing, frozen_in, learning_rate, length_of, steps_alike
from storage_schemas.models import TensorTransfer
from storage_schemas.runs import RunSpec, TrainingConfig

T = TypeVar("T")

LOSSES_READ_EVERY = 50
"""Steps after which the losses are read from a GPU: each reading waits for the step. A CPU has them at once."""


class Worker(Protocol):
    """One of the processes that train one network together."""

    @property
    def rank(self) -> int: ...
    @property
    def world_size(self) -> int: ...
    @property
    def device(self) -> torch.device: ...
    def parallel(self, network: nn.Module) -> nn.Module:
        """Wrap the network so that gradients are averaged over the workers."""
        ...

    def gather(self, value: T) -> list[T]:
        """Return every worker's value, by rank; also a barrier at which the workers wait for each other."""
        ...

    def report(self, metrics: dict[str, float]) -> None:
        """Report metrics; every worker must call it equally often."""
        ...

    def leaving(self) -> bool:
        """Whether this worker will soon lose its node; every worker must ask equally often."""
        ...


@dataclass(frozen=True)
class SoloWorker:
    """A single worker: one plain process without Ray."""

    device: torch.device = field(default_factory=best_device)
    rank: int = 0
    world_size: int = 1

    def parallel(self, network: nn.Module) -> nn.Module:
        return network

    def gather(self, value: T) -> list[T]:
        return [value]

    def report(self, metrics: dict[str, float]) -> None:
        """Do nothing: no one is listening."""

    def leaving(self) -> bool:
        return False


class WorkerAround:
    """A worker that hands everything on to another one; what it does besides, its subclass says."""

    worker: Worker

    @property
    def rank(self) -> int:
        return self.worker.rank

    @property
    def world_size(self) -> int:
        return self.worker.world_size

    @property
    def device(self) -> torch.device:
        return self.worker.device

    def parallel(self, network: nn.Module) -> nn.Module:
        return self.worker.parallel(network)

    def gather(self, value: T) -> list[T]:
        return self.worker.gather(value)

    def report(self, metrics: dict[str, float]) -> None:
        self.worker.report(metrics)

    def leaving(self) -> bool:
        return self.worker.leaving()


@dataclass(frozen=True)
class TrainingOutcome:
    """What a training did; `seconds` is the time of this process, without the processes that it resumed from."""

    epochs: int
    steps: int
    final_loss: float | None
    """Mean loss of the last epoch; None: nothing was trained."""
    seconds: float


def train(
    run: RunSpec,
    network: PartedNetwork,
    transfers: Sequence[TensorTransfer],
    volumes: Sequence[StudyArrays],
    checkpoints: Checkpoints,
    worker: Worker,
    cache: Path,
    history: History | None = None,
    checkpoint_s: float = CHECKPOINT_S,
) -> TrainingOutcome:
    """Train the network in place on the worker's device, from the run's last checkpoint if there is one.

    `transfers` lists the origin of each tensor of the network, `volumes` are the volumes of `run.train` in the same
    order, and `cache` is a node-local folder. A checkpoint is saved every `checkpoint_s` seconds and at the end. Each
    epoch adds a row to the history. It and, in a long epoch, every LOOK_S seconds report epoch, step, steps (in total),
    loss of the epoch and seconds.
    Raises TrainingError if a loss is not finite, the checkpoint is of another run, or the device cannot train at the
    run's precision; RunFailed if the workers read different checkpoints; RunYielded if a worker is about to lose its
    node.
    """
    began = time.monotonic()
    refuse_wrong_arithmetic(run, worker.device)
    configure_torch(worker)
    network.to(worker.device)
    optimizer = build_optimizer(network, run.training)
    names = worker.gather(checkpoints.names() if worker.rank == 0 else ())[0]  # all workers resume from the same
    progress = resume(checkpoints, names, run.run_id, network, optimizer) or START
    if len(read := set(worker.gather(progress.steps))) > 1:  # one of them read a checkpoint that arrived damaged
        raise RunFailed("lost", f"its workers would resume from different steps: {', '.join(map(str, sorted(read)))}")
    copies = Copies(run, volumes, cache)
    length = length_of(run)

    def report(now: Progress) -> None:
        of_epoch = float(np.mean(now.losses)) if now.losses else now.loss
        progress_made = {"epoch": now.epochs, "step": now.steps, "steps": length.steps, "loss": of_epoch}
        worker.report(progress_made | {"seconds": time.monotonic() - began})

    frozen: frozenset[str] | None = None
    parallel: nn.Module = network
    with Saver(checkpoints, run.run_id, network, optimizer, checkpoint_s) as saver, ExitStack() as at_the_end:
        at_the_end.callback(compiling.restore, network, optimizer)
        order = first_use(run, progress.epochs, copies)
        at_the_end.enter_context(copies.made_ahead(order, threads_beside(worker.device)))
        looks = Looks(worker, saver, report, min(LOOK_S, checkpoint_s))
        for epoch in range(progress.epochs, length.epochs):
            if frozen != (wanted := frozen_in(epoch, run.training.freezing, network, transfers)):
                apply_freezing(network, frozen := wanted)
                forward = compiling.fastest(network, optimizer, run, steps_alike(run, epoch), worker)
                parallel = worker.parallel(forward)  # wrapped again: this fixes which gradients the workers exchange
            meter = EpochMeter(worker.device)
            end = train_epoch(run, progress, parallel, optimizer, copies, worker, meter, looks)
            progress = Progress(epochs=epoch + 1, steps=end.steps, loss=float(np.mean(end.losses)))
            if worker.rank == 0:
                if history is not None:
                    history.add(meter.row(run.training, progress))
                if progress.epochs == length.epochs:
                    saver.save(progress)
            report(progress)
            looks.reported()
        saver.wait()
    return TrainingOutcome(progress.epochs, progress.steps, progress.loss, time.monotonic() - began)


def refuse_wrong_arithmetic(run: RunSpec, device: torch.device) -> None:
    """Raise TrainingError for batch normalisation of parts of a batch, and for bf16 on a CPU with a small bottom.

    That is a deepest level of 2³ voxels or fewer, where oneDNN 3.12 (torch 2.13) computes wrong gradients of a
    3×3×3 convolution: it reads uninitialised memory.
    """
    bottom = run.training.patch_voxels // 2**run.architecture.depth
    if run.training.precision == "bf16" and device.type == "cpu" and bottom <= 2:
        raise TrainingError(
            f"run {run.run_id}: wanted 3 or more voxels at the deepest level for bf16 on a CPU, found {bottom} "
            f"(patches of {run.training.patch_voxels} voxels at depth {run.architecture.depth}); "
            "use fp32, larger patches, or a GPU"
        )
    if run.training.micro_batch is not None and run.architecture.norm == "batch":
        raise TrainingError(
            f"run {run.run_id}: wanted instance or group normalisation with micro_batch ({run.training.micro_batch}), "
            "found batch normalisation, which needs the whole batch at once; leave micro_batch out or change the norm"
        )


def configure_torch(worker: Worker) -> None:
    """Make torch deterministic, and use one thread per worker unless OMP_NUM_THREADS is set.

    On a GPU, an operation without a deterministic form is a warning and not a refusal.
    """
    on_cpu = worker.device.type == "cpu"
    torch.use_deterministic_algorithms(True, warn_only=not on_cpu)
    # Filling every new tensor takes time and changes no result. Type checkers do not see the module's property.
    setattr(torch.utils.deterministic, "fill_uninitialized_memory", False)  # noqa: B010
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS is deterministic only with one of two values
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(1)


def train_epoch(
    run: RunSpec,
    before: Progress,
    parallel: nn.Module,
    optimizer: torch.optim.Optimizer,
    copies: Volumes,
    worker: Worker,
    meter: EpochMeter,
    looks: Looks | None = None,
) -> Progress:
    """Train from `before` to the end of its epoch, or of the step budget; return the progress with all its losses.

    Raises TrainingError if a loss is not finite.
    """
    epoch, done = before.epochs, len(before.losses)
    steps = length_of(run).steps_of(epoch)[done:]
    losses = Losses(run, epoch, steps, every=LOSSES_READ_EVERY if devices.on_gpu(worker.device) else 1)

    def within() -> Progress:
        """The progress now, as all workers see it."""
        of_workers = worker.gather(losses.all())
        of_steps = tuple(float(np.mean(of_step)) for of_step in zip(*of_workers, strict=True))
        return replace(before, steps=before.steps + len(of_steps), losses=before.losses + of_steps)

    in_batches = batches(epoch_patches(run, epoch, copies), run.training.batch_size)
    shares = (batch[worker.rank :: worker.world_size] for batch in islice(in_batches, done, done + len(steps)))
    with feed(shares, run.training, worker.device) as loaded:
        for step, (image_BCIJK, label_BIJK) in zip(steps, meter.timed(loaded), strict=False):
            optimizer.zero_grad()
            losses.add(add_gradients(run.training, parallel, image_BCIJK, label_BIJK, worker))
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(run.training, step)
            optimizer.step()
            if looks is not None:
                looks.after_step(within)
    return within()


def add_gradients(
    training: TrainingConfig, parallel: nn.Module, image_BCIJK: Tensor, label_BIJK: Tensor, worker: Worker
) -> Tensor:
    """Add the gradients of a worker's share to the network, in parts of `micro_batch` patches; return its loss.

    The workers exchange gradients once, with the last part.
    """
    most = training.micro_batch or len(image_BCIJK)
    parts = [slice(first, first + most) for first in range(0, len(image_BCIJK), most)]
    of_parts: list[Tensor] = []
    for part in parts:
        alone = nullcontext if part is parts[-1] else getattr(parallel, "no_sync", nullcontext)
        with alone():
            with arithmetic(worker.device, training.precision):
                logits_BCIJK = parallel(image_BCIJK[part])
                loss = loss_of(training.loss, logits_BCIJK, label_BIJK[part], worker, training.batch_size)
            with arithmetic(worker.device, "fp32"):  # backward uses the types that autocast chose in the forward pass
                torch.autograd.backward(loss)
        of_parts.append(loss.detach())
    return of_parts[0] if len(of_parts) == 1 else torch.stack(of_parts).sum()


class Losses:
    """The losses of an epoch; they are read from the device every so many steps, because reading waits for it.

    Raises TrainingError where a loss that is read is not finite. Steps taken since then change nothing that stays: the
    checkpoint is written after the last loss of an epoch was read.
    """

    def __init__(self, run: RunSpec, epoch: int, steps: range, every: int) -> None:
        self._run, self._epoch, self._steps, self._every = run, epoch, steps, every
        self._read: list[float] = []
        self._unread: list[Tensor] = []

    def add(self, loss: Tensor) -> None:
        """Keep the loss of the next step."""
        self._unread.append(loss.detach())
        if len(self._unread) == self._every:
            self.all()

    def all(self) -> list[float]:
        """The loss at each step until now."""
        values = torch.stack(self._unread).tolist() if self._unread else []
        self._unread.clear()
        for value in values:
            if not math.isfinite(value):
                step = self._steps[len(self._read)]
                raise TrainingError(
                    f"run {self._run.run_id}: wanted a finite loss, found {value} in epoch {self._epoch + 1}, "
                    f"step {step + 1}; lower the learning rate ({self._run.training.learning_rate:g}) or check the "
                    "image intensities"
                )
            self._read.append(value)
        return self._read


def batches(patches: Sequence[Patch], batch_size: int) -> Iterator[list[Patch]]:
    """Split patches into full batches, so that every worker has a share; fill the last with the first."""
    for first in range(0, len(patches), batch_size):
        batch = patches[first : first + batch_size]
        yield [*batch, *(patches[place % len(patches)] for place in range(batch_size - len(batch)))]
