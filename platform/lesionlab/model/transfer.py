"""Load the weights of a registered model into a randomly initialised network and report the origin of each tensor.

If fine-tuning silently started from random weights, the comparison with de novo training would be wrong. So the
weight-transfer report lists every tensor of the network, and each tensor is compared with its intended value after
loading.

Shapes: N channels of the network, C channels of the source, O output features of the first convolution.
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
from lesionlab.model.weights import read_weights, sha256_of, unusable
from storage_schemas.models import Adaptation, ModelCard, TensorTransfer


def load_pretrained(
    network: UNet,
    source_card: ModelCard,
    source_weights: bytes,
    channels: tuple[str, ...],
    adaptation: Adaptation | None = None,
) -> tuple[TensorTransfer, ...]:
    """Load the source's weights into the network; return the weight-transfer report, in the order of its tensors.

    `channels` are the input channels of the network. `adaptation` declares how weights for other channels or of another
    depth are adapted, and whether the head is randomly initialised. Encoder and decoder levels correspond by their
    resolution. Tensors without a counterpart in the source keep the network's own random initialisation.

    Raises TransferError if the weights are missing or do not match the card's sha256, if the source differs in anything
    that is not declared, or if a tensor does not have its intended value after loading.
    """
    source = f"model {source_card.name}/{source_card.version}"
    declared = adaptation or Adaptation()
    check_bytes(source_card, source_weights)
    _check_fit(source, declared.misfits(source_card, network.architecture, channels))
    described, tensors = _network_of(source_card), read_weights(source_weights)
    _check_tensors(source, described, tensors)
    pretrained = _Pretrained(source_card, described, described.by_place(), tensors)
    fitted = {
        name: _fit(name, own, network, channels, pretrained, declared) for name, own in network.state_dict().items()
    }
    network.load_state_dict({name: fit.tensor for name, fit in fitted.items()})
    _check_loaded(source, network, fitted)
    return tuple(
        TensorTransfer(tensor=name, shape=shape_text(fit.tensor), origin=fit.origin, how=fit.how)
        for name, fit in fitted.items()
    )


def random_start(network: nn.Module) -> tuple[TensorTransfer, ...]:
    """The weight-transfer report of a network that is randomly initialised from its seed."""
    return tuple(
        TensorTransfer(tensor=name, shape=shape_text(tensor), origin="random", how="de novo")
        for name, tensor in network.state_dict().items()
    )


def unchanged(network: nn.Module) -> tuple[TensorTransfer, ...]:
    """The weight-transfer report of a network that is a registered model itself."""
    return tuple(
        TensorTransfer(tensor=name, shape=shape_text(tensor), origin="source", how="copied")
        for name, tensor in network.state_dict().items()
    )


def shape_text(tensor: Tensor) -> str:
    """A shape as the weight-transfer report writes it: `32x1x3x3x3`; `scalar` for a tensor without axes."""
    return "x".join(map(str, tensor.shape)) or "scalar"


@dataclass(frozen=True)
class _Pretrained:
    """The source: its card, a network of its architecture without values (on the meta device), and its tensors."""

    card: ModelCard
    network: UNet
    by_place: dict[Place, str]
    tensors: dict[str, Tensor]


@dataclass(frozen=True)
class _Fitted:
    """The intended value of one tensor of the network, and its origin."""

    tensor: Tensor
    origin: Literal["source", "adapted", "random"]
    how: str


def _fit(
    name: str, own: Tensor, network: UNet, channels: tuple[str, ...], pretrained: _Pretrained, declared: Adaptation
) -> _Fitted:
    place = network.place_of(name)
    if declared.head == "reinitialise" and place.part == "head":
        return _Fitted(own.clone(), "random", "a new head, as declared")
    if place not in pretrained.by_place:
        depth = pretrained.card.architecture.depth
        return _Fitted(own.clone(), "random", f"a level that the source, of depth {depth}, lacks")
    counterpart = pretrained.by_place[place]
    tensor = pretrained.tensors[counterpart]
    if name == network.first_convolution and declared.channels:
        return _mix_channels(tensor, channels, pretrained.card.channels, declared)
    how = "copied" if counterpart == name else f"copied from {counterpart}"
    # The up-sampling of the deepest shared decoder level reads the encoder in one network and the decoder in the other.
    other_input = place.reads != pretrained.network.place_of(counterpart).reads
    return _Fitted(tensor, "source", f"{how}, but reads features of another kind" if other_input else how)


def _mix_channels(
    weights_OCijk: Tensor, channels: tuple[str, ...], found: tuple[str, ...], declared: Adaptation
) -> _Fitted:
    """The first convolution for other channels: a source channel is divided equally among its uses."""
    uses = Counter(name for origin in declared.channels.values() for name in origin.taken_from)
    parts = {
        channel: {name: Fraction(1, uses[name]) for name in declared.channels[channel].taken_from}
        for channel in channels
    }
    made_of = [
        f"{channel} = " + (" + ".join(name if part == 1 else f"{part} {name}" for name, part in of.items()) or "zero")
        for channel, of in parts.items()
    ]
    unused = [f"{name} of the source is not used" for name in found if name not in uses]
    mix_NC = torch.tensor([[float(parts[channel].get(name, 0)) for name in found] for channel in channels])
    if torch.equal(mix_NC, torch.eye(len(found))):
        return _Fitted(weights_OCijk, "source", "copied" if channels == found else "; ".join(["copied", *made_of]))
    return _Fitted(torch.einsum("nc,ocijk->onijk", mix_NC, weights_OCijk), "adapted", "; ".join([*made_of, *unused]))


def check_bytes(card: ModelCard, weights: bytes) -> None:
    """Raises TransferError if the weights are missing, or are not those of the card."""
    source = f"model {card.name}/{card.version}"
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
            "channels, train one, or declare an adaptation"
        )


def _network_of(card: ModelCard) -> UNet:
    """A network of the card's architecture: tensor names and shapes without values."""
    with torch.device("meta"):
        return UNet(card.architecture, len(card.channels))


def _check_tensors(source: str, described: UNet, tensors: dict[str, Tensor]) -> None:
    """Check that the weights are complete for the card's architecture, even if some are not used."""
    wanted = described.state_dict()
    used = [name for name in wanted if name in tensors and tensors[name].shape == wanted[name].shape]
    if len(used) < len(wanted):
        missing = [name for name in wanted if name not in used]
        how_many = (
            "none of its tensors was used" if not used else f"{len(missing)} of {len(wanted)} tensors are missing"
        )
        raise TransferError(
            f"{source}: {how_many}; the network wants {', '.join(missing[:3])}{', …' if len(missing) > 3 else ''}, "
            f"the weights contain {', '.join(sorted(tensors)[:3]) or 'nothing'}{', …' if len(tensors) > 3 else ''}"
        )
    if unknown := sorted(tensors.keys() - wanted.keys()):
        raise TransferError(f"{source}: has tensors that the network lacks: {', '.join(unknown[:5])}")
    if faults := unusable(tensors, described):
        raise TransferError(f"{source}: {len(faults)} tensors cannot be used: {'; '.join(faults[:5])}")
    if faults := unusable(tensors, described):
        raise TransferError(f"{source}: {len(faults)} tensors cannot be used: {'; '.join(faults[:5])}")


def _check_loaded(source: str, network: UNet, fitted: dict[str, _Fitted]) -> None:
    for name, tensor in network.state_dict().items():
        if not torch.equal(tensor.cpu(), fitted[name].tensor.cpu()):
            raise TransferError(f"{source}: tensor {name} does not have its intended value after loading")
