"""Save the state of a training as one safetensors object in the store, and restore it to resume a stopped run.

Tensor names: `model.<tensor>` and `optimizer.<parameter>.<slot>`, such as `optimizer.head.bias.exp_avg`. The header
stores the run's progress and the part of the optimiser's state that is not tensors. No random state is saved: all
random draws of an epoch follow from the run's seed and the epoch number.
"""

from __future__ import annotations

import json
import struct
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import safetensors.torch
import torch
from torch import Tensor, nn

from lesionlab.errors import TrainingError
from lesionlab.model.weights import read_weights
from lesionlab.training.optimizers import optimizer_header, optimizer_tensors, restore_optimizer
from storage_schemas import keys
from storage_schemas.base import Digest

_HEADER = "training"
"""The only entry of the header: safetensors does not fix the order of several entries."""


class Objects(Protocol):
    """The store operations that training uses."""

    def exists(self, key: str) -> bool: ...
    def get(self, key: str) -> bytes: ...
    def put(self, key: str, data: bytes) -> object: ...


@dataclass(frozen=True)
class Progress:
    """Progress of a run: epochs (a partial last epoch counts as one), steps, and the mean loss of the last epoch."""

    epochs: int
    steps: int
    loss: float


def save_checkpoint(
    store: Objects, run_id: Digest, progress: Progress, network: nn.Module, optimizer: torch.optim.Optimizer
) -> None:
    """Overwrite the run's only checkpoint atomically."""
    tensors = {f"model.{name}": tensor for name, tensor in network.state_dict().items()}
    tensors |= {f"optimizer.{name}": tensor for name, tensor in optimizer_tensors(network, optimizer).items()}
    metadata = {"run_id": run_id, "progress": asdict(progress), "optimizer": optimizer_header(network, optimizer)}
    header = {_HEADER: json.dumps(metadata, sort_keys=True)}
    data = safetensors.torch.save({name: t.detach().cpu().contiguous() for name, t in tensors.items()}, header)
    store.put(keys.RUN_CHECKPOINT.build(run_id=run_id), data)


def resume(store: Objects, run_id: Digest, network: nn.Module, optimizer: torch.optim.Optimizer) -> Progress | None:
    """Load the run's checkpoint into network and optimiser and return its progress; None if there is no checkpoint.

    Raises TrainingError if the checkpoint is of another run or of another optimiser.
    """
    key = keys.RUN_CHECKPOINT.build(run_id=run_id)
    if not store.exists(key):
        return None
    data = store.get(key)
    tensors, header = read_weights(data), _header(data)
    if (found := header.get("run_id")) != run_id:
        raise TrainingError(
            f"{key}: wanted a checkpoint of run {run_id}, found one of {found}; delete it to start over"
        )
    of_optimizer, kind = header.get("optimizer", {}), type(optimizer).__name__
    if (found := of_optimizer.get("kind", "an unknown optimiser")) != kind:
        raise TrainingError(f"{key}: wanted the state of {kind}, found that of {found}; delete it to start over")
    network.load_state_dict(_with_prefix("model.", tensors))
    restore_optimizer(network, optimizer, of_optimizer, _with_prefix("optimizer.", tensors))
    return Progress(**header["progress"])


def _with_prefix(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _header(data: bytes) -> dict[str, Any]:
    """Our entry of the header, which is 8 bytes of length and then JSON; safetensors reads it from files only."""
    (length,) = struct.unpack("<Q", data[:8])
    header: dict[str, Any] = json.loads(json.loads(data[8 : 8 + length])["__metadata__"][_HEADER])
    return header
