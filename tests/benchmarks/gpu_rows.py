"""A bench in; every row of the table, the most important first and not yet measured, out."""

from __future__ import annotations

import copy
import statistics
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from math import prod
from typing import Literal, cast
from unittest.mock import patch

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lesionlab.model import windows as windows_room
from lesionlab.model.windows import WINDOWS_PER_PASS, head_probability, window_starts
from lesionlab.training import compiling
from lesionlab.training.copies import epoch_patches
from lesionlab.training.feed import Ahead
from lesionlab.training.loop import batches, configure_torch
from tests.benchmarks.gpu_layers import flop_of, layers, peer
from tests.benchmarks.gpu_step import (
    LAYOUT,
    Batch,
    Bench,
    Format,
    Learner,
    Precision,
    computing,
    same_bytes,
    step_flop,
)

PRECISIONS: tuple[Precision, ...] = ("bf16", "tf32", "fp32")
FORMATS: tuple[Format, ...] = ("contiguous", "channels_last_3d")

Mode = Literal["default", "deterministic"]

LOOP_STEPS = 12
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
    """Those on which decisions rest come first, at the paper's batch; then the other batches."""
    paper, *others = bench.sizes.batches
    windows = 1 if bench.device.type == "cpu" else WINDOWS_PER_PASS
    yield case(bench, "step", "bf16", "compiled", paper, step)
    yield case(bench, "step", "bf16", "contiguous", paper, step)
    for layout in FORMATS:
        yield case(bench, "convolutions alone", "bf16", layout, paper, convolutions)
    yield case(bench, "step, deterministic", "bf16", "contiguous", paper, partial(twice, "deterministic"))
    for layout in ("contiguous", "compiled"):
        yield case(bench, "training loop, with its patches", "bf16", layout, paper, loop)
    for per_pass in (windows, *(n for n in MORE_WINDOWS if bench.device.type != "cpu")):
        yield case(bench, "whole head", "bf16", "contiguous", per_pass, whole_head)
    for layout in ("compiled", "contiguous"):
        yield case(bench, "step of nnU-Net's PlainConvUNet", "bf16", layout, paper, peer_step)
    yield case(bench, "step, deterministic", "bf16", "compiled", paper, partial(twice, "deterministic"))
    yield case(bench, "whole head", "bf16", "compiled", windows, whole_head)
    yield case(bench, "step", "tf32", "contiguous", paper, step)
    yield case(bench, "step", "fp32", "contiguous", paper, step)
    for precision in ("tf32", "fp32"):
        yield case(bench, "whole head", precision, "contiguous", windows, whole_head)
    yield case(bench, "step, default", "bf16", "contiguous", paper, partial(twice, "default"))
    yield case(bench, "step, deterministic", "fp32", "contiguous", paper, partial(twice, "deterministic"))
    for layout in FORMATS:
        yield case(bench, "step, autotuned", "bf16", layout, paper, autotuned)
    for batch in others:
        for precision in PRECISIONS:
            yield case(bench, "step", precision, "contiguous", batch, step)


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
    return step_of(bench.learner(row.precision, row.layout), bench, row, seconds_left, training_flop(bench))


def peer_step(bench: Bench, row: Case, seconds_left: float) -> Measured:
    """The same step with nnU-Net's network of the same widths; compiled, but in torch's memory format as nnU-Net is."""
    try:
        network = peer(bench.sizes.architecture)
    except ImportError as error:
        return Measured((), row.batch, 0, 0.0, f"not measured: {error}")
    flop = flop_of(peer(bench.sizes.architecture, "meta"), bench.sizes.patch_voxels, backward=True)
    learner = bench.learner(row.precision, "contiguous", network=network)
    if row.layout == "compiled":
        fast = torch.compile(learner.network, dynamic=False, backend=compiling.BACKEND)
        learner = replace(learner, network=cast(nn.Module, fast))
    measured = step_of(learner, bench, row, seconds_left, flop)
    weights = [sum(p.numel() for p in n.parameters()) / 1e6 for n in (network, bench.fresh)]
    ratio = flop / training_flop(bench)
    return replace(
        measured,
        note=f"{measured.note}; {weights[0]:.1f} M parameters (ours {weights[1]:.1f}), {ratio:.2f} × our operations",
    )


