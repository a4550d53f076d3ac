"""Sizes and a device in; the project's own training step, training loop and whole-head inference, ready to time, out.

Everything that computes is the product's: network, arithmetic, loss, optimiser, step order, patch loading, windows. Two
things are the benchmark's own: TF32, which the product never uses, and the memory format of the eager network.

Shapes: B batch, C channel, I J K voxels.
"""

from __future__ import annotations

import copy
import resource
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from lesionlab.model.devices import arithmetic
from lesionlab.model.unet import UNet, build_unet
from lesionlab.training.augmented import AugmentedVolume
from lesionlab.training.compiling import Compiled
from lesionlab.training.loop import SoloWorker
from lesionlab.training.losses import loss_of
from lesionlab.training.optimizers import build_optimizer
from lesionlab.training.patches import find_places
from lesionlab.training.schedule import apply_freezing
from storage_schemas.models import Architecture
from storage_schemas.runs import RunSpec
from tests.benchmarks.gpu_layers import flop_of
from tests.training.drawn import draw_study, make_run

Precision = Literal["fp32", "tf32", "bf16"]
"""The product's two, and float32 with convolutions in TF32, which torch does on a GPU where nobody forbids it."""

Format = Literal["contiguous", "channels_last_3d", "compiled"]
LAYOUT = {"contiguous": torch.contiguous_format, "channels_last_3d": torch.channels_last_3d}


@dataclass(frozen=True)
class Sizes:
    """How large everything is, and how long a row may take."""

    architecture: Architecture
    patch_voxels: int
    reference_voxels: int
    """Edge of the patch that the CPU computes too, in float64."""
    head_voxels: tuple[int, int, int]
    step_voxels: int
    """Between the windows of whole-head inference."""
    batches: tuple[int, ...]
    """The paper's batch comes first."""
    learning_rate: float
    """At which a few steps on one batch show that the network learns."""
    row_seconds: float


PAPER = Sizes(
    architecture=Architecture(),  # depth 4, 32 channels: Wahlig et al. 2023
    patch_voxels=96,
    reference_voxels=32,
    head_voxels=(182, 218, 182),  # MNI152 at 1 mm
    step_voxels=32,
    batches=(8, 16, 32, 4, 2),
    learning_rate=1e-3,
    row_seconds=5.0,
)
TINY = Sizes(
    architecture=Architecture(depth=1, base_channels=4),
    patch_voxels=8,  # 4³ voxels at the bottom: with 2³, oneDNN's bf16 gradients on a CPU are wrong (3.12, AVX-512)
    reference_voxels=8,
    head_voxels=(24, 28, 24),
    step_voxels=8,
    batches=(8, 16, 32, 4, 2),
    learning_rate=1e-2,
    row_seconds=0.1,
)


class InFormat(nn.Module):
    """A network whose weights and images lie in one memory format."""

    def __init__(self, network: nn.Module, layout: Format) -> None:
        super().__init__()
        self.network = network.to(memory_format=LAYOUT[layout])  # type: ignore[call-overload]
        self.layout = layout

    def forward(self, image_BCIJK: Tensor) -> Tensor:
        """Logits (B, 2, I, J, K)."""
        logits_BCIJK: Tensor = self.network(image_BCIJK.to(memory_format=LAYOUT[self.layout]))
        return logits_BCIJK


@contextmanager
def computing(device: torch.device, precision: Precision) -> Iterator[None]:
    """The product's arithmetic, and TF32 beside it; a CPU has no TF32 and computes in float32."""
    with arithmetic(device, "fp32" if precision == "tf32" else precision):
        if precision == "tf32":  # `arithmetic` puts the flag back when it is left
            torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = True
        yield


@dataclass(frozen=True)
class Batch:
    """`image_BCIJK` float32 and `label_BIJK` int64 on the device."""

    image_BCIJK: Tensor
    label_BIJK: Tensor


