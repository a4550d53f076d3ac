"""Compute a run's number of steps, its learning rate at each step and its frozen tensors in each epoch.

All of this follows from the run and the number of the step or epoch, so a resumed run needs no saved schedule.
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
"""The parts of the network that each Freezing.part covers."""


@dataclass(frozen=True)
class Length:
    """The length of a training."""

    steps: int
    steps_per_epoch: int

    @property
    def epochs(self) -> int:
        """Number of epochs; the last one may be partial."""
        return ceil(self.steps / self.steps_per_epoch)

    def steps_of(self, epoch: int) -> range:
        """Step numbers, counted from 0 over the whole run, of one epoch, counted from 0."""
        first = epoch * self.steps_per_epoch
        return range(first, min(first + self.steps_per_epoch, self.steps))


def length_of(run: RunSpec) -> Length:
    """The length of a run that trains a network."""
    studies = len(run.train)
    return Length(run.training.all_steps(studies), run.training.steps_per_epoch(studies))


def learning_rate(training: TrainingConfig, step: int) -> float:
    """The learning rate at a step (from 0): a linear rise over the warm-up, then constant."""
    return training.learning_rate * min(1.0, (step + 1) / max(training.warmup_steps, 1))


def frozen_in(
    epoch: int, freezing: Freezing | None, network: PartedNetwork, transfers: Sequence[TensorTransfer]
) -> frozenset[str]:
    """The tensors that are frozen in an epoch (from 0); only tensors copied unchanged from the source are frozen."""
    if freezing is None or (freezing.epochs is not None and epoch >= freezing.epochs):
        return frozenset()
    parts = _PARTS[freezing.part]
    copied = (row.tensor for row in transfers if row.origin == "source")
    return frozenset(name for name in copied if network.place_of(name).part in parts)


def steps_alike(run: RunSpec, epoch: int) -> int:
    """Number of steps from the start of an epoch (from 0) until the end, or until frozen tensors are unfrozen."""
    length, freezing = length_of(run), run.training.freezing
    end = length.epochs
    if freezing is not None and freezing.epochs is not None and epoch < freezing.epochs:
        end = min(end, freezing.epochs)
    return length.steps_of(end - 1).stop - length.steps_of(epoch).start


def apply_freezing(network: nn.Module, frozen: frozenset[str]) -> None:
    """Put the network in training mode with the `frozen` parameters frozen.

    Batch normalisation with frozen weights also keeps its running statistics and normalises by them: updating them
    would change what the frozen part computes.
    """
    network.train()
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name not in frozen)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm3d | nn.SyncBatchNorm) and not module.weight.requires_grad:
            module.eval()
