"""A bench in; whether its device computes the right numbers, as one line a check, out.

Times of wrong numbers are worth nothing, so these come first. Differences are relative: ‖found − wanted‖ / ‖wanted‖.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import torch
from torch import Tensor

from lesionlab.model.transfer import random_start
from lesionlab.model.unet import build_unet
from lesionlab.training import compiling
from lesionlab.training.checkpoint import START
from lesionlab.training.copies import epoch_patches
from lesionlab.training.feed import load
from lesionlab.training.history import EpochMeter
from lesionlab.training.loop import batches, train, train_epoch
from tests.benchmarks.gpu_step import Batch, Bench, Format, Learner, Precision
from tests.training.drawn import draw_study, make_run

LIMITS = {"fp32": (1e-3, 2e-3, 5e-2), "tf32": (5e-3, 1e-2, 0.2), "bf16": (2e-2, 5e-2, 0.5)}
"""Largest relative difference from fp32 of the loss, the logits and the gradients.

Significands have 24 bits in float32, 11 in TF32, 8 in bf16; gradients are small sums of large terms of both signs. On a
CPU one 96³ patch of the paper's net differed by 1e-4, 2e-4, 0.02 in channels_last_3d (GroupNorm adds up in another
order) and by 4e-4, 0.01, 0.2 in bf16.
"""

PRODUCTS: tuple[Precision, ...] = ("fp32", "bf16")
"""The precisions in which the product trains."""

STEPS, FALLS_TO = 20, 0.8
"""So many steps on one batch must reach this share of the first loss."""


@dataclass(frozen=True)
class Check:
    """One number and the largest value at which it is right."""

    name: str
    found: float
    limit: float

    @property
    def passed(self) -> bool:
        """A NaN never does."""
        return self.found <= self.limit

    def line(self) -> str:
        return f"- {'ok' if self.passed else 'FAILED'}: {self.name}: {self.found:.2g}, limit {self.limit:g}"


@dataclass(frozen=True)
class Answer:
    """What one network makes of one batch, on the CPU in float64; `gradient_P` holds all parameters' gradients."""

    loss: Tensor
    logits_BCIJK: Tensor
    gradient_P: Tensor


def checks(bench: Bench) -> Iterator[Check]:
    """All of them, the fundamental ones first."""
    yield from against_the_cpu(bench)
    yield from against_fp32(bench)
    yield from whole_training(bench)
    yield from compiled_against_fp32(bench)
    yield from loss_falls(bench)
    yield from step_is_the_loop(bench)


def against_the_cpu(bench: Bench) -> Iterator[Check]:
    """fp32 on the device is float64 on the CPU, up to rounding; on small patches, for a CPU's sake."""
    cpu, edge = torch.device("cpu"), bench.sizes.reference_voxels
    learner = bench.learner("fp32", "contiguous", cpu)
    learner.network.double()
    batch = bench.batch(1, edge, cpu)
    with every_thread():
        exact = answer(learner, Batch(batch.image_BCIJK.double(), batch.label_BIJK))
    found = answer(bench.learner("fp32", "contiguous"), bench.batch(1, edge))
    yield from compare("fp32 contiguous against float64 on the CPU", found, exact, LIMITS["fp32"])


def against_fp32(bench: Bench) -> Iterator[Check]:
    """Every precision and memory format on full patches against fp32, contiguous, on the same device."""
    batch = bench.batch(2)
    ways: list[tuple[Precision, Format]] = list(product(("fp32", "tf32", "bf16"), ("contiguous", "channels_last_3d")))
    wanted = None
    for precision, layout in ways:
        found = answer(bench.learner(precision, layout), batch)
        if wanted is None:
            wanted = found
        else:
            yield from compare(f"{precision} {layout} against fp32 contiguous", found, wanted, LIMITS[precision])


class Unkept:
    """Checkpoints that go nowhere: the product's own store needs boto3."""

    def names(self) -> tuple[str, ...]:
        return ()

    def read(self, name: str) -> bytes:
        raise KeyError(name)

    def save(self, steps: int, data: bytes) -> None:
        """Forget it."""


