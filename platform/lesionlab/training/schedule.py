"""A run in; how many steps it takes, how fast it learns at each of them, and what of the network is frozen, out.

All of it follows from the run and the number of the step or epoch, so a resumed run needs to remember nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from torch import nn

from lesionlab.model.parts import Part, PartedNetwork
from storage_schemas.axes import Freezing
from storage_schemas.models import TensorTransfer
from storage_schemas.runs import RunSpec, TrainingConfig

_PARTS: dict[str, tuple[Part, ...]] = {"encoder": ("encoder",), "all-but-head": ("encoder", "decoder")}
"""What a Freezing's part means."""


@dataclass(frozen=True)
class Length:
    """How long a run trains."""

    steps: int
    steps_per_epoch: int

    @property
    def epochs(self) -> int:
        """The last one may be cut short."""
        return ceil(self.steps / self.steps_per_epoch)

    def steps_of(self, epoch: int) -> range:
        """Numbers (from 0, over the whole run) of the steps of one epoch (from 0)."""
        first = epoch * self.steps_per_epoch
        return range(first, min(first + self.steps_per_epoch, self.steps))


def length_of(run: RunSpec) -> Length:
    """Of a run that trains."""
    studies = len(run.train)
    return Length(run.training.all_steps(studies), run.training.steps_per_epoch(studies))


def learning_rate(training: TrainingConfig, step: int) -> float:
    """At step `step` (from 0): a linear rise over the warm-up, then the rate itself."""
    return training.learning_rate * min(1.0, (step + 1) / max(training.warmup_steps, 1))


def frozen_in(
    epoch: int, freezing: Freezing | None, network: PartedNetwork, transfers: Sequence[TensorTransfer]
) -> frozenset[str]:
    """Tensors that epoch `epoch` (from 0) leaves as they are: only such as are the source's own, none de novo."""
    if freezing is None or (freezing.epochs is not None and epoch >= freezing.epochs):
        return frozenset()
    parts = _PARTS[freezing.part]
    taken = (row.tensor for row in transfers if row.origin == "source")
    return frozenset(name for name in taken if network.place_of(name).part in parts)


def apply_freezing(network: nn.Module, frozen: frozenset[str]) -> None:
    """Put the network in training mode, the `frozen` parameters left out.

    Batch normalisation with frozen weights normalises by the statistics that it has and keeps them: these belong to
    the weights, and moving them would change what the frozen part computes.
    """
    network.train()
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name not in frozen)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm3d | nn.SyncBatchNorm) and not module.weight.requires_grad:
            module.eval()
