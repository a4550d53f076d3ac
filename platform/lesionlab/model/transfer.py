"""A fresh network and a registered model in; the network with the model's weights, and a receipt per tensor, out.

Fine-tuning that silently started from random weights would answer the study's question wrongly, so every tensor is
accounted for and compared with its source afterwards.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lesionlab.errors import TransferError
from lesionlab.model.unet import UNet
from lesionlab.model.weights import read_weights, sha256_of
from storage_schemas.models import ModelCard, TensorReceipt


def adopt(
    network: UNet, source_card: ModelCard, source_weights: bytes, channels: tuple[str, ...]
) -> tuple[TensorReceipt, ...]:
    """Give the network the source's weights; what became of each of its tensors, in the network's own order.

    `channels` are the input channels that the network will see. Raises TransferError where the weights are missing or
    not those of the card, where the source differs in architecture or channels, or where not every tensor was taken.
    """
    source = f"model {source_card.name}/{source_card.version}"
    _check_bytes(source, source_card, source_weights)
    _check_fit(source, source_card, network, channels)
    tensors = read_weights(source_weights)
    _check_names(source, network, tensors)
    network.load_state_dict(tensors)
    _check_taken(source, network, tensors)
    return tuple(
        TensorReceipt(tensor=name, shape=shape_text(tensor), origin="source", how="copied")
        for name, tensor in network.state_dict().items()
    )


def fresh_receipt(network: nn.Module) -> tuple[TensorReceipt, ...]:
    """The receipt of a network that starts from its seed alone."""
    return tuple(
        TensorReceipt(tensor=name, shape=shape_text(tensor), origin="fresh", how="de novo")
        for name, tensor in network.state_dict().items()
    )


def shape_text(tensor: Tensor) -> str:
    """How receipts write a shape: `32x1x3x3x3`; `scalar` where there is none."""
    return "x".join(map(str, tensor.shape)) or "scalar"


def _check_bytes(source: str, card: ModelCard, weights: bytes) -> None:
    if not weights:
        raise TransferError(f"{source}: wanted weights, found none; train or register the model again")
    if (found := sha256_of(weights)) != card.weights_sha256:
        raise TransferError(
            f"{source}: weights were altered: wanted sha256 {card.weights_sha256[:16]}…, found {found[:16]}…; "
            "restore the object or register the model again"
        )


def _check_fit(source: str, card: ModelCard, network: UNet, channels: tuple[str, ...]) -> None:
    wanted, found = network.architecture.model_dump(), card.architecture.model_dump()
    faults = [
        f"{field}: wanted {wanted[field]}, found {found[field]}" for field in wanted if wanted[field] != found[field]
    ]
    if card.channels != channels:
        faults.append(f"channels: wanted {', '.join(channels)}; found {', '.join(card.channels)}")
    if faults:
        raise TransferError(
            f"{source} does not fit this network ({'; '.join(faults)}); choose a source of the same architecture and "
            "channels, or train one"
        )


def _check_names(source: str, network: UNet, tensors: dict[str, Tensor]) -> None:
    wanted = network.state_dict()
    used = [name for name in wanted if name in tensors and tensors[name].shape == wanted[name].shape]
    if len(used) < len(wanted):
        missing = [name for name in wanted if name not in used]
        how_many = (
            "none of its tensors was used" if not used else f"{len(missing)} of {len(wanted)} tensors are missing"
        )
        raise TransferError(
            f"{source}: {how_many}; the network wants {', '.join(missing[:3])}{', …' if len(missing) > 3 else ''}, "
            f"the weights hold {', '.join(sorted(tensors)[:3]) or 'nothing'}{', …' if len(tensors) > 3 else ''}"
        )
    if strangers := sorted(tensors.keys() - wanted.keys()):
        raise TransferError(f"{source}: holds tensors that the network has no place for: {', '.join(strangers[:5])}")


def _check_taken(source: str, network: UNet, tensors: dict[str, Tensor]) -> None:
    for name, tensor in network.state_dict().items():
        if not torch.equal(tensor.cpu(), tensors[name]):
            raise TransferError(f"{source}: tensor {name} of the network is not the source's after loading")
