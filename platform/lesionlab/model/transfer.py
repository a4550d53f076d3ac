"""A fresh network and a registered model in; the network with the model's weights, and a transfers per tensor, out.

Fine-tuning that silently started from random weights would answer the study's question wrongly, so every tensor is
accounted for, and compared afterwards with what it was meant to become.

Shapes: N channels of the network, C channels of the source, O features that the first convolution makes of them.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import torch
from torch import Tensor, nn

from lesionlab.errors import TransferError
from lesionlab.model.parts import Place
from lesionlab.model.unet import UNet
from lesionlab.model.weights import read_weights, sha256_of
from storage_schemas.models import Adaptation, ModelCard, TensorTransfer


def load_pretrained(
    network: UNet,
    source_card: ModelCard,
    source_weights: bytes,
    channels: tuple[str, ...],
    adaptation: Adaptation | None = None,
) -> tuple[TensorTransfer, ...]:
    """Give the network the source's weights; what became of each of its tensors, in the network's own order.

    `channels` are the input channels that the network will see. `adaptation` declares how the weights of other channels
    or another depth are fitted to it, and whether it gets a new head. Encoder levels correspond by their distance from
    the top, decoder levels by their resolution; what starts fresh keeps the network's own initialisation.

    Raises TransferError where the weights are missing or not those of the card, where the source differs in anything
    that is not declared, or where a tensor is not what it should be after loading.
    """
    source = f"model {source_card.name}/{source_card.version}"
    declared = adaptation or Adaptation()
    _check_bytes(source, source_card, source_weights)
    _check_fit(source, declared.misfits(source_card, network.architecture, channels))
    described, tensors = _described(source_card), read_weights(source_weights)
    _check_names(source, described, tensors)
    pretrained = _Pretrained(source_card, described, described.by_place(), tensors)
    fitted = {
        name: _fit(name, own, network, channels, pretrained, declared) for name, own in network.state_dict().items()
    }
    network.load_state_dict({name: fit.tensor for name, fit in fitted.items()})
    _check_taken(source, network, fitted)
    return tuple(
        TensorTransfer(tensor=name, shape=shape_text(fit.tensor), origin=fit.origin, how=fit.how)
        for name, fit in fitted.items()
    )


def random_start(network: nn.Module) -> tuple[TensorTransfer, ...]:
    """The transfers of a network that starts from its seed alone."""
    return tuple(
        TensorTransfer(tensor=name, shape=shape_text(tensor), origin="fresh", how="de novo")
        for name, tensor in network.state_dict().items()
    )


def shape_text(tensor: Tensor) -> str:
    """How transfers write a shape: `32x1x3x3x3`; `scalar` where there is none."""
    return "x".join(map(str, tensor.shape)) or "scalar"


@dataclass(frozen=True)
class _Pretrained:
    """The source: its card, a network of its shape that has no values, and its tensors."""

    card: ModelCard
    network: UNet
    by_place: dict[Place, str]
    tensors: dict[str, Tensor]


@dataclass(frozen=True)
class _Fitted:
    """What a tensor of the network is to become, and why."""

    tensor: Tensor
    origin: Literal["source", "adapted", "fresh"]
    how: str


def _fit(
    name: str, own: Tensor, network: UNet, channels: tuple[str, ...], pretrained: _Pretrained, declared: Adaptation
) -> _Fitted:
    place = network.place_of(name)
    if declared.head == "reinitialise" and place.part == "head":
        return _Fitted(own.clone(), "fresh", "a new head, as declared")
    if place not in pretrained.by_place:
        depth = pretrained.card.architecture.depth
        return _Fitted(own.clone(), "fresh", f"a level that the source, of depth {depth}, lacks")
    counterpart = pretrained.by_place[place]
    tensor = pretrained.tensors[counterpart]
    if name == network.first_convolution and declared.channels:
        return _mix(tensor, channels, pretrained.card.channels, declared)
    how = "copied" if counterpart == name else f"copied from {counterpart}"
    # Below the last decoder level that both have lies the bottom of one network and a decoder level of the other.
    seam = place.reads != pretrained.network.place_of(counterpart).reads
    return _Fitted(tensor, "source", f"{how}, but reads features of another kind" if seam else how)


def _mix(weights_OCijk: Tensor, channels: tuple[str, ...], found: tuple[str, ...], declared: Adaptation) -> _Fitted:
    """The first convolution for other channels: each of the source's is shared out among those that take from it."""
    takers = Counter(name for origin in declared.channels.values() for name in origin.taken_from)
    parts = {
        channel: {name: Fraction(1, takers[name]) for name in declared.channels[channel].taken_from}
        for channel in channels
    }
    made_of = [
        f"{channel} = " + (" + ".join(name if part == 1 else f"{part} {name}" for name, part in of.items()) or "zero")
        for channel, of in parts.items()
    ]
    unused = [f"{name} of the source is not used" for name in found if name not in takers]
    mix_NC = torch.tensor([[float(parts[channel].get(name, 0)) for name in found] for channel in channels])
    if torch.equal(mix_NC, torch.eye(len(found))):
        return _Fitted(weights_OCijk, "source", "copied" if channels == found else "; ".join(["copied", *made_of]))
    return _Fitted(torch.einsum("nc,ocijk->onijk", mix_NC, weights_OCijk), "adapted", "; ".join([*made_of, *unused]))


def _check_bytes(source: str, card: ModelCard, weights: bytes) -> None:
    if not weights:
        raise TransferError(f"{source}: wanted weights, found none; train or register the model again")
    if (found := sha256_of(weights)) != card.weights_sha256:
        raise TransferError(
            f"{source}: weights were altered: wanted sha256 {card.weights_sha256[:16]}…, found {found[:16]}…; "
            "restore the object or register the model again"
        )


def _check_fit(source: str, misfits: list[str]) -> None:
    if misfits:
        raise TransferError(
            f"{source} does not fit this network ({'; '.join(misfits)}); choose a source of the same architecture and "
            "channels, train one, or declare how it is adapted"
        )


def _described(card: ModelCard) -> UNet:
    """A network as the card describes it: names and shapes without values."""
    with torch.device("meta"):
        return UNet(card.architecture, len(card.channels))


def _check_names(source: str, described: UNet, tensors: dict[str, Tensor]) -> None:
    """The weights must be those of the network that is described, whole, whatever of it is taken over."""
    wanted = described.state_dict()
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


def _check_taken(source: str, network: UNet, fitted: dict[str, _Fitted]) -> None:
    for name, tensor in network.state_dict().items():
        if not torch.equal(tensor.cpu(), fitted[name].tensor.cpu()):
            raise TransferError(f"{source}: tensor {name} of the network is not what it should be after loading")
