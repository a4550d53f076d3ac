"""Convert a network's weights to safetensors bytes and back. Never pickle: weights come from other sites."""

from __future__ import annotations

import hashlib

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


def load_weights(network: nn.Module, data: bytes) -> None:
    """Load weights into a network with exactly the same tensor names and shapes.

    Raises TransferError that lists the tensors that differ.
    """
    tensors = read_weights(data)
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    wanted = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    if found != wanted:
        differing = [name for name in dict.fromkeys([*wanted, *found]) if found.get(name) != wanted.get(name)]
        shown = "; ".join(f"{name}: wanted {wanted.get(name)}, found {found.get(name)}" for name in differing[:5])
        raise TransferError(f"weights do not fit the network, {len(differing)} tensors differ: {shown}")
    network.load_state_dict(tensors)


def sha256_of(data: bytes) -> Sha256:
    """The full sha256 of the weights, as stored in model cards."""
    return hashlib.sha256(data).hexdigest()
