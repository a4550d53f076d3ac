"""Save the state of a training as one safetensors object, and restore it to resume a stopped run.

Tensor names: `model.<tensor>` and `optimizer.<parameter>.<slot>`, such as `optimizer.head.bias.exp_avg`. The header
stores the run's progress, the part of the optimiser's state that is not tensors, and a sha256 over all of it. No random
state is saved: all random draws of an epoch follow from the run's seed and the epoch number, so the number of its steps
that are done is enough to continue within an epoch.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import safetensors.torch
import torch
from torch import Tensor, nn

from lesionlab.errors import LesionlabError, TrainingError
from lesionlab.model.weights import read_weights
from lesionlab.training.optimizers import optimizer_header, optimizer_tensors, restore_optimizer
from storage_schemas.base import Digest

_HEADER = "training"
"""The only entry of the header: safetensors does not fix the order of several entries."""

_LOG = logging.getLogger(__name__)


class Checkpoints(Protocol):
    """Where the checkpoints of one run are kept."""

    def names(self) -> Sequence[str]:
        """The names of the stored checkpoints, that of the most steps first."""
        ...

    def read(self, name: str) -> bytes:
        """The checkpoint of this name. Raises MissingObject."""
        ...

    def save(self, steps: int, data: bytes) -> None:
        """Store the checkpoint after so many steps; older ones may be removed."""
        ...


@dataclass(frozen=True)
class Progress:
    """Progress of a run."""

    epochs: int
    """Epochs that have ended; a partial last epoch counts as one."""
    steps: int
    """Steps over the whole run."""
    loss: float
    """Mean loss of the last epoch that ended."""
    losses: tuple[float, ...] = ()
    """Loss of each step since then, over the whole batch."""


START = Progress(epochs=0, steps=0, loss=math.nan)


@dataclass(frozen=True)
class Snapshot:
    """A copy of the state of a training at one moment: training on does not change it. All tensors are on the CPU."""

    progress: Progress
    header: dict[str, Any]
    tensors: dict[str, Tensor]


def snapshot(run_id: Digest, progress: Progress, network: nn.Module, optimizer: torch.optim.Optimizer) -> Snapshot:
    """Copy the state of a training; it takes as long as copying the tensors."""
    tensors = {f"model.{name}": tensor for name, tensor in network.state_dict().items()}
    tensors |= {f"optimizer.{name}": tensor for name, tensor in optimizer_tensors(network, optimizer).items()}
    header = {"run_id": run_id, "progress": asdict(progress), "optimizer": optimizer_header(network, optimizer)}
    return Snapshot(progress, header, {name: _copy(tensor) for name, tensor in tensors.items()})


def save_checkpoint(checkpoints: Checkpoints, state: Snapshot) -> None:
    """Store a snapshot as a checkpoint."""
    header = state.header | {"sha256": _sha256(state.header, state.tensors)}
    data = safetensors.torch.save(state.tensors, {_HEADER: json.dumps(header, sort_keys=True)})
    checkpoints.save(state.progress.steps, data)


def _copy(tensor: Tensor) -> Tensor:
    return tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)


def resume(
    checkpoints: Checkpoints,
    names: Sequence[str],
    run_id: Digest,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
) -> Progress | None:
    """Load the first undamaged checkpoint of these names into network and optimiser and return its progress.

    None if there is none; a damaged one is named in the log and left out. Raises TrainingError if a checkpoint is of
    another run or of another optimiser.
    """
    for name in names:
        state = _verified(name, checkpoints.read(name))
        if state is None:
            _LOG.warning("%s is damaged; the run resumes from an earlier checkpoint, or starts over", name)
            continue
        header, tensors = state
        if (found := header.get("run_id")) != run_id:
            raise TrainingError(
                f"{name}: wanted a checkpoint of run {run_id}, found one of {found}; delete it to start over"
            )
        of_optimizer, kind = header.get("optimizer", {}), type(optimizer).__name__
        if (found := of_optimizer.get("kind", "an unknown optimiser")) != kind:
            raise TrainingError(f"{name}: wanted the state of {kind}, found that of {found}; delete it to start over")
        network.load_state_dict(_with_prefix("model.", tensors))
        restore_optimizer(network, optimizer, of_optimizer, _with_prefix("optimizer.", tensors))
        progress = header["progress"]
        return Progress(**progress | {"losses": tuple(progress.get("losses", ()))})
    return None


def is_whole(data: bytes) -> bool:
    """Whether the bytes are a checkpoint as it was written."""
    return _verified("", data) is not None


def _verified(name: str, data: bytes) -> tuple[dict[str, Any], dict[str, Tensor]] | None:
    """Header and tensors of a checkpoint; None if a byte of it changed since it was written."""
    try:
        header, tensors = _header(data), read_weights(data)
        return (header, tensors) if header.get("sha256") == _sha256(header, tensors) else None
    except (LesionlabError, ValueError, KeyError, TypeError, struct.error, safetensors.SafetensorError):
        return None


def _sha256(header: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> str:
    """Of everything that a checkpoint restores."""
    found = hashlib.sha256(json.dumps({k: v for k, v in header.items() if k != "sha256"}, sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        found.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


def _with_prefix(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _header(data: bytes) -> dict[str, Any]:
    """Our entry of the header, which is 8 bytes of length and then JSON; safetensors reads it from files only."""
    (length,) = struct.unpack("<Q", data[:8])
    header: dict[str, Any] = json.loads(json.loads(data[8 : 8 + length])["__metadata__"][_HEADER])
    return header
