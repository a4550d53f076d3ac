"""Compile the network of a training on a GPU, where the steps ahead save more time than compiling takes.

The same weights under the same names are trained either way, and results differ by rounding only. So whether a network
was compiled is no setting and no part of a run's identity.

Measured on an H100 with the paper's network and batch (tests/benchmarks/RESULTS.md).
"""

from __future__ import annotations

import logging
from typing import Protocol

import torch
from torch import Tensor, nn

from lesionlab.model import devices
from lesionlab.model.devices import arithmetic
from lesionlab.training.optimizers import align_state
from storage_schemas.runs import RunSpec

LOG = logging.getLogger(__name__)

COMPILE_S = 35.0
"""Time of the first compiled step, nearly all of it compilation."""

SAVED_NS_PER_FEATURE = 0.14
"""Time that a compiled step saves (97.3 − 65.7 ms) per feature at full resolution (8 patches × 96³ voxels × 32).

What is saved is memory traffic of the features. They are in proportion to those at full resolution: each level has an
eighth of the voxels and twice the channels.
"""

BACKEND = "inductor"


class Sharing(Protocol):
    """One of the workers that split a batch."""

    @property
    def rank(self) -> int: ...
    @property
    def world_size(self) -> int: ...
    @property
    def device(self) -> torch.device: ...


def fastest(
    network: nn.Module, optimizer: torch.optim.Optimizer, run: RunSpec, steps: int, worker: Sharing
) -> nn.Module:
    """The network, compiled if that pays for this worker's share of so many steps and does not fail.

    To compile it puts weights and optimiser state into channels_last_3d, in which compiled convolutions are faster;
    `restore` undoes that. A failure is logged as one warning.
    """
    restore(network, optimizer)
    patches = len(range(worker.rank, run.training.batch_size, worker.world_size))
    if not pays(run, patches, steps, worker.device):
        return network
    _lay_out(network, optimizer, torch.channels_last_3d)
    fast = Compiled(network)
    try:
        _try_out(fast, run, patches, worker.device)
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        LOG.warning("run %s: trains without torch.compile, to equal results but slower: %s", run.run_id, reason)
        restore(network, optimizer)
        return network
    return fast


def pays(run: RunSpec, patches: int, steps: int, device: torch.device) -> bool:
    """Whether to compile for so many steps on so many patches each.

    Only bf16 on a GPU was measured to gain. Batch normalisation stays as it is: the trial run would update its running
    statistics.
    """
    if not devices.on_gpu(device) or run.training.precision != "bf16" or run.architecture.norm == "batch":
        return False
    features = patches * run.training.patch_voxels**3 * run.architecture.base_channels
    return steps * features * SAVED_NS_PER_FEATURE * 1e-9 > COMPILE_S


def restore(network: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Put weights and optimiser state back into torch's own memory format and forget what was compiled."""
    if all(parameter.is_contiguous() for parameter in network.parameters()):
        return
    _lay_out(network, optimizer, torch.contiguous_format)
    torch.compiler.reset()  # or a process with many trainings would reach torch's limit of compiled variants


def _lay_out(network: nn.Module, optimizer: torch.optim.Optimizer, memory_format: torch.memory_format) -> None:
    network.to(memory_format=memory_format)  # type: ignore[call-overload]
    align_state(optimizer)


class Compiled(nn.Module):
    """A network whose weights are in channels_last_3d, compiled at its first call; images are put into that format."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = torch.compile(network, dynamic=False, backend=BACKEND)

    def forward(self, image_BCIJK: Tensor) -> Tensor:
        """As the network's."""
        logits_BCIJK: Tensor = self.network(image_BCIJK.to(memory_format=torch.channels_last_3d))
        return logits_BCIJK


def _try_out(fast: nn.Module, run: RunSpec, patches: int, device: torch.device) -> None:
    """Forward and backward once, which compiles both; without the other workers, of whom some may fail."""
    edge = run.training.patch_voxels
    try:
        with arithmetic(device, run.training.precision):
            logits_BCIJK = fast(torch.zeros(patches, len(run.channels), edge, edge, edge, device=device))
            loss = logits_BCIJK.float().mean()
        with arithmetic(device, "fp32"):
            torch.autograd.backward(loss)
    finally:
        for parameter in fast.parameters():
            parameter.grad = None