@dataclass(frozen=True)
class Learner:
    """A network in training, and its optimiser as the training loop makes it."""

    network: nn.Module
    adam: torch.optim.Optimizer
    device: torch.device
    precision: Precision

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Logits (B, 2, I, J, K) and loss."""
        with computing(self.device, self.precision):
            logits_BCIJK = self.network(batch.image_BCIJK)
            return logits_BCIJK, loss_of("cross-entropy", logits_BCIJK, batch.label_BIJK, SoloWorker(self.device))

    def backward(self, loss: Tensor) -> None:
        with computing(self.device, "fp32" if self.precision == "bf16" else self.precision):
            torch.autograd.backward(loss)

    def step(self, batch: Batch) -> Tensor:
        """The loss: one turn of the loop in `train_epoch`, without loading. A check holds the two together."""
        _, loss = self.forward(batch)
        self.adam.zero_grad()
        self.backward(loss)
        self.adam.step()
        return loss.detach()


@dataclass(frozen=True)
class Bench:
    """One device, and all that its rows share; drawn and built once, from fixed seeds."""

    device: torch.device
    sizes: Sizes

    @cached_property
    def fresh(self) -> UNet:
        """On the CPU; `learner` copies it."""
        return build_unet(self.sizes.architecture, channels=1, seed=0)

    @cached_property
    def head(self) -> AugmentedVolume:
        """A noisy round head with bright balls for lesions, as training sees it."""
        return draw_head(self.sizes.head_voxels, self.sizes.patch_voxels)

    def learner(
        self,
        precision: Precision,
        layout: Format,
        device: torch.device | None = None,
        rate: float = 1e-4,
        network: nn.Module | None = None,
    ) -> Learner:
        """With the same weights at each call, on the bench's device unless another is named.

        `compiled` is the form of `training.compiling`, in channels_last_3d. `network`: another one than ours.
        """
        device = device or self.device
        own = (network or copy.deepcopy(self.fresh)).to(device)
        apply_freezing(own, frozenset())
        in_last = layout == "compiled"
        fast = Compiled(InFormat(own, "channels_last_3d").network) if in_last else InFormat(own, layout)
        training = self.run(self.sizes.batches[0], 1, "fp32").training.model_copy(update={"learning_rate": rate})
        return Learner(fast, build_optimizer(fast, training), device, precision)

    @cached_property
    def trained(self) -> UNet:
        """Trained just enough that some voxels are lesion to it."""
        learner = self.learner("fp32", "contiguous", rate=self.sizes.learning_rate)
        for _ in range(30):
            learner.step(self.batch(2))
        network: UNet = learner.network.get_submodule("network")
        return network

    def batch(self, size: int, edge: int | None = None, device: torch.device | None = None) -> Batch:
        """The same at each call."""
        image_BCIJK, label_BIJK = draw_batch(size, edge or self.sizes.patch_voxels)
        device = device or self.device
        return Batch(image_BCIJK.to(device), label_BIJK.to(device))

    def run(self, batch_size: int, steps: int, precision: Precision) -> RunSpec:
        """A run over the drawn head whose epoch has so many steps."""
        return make_run(
            [draw_study(1)],
            patch_voxels=self.sizes.patch_voxels,
            patches_per_study=batch_size * steps,
            augmentations=1,
            batch_size=batch_size,
            learning_rate=1e-4,
            precision=precision,
        )

    @property
    def worker(self) -> SoloWorker:
        return SoloWorker(self.device)

    def timed(self, work: Callable[[], object]) -> float:
        """Seconds: device events on a GPU, the host's clock on a CPU."""
        if self.device.type != "cuda":
            start = time.perf_counter()
            work()
            return time.perf_counter() - start
        began, ended = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        torch.cuda.synchronize(self.device)
        began.record()
        work()
        ended.record()
        torch.cuda.synchronize(self.device)
        milliseconds: float = began.elapsed_time(ended)
        return milliseconds / 1000

    def repeated(self, work: Callable[[], object], seconds_left: float) -> tuple[float, ...]:
        """Seconds of each run after two to warm up: 3 to 20 of them within the row's time, 1 where time is short."""
        self.timed(work)
        warm = self.timed(work)
        wanted = min(20, max(3, int(self.sizes.row_seconds / warm)))
        return tuple(self.timed(work) for _ in range(max(1, min(wanted, int(seconds_left / warm)))))

    def forget_peak(self) -> None:
        """Begin to count memory anew, on a GPU."""
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)

    def peak_gib(self) -> float:
        """Of the tensors on a GPU since `forget_peak`; of the whole process on a CPU."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device) / 2**30
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30


@lru_cache(maxsize=2)
def draw_batch(size: int, edge: int) -> tuple[Tensor, Tensor]:
    """Patches of noise with bright lesions, one voxel in fifty, on the CPU."""
    rng = np.random.default_rng(size)
    shape = (size, edge, edge, edge)
    label_BIJK = torch.from_numpy(rng.random(shape, dtype=np.float32) < 0.02)
    image_BIJK = torch.from_numpy(rng.standard_normal(shape, dtype=np.float32)) + 2 * label_BIJK
    return image_BIJK[:, None], label_BIJK.long()


def draw_head(shape: tuple[int, int, int], patch_voxels: int) -> AugmentedVolume:
    """An ellipsoid of noise in darker air, with 20 bright balls of 2 to 4 voxels radius inside."""
    rng = np.random.default_rng(1)
    axes = np.ogrid[tuple(slice(-1, 1, n * 1j) for n in shape)]
    head_IJK = sum(axis**2 for axis in axes) < 0.9**2
    label_IJK = np.zeros(shape, dtype=np.uint8)
    voxels = np.ogrid[tuple(slice(n) for n in shape)]
    for _ in range(20):
        ball = [n * rng.uniform(0.3, 0.7) for n in shape]
        distance_sq = sum((axis - at) ** 2 for axis, at in zip(voxels, ball, strict=True))
        label_IJK[distance_sq < rng.uniform(2, 4) ** 2] = 1
    noise_IJK = rng.standard_normal(shape, dtype=np.float32)
    image_CIJK = (np.where(head_IJK, 0.5 * noise_IJK, -2) + 2 * label_IJK).astype(np.float16)[None]
    places = find_places(image_CIJK, label_IJK, patch_voxels, rng)
    return AugmentedVolume("sub-001", 0, image_CIJK, label_IJK, places)


@cache
def step_flop(architecture: Architecture, patch_voxels: int, *, backward: bool) -> int:
    """Floating-point operations of one patch of one channel, convolutions only; counted without computing.

    Depth 4, 32 channels, 96³: 425 GFLOP forward, 1,274 forward and backward.
    """
    with torch.device("meta"):
        network = UNet(architecture, channels=1)
    return flop_of(network, patch_voxels, backward=backward)


def same_bytes(one: Sequence[Tensor], other: Sequence[Tensor]) -> bool:
    """Whether float32 tensors agree in every bit: -0 is not 0, and a NaN is itself."""
    return all(torch.equal(a.view(torch.int32), b.view(torch.int32)) for a, b in zip(one, other, strict=True))
