"""Build the optimiser of a network from the training settings; convert its state for a checkpoint and restore it.

The conversion works for any torch optimiser. It splits `state_dict()` into tensors, named by their parameter, and
plain values for a header.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from storage_schemas.runs import TrainingConfig

WEIGHT_DECAY = 0.01
"""AdamW's weight decay, decoupled from the moment estimates (Loshchilov and Hutter 2019); also torch's default."""

MOMENTUM = 0.99
"""SGD's Nesterov momentum, as in nnU-Net (Isensee et al. 2021), but without nnU-Net's weight decay."""


def build_optimizer(network: nn.Module, training: TrainingConfig) -> torch.optim.Optimizer:
    """A new optimiser over all parameters in the network's order, including frozen ones.

    The update is one kernel, but for SGD: torch's fails where only some parameters have been updated before, as when an
    encoder is frozen at first.
    """
    rate = training.learning_rate
    match training.optimizer:
        case "adam":
            return torch.optim.Adam(network.parameters(), lr=rate, fused=True)
        case "adamw":
            return torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=WEIGHT_DECAY, fused=True)
        case "sgd":
            return torch.optim.SGD(network.parameters(), lr=rate, momentum=MOMENTUM, nesterov=True)


def optimizer_tensors(network: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The tensors of its state, named `<parameter>.<slot>`, for parameters that have been updated."""
    return {
        f"{name}.{slot}": value
        for name, slots in _state_by_name(network, optimizer).items()
        for slot, value in slots.items()
        if isinstance(value, Tensor)
    }


def optimizer_header(network: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Its class name (`Adam`), its parameter groups and the state values that are not tensors, as JSON values."""
    names = _names(network, optimizer)
    plain = {
        name: {slot: value for slot, value in slots.items() if not isinstance(value, Tensor)}
        for name, slots in _state_by_name(network, optimizer).items()
    }
    return {
        "kind": type(optimizer).__name__,
        "groups": [
            group | {"params": [names[number] for number in group["params"]]}
            for group in optimizer.state_dict()["param_groups"]
        ],
        "state": {name: slots for name, slots in plain.items() if slots},
    }


def restore_optimizer(
    network: nn.Module, optimizer: torch.optim.Optimizer, header: Mapping[str, Any], tensors: Mapping[str, Tensor]
) -> None:
    """Load the saved state of an optimiser of the same class; tensors move to the devices of their parameters.

    Whether the update is fused stays as it is, whatever the checkpoint says. `header` and
    `tensors` come from `optimizer_header` and `optimizer_tensors`.
    """
    numbers = {name: number for number, name in enumerate(_names(network, optimizer))}
    state: dict[int, dict[str, Any]] = {numbers[name]: dict(slots) for name, slots in header["state"].items()}
    for full_name, tensor in tensors.items():
        name, _, slot = full_name.rpartition(".")
        state.setdefault(numbers[name], {})[slot] = tensor
    groups = [
        {field: tuple(value) if isinstance(value, list) else value for field, value in group.items()}
        | {"params": [numbers[name] for name in group["params"]]}
        | {field: own[field] for field in ("fused",) if field in own}
        for group, own in zip(header["groups"], optimizer.param_groups, strict=True)
    ]
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def align_state(optimizer: torch.optim.Optimizer) -> None:
    """Lay out the state in memory as its parameters are: fused updates want equal strides."""
    for parameter, slots in optimizer.state.items():
        for slot, value in slots.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape and value.stride() != parameter.stride():
                slots[slot] = torch.empty_like(parameter, dtype=value.dtype, requires_grad=False).copy_(value)


def _names(network: nn.Module, optimizer: torch.optim.Optimizer) -> list[str]:
    """Names of the optimiser's parameters, in the order in which its state numbers them."""
    names = {parameter: name for name, parameter in network.named_parameters()}
    return [names[parameter] for group in optimizer.param_groups for parameter in group["params"]]


def _state_by_name(network: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, dict[str, Any]]:
    names = _names(network, optimizer)
    return {names[number]: slots for number, slots in optimizer.state_dict()["state"].items()}
