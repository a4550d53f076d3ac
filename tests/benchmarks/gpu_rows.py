"""A bench in; every row of the table, the most important first and not yet measured, out."""

from __future__ import annotations

import statistics
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from math import prod
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lesionlab.model.windows import WINDOWS_PER_PASS, head_probability, window_starts
from lesionlab.training.loop import configure_torch, train_epoch
from tests.benchmarks.gpu_checks import PRODUCTS
from tests.benchmarks.gpu_step import Bench, Format, Precision, computing, same_bytes, step_flop

PRECISIONS: tuple[Precision, ...] = ("bf16", "tf32", "fp32")
FORMATS: tuple[Format, ...] = ("contiguous", "channels_last_3d")

Mode = Literal["default", "deterministic", "deterministic, warn only"]
MODES: tuple[Mode, ...] = ("default", "deterministic", "deterministic, warn only")

LOOP_STEPS = 4
"""Of each epoch that the row of the training loop times."""


@dataclass(frozen=True)
class Measured:
    """Seconds of each run, and what one run computed."""

    seconds: tuple[float, ...]
    patches: int
    flop: int
    peak_gib: float
    note: str = ""

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


@dataclass(frozen=True)
class Case:
    """One row to be; `measure` is given the seconds that are left."""

    what: str
    precision: Precision
    layout: Format
    batch: int
    measure: Callable[[float], Measured]


def cases(bench: Bench) -> Iterator[Case]:
    """At the paper's batch first: steps, loop, inference, determinism, autotuning; then steps at the other batches."""
    paper, *others = bench.sizes.batches
    windows = 1 if bench.device.type == "cpu" else WINDOWS_PER_PASS
    yield from steps(bench, paper)
    for precision in PRODUCTS:
        yield case(bench, "training loop, with its patches", precision, "contiguous", paper, loop)
    for precision in PRECISIONS:
        yield case(bench, "whole head", precision, "contiguous", windows, whole_head)
    for precision, mode in product(PRODUCTS, MODES):
        yield case(bench, f"step, {mode}", precision, "contiguous", paper, partial(twice, mode))
    for layout in FORMATS:
        yield case(bench, "step, autotuned", "bf16", layout, paper, autotuned)
    for batch in others:
        yield from steps(bench, batch)


def steps(bench: Bench, batch: int) -> Iterator[Case]:
    """The training step at one batch size, in every memory format and precision."""
    for layout, precision in product(FORMATS, PRECISIONS):
        yield case(bench, "step", precision, layout, batch, step)


Work = Callable[[Bench, "Case", float], Measured]


def case(bench: Bench, what: str, precision: Precision, layout: Format, batch: int, work: Work) -> Case:
    """The row that `work` measures; its peak memory counts from the start of the work."""

    def measure(seconds_left: float) -> Measured:
        bench.forget_peak()
        return work(bench, row, seconds_left)

    row = Case(what, precision, layout, batch, measure)
    return row


def step(bench: Bench, row: Case, seconds_left: float) -> Measured:
    """Forward, cross-entropy, backward, Adam; the patches lie on the device."""
    learner, batch = bench.learner(row.precision, row.layout), bench.batch(row.batch)
    seconds = bench.repeated(lambda: learner.step(batch), seconds_left)
    return Measured(seconds, row.batch, row.batch * training_flop(bench), bench.peak_gib())


def loop(bench: Bench, row: Case, seconds_left: float) -> Measured:
    """`train_epoch`, per step: it also draws and cuts the patches and brings them to the device."""
    learner, run = bench.learner(row.precision, row.layout), bench.run(row.batch, LOOP_STEPS, row.precision)
    epochs = bench.repeated(
        lambda: train_epoch(run, 0, learner.network, learner.adam, (bench.head,), bench.worker), seconds_left
    )
    return Measured(
        tuple(seconds / LOOP_STEPS for seconds in epochs),
        row.batch,
        row.batch * training_flop(bench),
        bench.peak_gib(),
    )


def whole_head(bench: Bench, row: Case, seconds_left: float) -> Measured:
    """`head_probability` of one head, from the host's memory and back into it."""
    sizes = bench.sizes

    def predict(precision: Precision) -> NDArray[np.float32]:
        image_CIJK = bench.head.image_CIJK
        with computing(bench.device, precision):
            return head_probability(bench.trained, image_CIJK, sizes.patch_voxels, sizes.step_voxels, bench.device)

    note = beside(predict(row.precision), predict("fp32"))
    bench.forget_peak()
    seconds = bench.repeated(lambda: predict(row.precision), seconds_left)
    windows = prod(len(window_starts(n, sizes.patch_voxels, sizes.step_voxels)) for n in sizes.head_voxels)
    flop = windows * step_flop(sizes.architecture, sizes.patch_voxels, backward=False)
    return Measured(seconds, windows, flop, bench.peak_gib(), f"{windows} windows; {note}")


def beside(found_IJK: NDArray[np.float32], wanted_IJK: NDArray[np.float32]) -> str:
    """How two probability maps differ, in the largest voxel and at the threshold."""
    largest = np.abs(found_IJK - wanted_IJK).max()
    mask_IJK, wanted_mask_IJK = found_IJK >= 0.5, wanted_IJK >= 0.5
    return (
        f"probability differs from fp32 by at most {largest:.2g}; lesion {mask_IJK.sum()} voxels, "
        f"{(mask_IJK & ~wanted_mask_IJK).sum()} more and {(wanted_mask_IJK & ~mask_IJK).sum()} fewer than fp32"
    )


REFUSAL = " does not have a deterministic implementation"
"""How torch's messages go on after the name of the operation that refuses."""


def twice(mode: Mode, bench: Bench, row: Case, seconds_left: float) -> Measured:
    """The step in one mode of determinism, and whether three steps give the same bytes when they are taken again."""
    torch.use_deterministic_algorithms(mode != "default", warn_only=mode == "deterministic, warn only")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            one, other = (three_steps(bench, row) for _ in range(2))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            measured = step(bench, row, seconds_left)
    except RuntimeError as error:
        if REFUSAL not in str(error):
            raise
        return Measured((), row.batch, 0, 0.0, f"refused by {str(error).partition(REFUSAL)[0]}")
    finally:
        configure_torch(bench.worker)
    refused = sorted({str(w.message).partition(REFUSAL)[0] for w in caught if REFUSAL in str(w.message)})
    note = f"same bytes twice: {'yes' if same_bytes(one, other) else 'no'}"
    return replace(measured, note=f"{note}; not deterministic: {', '.join(refused)}" if refused else note)


def three_steps(bench: Bench, row: Case) -> list[Tensor]:
    """The weights after them, on the CPU."""
    learner, batch = bench.learner(row.precision, row.layout), bench.batch(row.batch)
    for _ in range(3):
        learner.step(batch)
    return [tensor.detach().cpu() for tensor in learner.network.parameters()]


def autotuned(bench: Bench, row: Case, seconds_left: float) -> Measured:
    """The step where cuDNN tries its algorithms and keeps the fastest; training leaves this off."""
    torch.backends.cudnn.benchmark = True
    try:
        return step(bench, row, seconds_left)
    finally:
        torch.backends.cudnn.benchmark = False


def training_flop(bench: Bench) -> int:
    """Of one patch, forward and backward."""
    return step_flop(bench.sizes.architecture, bench.sizes.patch_voxels, backward=True)