def whole_training(bench: Bench) -> Iterator[Check]:
    """`train` of a small network from start to end, compiled or not; that compiling fails is an error here."""
    studies = [draw_study(1), draw_study(2)]
    run = make_run(studies, precision="bf16", batch_size=4, patches_per_study=8, epochs=2)
    losses = []
    for compiles in (False, True):
        network = build_unet(run.architecture, 1, run.seed)
        with (
            TemporaryDirectory() as cache,
            patch.object(compiling, "pays", lambda *_, compiles=compiles: compiles),
            patch.object(compiling.LOG, "warning", side_effect=RuntimeError("torch.compile failed")),
        ):
            outcome = train(run, network, random_start(network), studies, Unkept(), bench.worker, Path(cache))
        assert outcome.final_loss is not None
        losses.append(torch.tensor(outcome.final_loss))
        assert all(parameter.is_contiguous() for parameter in network.parameters())
    yield Check("loss of a small training, compiled against not", difference(losses[1], losses[0]), 0.05)


def compiled_against_fp32(bench: Bench) -> Iterator[Check]:
    """On the paper's batch, so that the first row need not compile anew."""
    batch = bench.batch(bench.sizes.batches[0])
    found = answer(bench.learner("bf16", "compiled"), batch)
    wanted = answer(bench.learner("fp32", "contiguous"), batch)
    yield from compare("bf16 compiled against fp32 contiguous", found, wanted, LIMITS["bf16"])


def loss_falls(bench: Bench) -> Iterator[Check]:
    """In full and in half precision, over a few steps on one batch."""
    batch = bench.batch(2)
    for precision in PRODUCTS:
        learner = bench.learner(precision, "contiguous", rate=bench.sizes.learning_rate)
        losses = [learner.step(batch).item() for _ in range(STEPS)]
        yield Check(
            f"{precision} loss after {STEPS} steps, as a share of {losses[0]:.4f}", losses[-1] / losses[0], FALLS_TO
        )


def step_is_the_loop(bench: Bench) -> Iterator[Check]:
    """The step that is timed is the one of `train_epoch`: the same losses on the same patches."""
    for precision in PRODUCTS:
        run = bench.run(2, 3, precision)
        loop, own = (bench.learner(precision, "contiguous", rate=run.training.learning_rate) for _ in range(2))
        meter = EpochMeter(bench.device)
        end = train_epoch(run, START, loop.network, loop.adam, (bench.head,), bench.worker, meter)
        shares = batches(epoch_patches(run, 0, (bench.head,)), run.training.batch_size)
        found = [own.step(Batch(*load(share, run.training, bench.device))).item() for share in shares]
        # On a GPU two equal trainings differ by rounding: weight gradients are added up in no fixed order.
        limit = 5e-3 if bench.device.type == "cuda" else 0.0
        off = difference(torch.tensor(found), torch.tensor(end.losses))
        yield Check(f"{precision} losses of 3 steps against the training loop's", off, limit)


def answer(learner: Learner, batch: Batch) -> Answer:
    """Forward and backward, without a step."""
    logits_BCIJK, loss = learner.forward(batch)
    learner.backward(loss)
    gradients = [parameter.grad for parameter in learner.network.parameters()]
    gradient_P = torch.cat([g.detach().cpu().double().flatten() for g in gradients if g is not None])
    return Answer(loss.detach().cpu().double(), logits_BCIJK.detach().cpu().double(), gradient_P)


@contextmanager
def every_thread() -> Iterator[None]:
    """Training computes with one thread a worker; a reference need not."""
    before = torch.get_num_threads()
    torch.set_num_threads(os.cpu_count() or 1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def compare(name: str, found: Answer, wanted: Answer, limits: tuple[float, float, float]) -> Iterator[Check]:
    yield Check(f"{name}, loss {wanted.loss.item():.4f}", difference(found.loss, wanted.loss), limits[0])
    yield Check(f"{name}, logits", difference(found.logits_BCIJK, wanted.logits_BCIJK), limits[1])
    yield Check(f"{name}, gradients", difference(found.gradient_P, wanted.gradient_P), limits[2])


def difference(found: Tensor, wanted: Tensor) -> float:
    """‖found − wanted‖ / ‖wanted‖."""
    return ((found - wanted).norm() / wanted.norm()).item()
