"""Convert a network's weights to safetensors bytes and back. Never pickle: weights come from other sites."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor, nn

from lesionlab.errors import TransferError
from storage_schemas.base import Sha256


def weights_bytes(network: nn.Module) -> bytes:
    """The network's parameters and buffers by name as safetensors bytes; equal weights give equal bytes."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    return safetensors.torch.save(tensors)


def read_weights(data: bytes) -> dict[str, Tensor]:
    """Read tensors by name. Raises TransferError if the bytes are not a safetensors file."""
    try:
        return safetensors.torch.load(data)
    except SafetensorError as fault:
        raise TransferError(f"weights: wanted a safetensors file, found {len(data)} other bytes: {fault}") from None


def unusable(tensors: Mapping[str, Tensor], network: nn.Module) -> list[str]:
    """One sentence for each tensor that no training of this network gives: whole numbers, infinite ones or NaN."""
    faults = []
    for name, own in network.state_dict().items():
        found = tensors.get(name)
        if found is None or not own.is_floating_point():
            continue
        if not found.is_floating_point():
            faults.append(f"{name}: wanted floating-point numbers, found {str(found.dtype).removeprefix('torch.')}")
        elif not bool(found.isfinite().all()):
            faults.append(f"{name}: wanted finite numbers, found infinite ones or NaN")
    return faults


def load_weights(network: nn.Module, data: bytes) -> None:
    """Load weights into a network with exactly the same tensor names and shapes.

    Raises TransferError that lists the tensors that differ, or that hold no finite floating-point numbers.
    """
    tensors = read_weights(data)
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    wanted = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    if found != wanted:
        differing = [name for name in dict.fromkeys([*wanted, *found]) if found.get(name) != wanted.get(name)]
        shown = "; ".join(f"{name}: wanted {wanted.get(name)}, found {found.get(name)}" for name in differing[:5])
        raise TransferError(f"weights do not fit the network, {len(differing)} tensors differ: {shown}")
    if faults := unusable(tensors, network):
        raise TransferError(f"weights cannot be used, {len(faults)} tensors: {'; '.join(faults[:5])}")
    network.load_state_dict(tensors)


def sha256_of(data: bytes) -> Sha256:
    """The full sha256 of the weights, as stored in model cards."""
    return hashlib.sha256(data).hexdigest()