def step_of(learner: Learner, bench: Bench, row: Case, seconds_left: float, flop: int) -> Measured:
    batch = bench.batch(row.batch)
    first = bench.timed(lambda: learner.step(batch))
    seconds = bench.repeated(lambda: learner.step(batch), seconds_left)
    return Measured(seconds, row.batch, row.batch * flop, bench.peak_gib(), f"first step {first:.1f} s")


def convolutions(bench: Bench, row: Case, seconds_left: float) -> Measured:
    """Every convolution of the network alone, forward and backward: the bound of a step. Summed medians."""
    total, batch = 0.0, row.batch
    for layer, shape in layers(bench.sizes.architecture, bench.sizes.patch_voxels):
        form = {"device": bench.device, "dtype": torch.bfloat16}
        alone = copy.deepcopy(layer).to_empty(device=bench.device).to(torch.bfloat16)
        for parameter in alone.parameters():
            nn.init.normal_(parameter, std=0.02)
        image = torch.randn(batch, *shape, **form)
        alone, image = alone.to(memory_format=LAYOUT[row.layout]), image.to(memory_format=LAYOUT[row.layout])
        image.requires_grad_(shape[0] > 1)  # the first layer's input needs no gradient
        pull = torch.randn_like(alone(image))

        def there_and_back(alone: nn.Module = alone, image: Tensor = image, pull: Tensor = pull) -> None:
            alone.zero_grad()
            image.grad = None
            torch.autograd.backward(alone(image), pull)

        times = bench.repeated(there_and_back, seconds_left)
        total += statistics.median(times[:5])
    return Measured((total,), batch, batch * training_flop(bench), bench.peak_gib(), "sum over the layers")


def loop(bench: Bench, row: Case, seconds_left: float) -> Measured:
    """Steps as `train_epoch` takes them: the product's feed draws and cuts the patches and sends them."""
    learner, run = bench.learner(row.precision, row.layout), bench.run(row.batch, LOOP_STEPS, row.precision)
    waited: list[float] = []

    def epoch() -> None:
        shares = batches(epoch_patches(run, 0, (bench.head,)), run.training.batch_size)
        with Ahead(shares, run.training, bench.device) as ahead:
            for loaded in ahead:
                learner.step(Batch(*loaded))
            waited.append(ahead.waited_s)

    epochs = bench.repeated(epoch, seconds_left)
    share = statistics.median(waited[-len(epochs) :]) / statistics.median(epochs)
    return Measured(
        tuple(seconds / LOOP_STEPS for seconds in epochs),
        row.batch,
        row.batch * training_flop(bench),
        bench.peak_gib(),
        f"per step of epochs of {LOOP_STEPS}; the host waits for patches {share:.1%} of the time",
    )


def whole_head(bench: Bench, row: Case, seconds_left: float) -> Measured:
    """`head_probability` of one head, from the host's memory and back into it."""
    sizes = bench.sizes

    def predict(precision: Precision) -> NDArray[np.float32]:
        image_CIJK = bench.head.image_CIJK
        network = compiled if row.layout == "compiled" and precision == row.precision else bench.trained
        with computing(bench.device, precision), patch.object(windows_room, "WINDOWS_PER_PASS", row.batch):
            return head_probability(network, image_CIJK, sizes.patch_voxels, sizes.step_voxels, bench.device)

    compiled = bench.learner(row.precision, row.layout, network=copy.deepcopy(bench.trained)).network
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


MORE_WINDOWS = (8, 16)
"""Windows of a pass, beside the product's own number."""

REFUSAL = " does not have a deterministic implementation"
"""How torch's messages go on after the name of the operation that refuses."""


def twice(mode: Mode, bench: Bench, row: Case, seconds_left: float) -> Measured:
    """The step in one mode of determinism, and whether three steps give the same bytes when they are taken again."""
    torch.use_deterministic_algorithms(mode == "deterministic")
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
    note = f"{note}; {measured.note}"
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
