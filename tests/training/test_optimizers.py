"""Each optimiser takes the steps defined in its paper, and its state survives a round trip through a checkpoint."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

from lesionlab.training.optimizers import (
    MOMENTUM,
    WEIGHT_DECAY,
    build_optimizer,
    optimizer_header,
    optimizer_tensors,
    restore_optimizer,
)
from storage_schemas.runs import TrainingConfig

RATE = 0.1


class OneWeight(nn.Module):
    """A network with a single weight."""

    def __init__(self, value=2.0):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(value, dtype=torch.float64))


def after(optimizer, gradients, value=2.0):
    """The weight after one step per gradient."""
    network = OneWeight(value)
    built = build_optimizer(network, TrainingConfig(learning_rate=RATE, optimizer=optimizer))
    for gradient in gradients:
        network.weight.grad = torch.tensor(gradient, dtype=torch.float64)
        built.step()
    return network.weight.item()


def test_the_first_step_of_adam_is_the_learning_rate_for_any_gradient():
    assert [2.0 - after("adam", [gradient]) for gradient in (1e-3, 5.0)] == pytest.approx([RATE, RATE], rel=1e-4)


def test_adamw_adds_weight_decay_to_the_step_of_adam():
    assert after("adamw", [5.0]) == pytest.approx(2.0 * (1 - RATE * WEIGHT_DECAY) - RATE)


def test_sgd_uses_nesterov_momentum():
    velocity = 1.0 + MOMENTUM * 1.0  # after two gradients of 1
    steps = (1.0 + MOMENTUM * 1.0) + (1.0 + MOMENTUM * velocity)
    assert after("sgd", [1.0, 1.0]) == pytest.approx(2.0 - RATE * steps)


class ManyKindsOfState(torch.optim.Optimizer):
    """Its state has a tensor, a number and a list per parameter, and it has two groups with different settings."""

    def __init__(self, network):
        first, *others = network.parameters()
        super().__init__([{"params": others, "pull": (0.5, 2)}, {"params": [first], "pull": (1.0, 3)}], {"lr": 0.1})

    def step(self):
        for group in self.param_groups:
            for parameter in group["params"]:
                slots = self.state[parameter]
                slots["mean"] = slots.get("mean", torch.zeros_like(parameter)) + group["pull"][0]
                slots["turns"], slots["seen"] = slots.get("turns", 0) + group["pull"][1], [1.5, None]


def test_the_state_of_any_torch_optimiser_is_restored():
    network, copy = (nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1)) for _ in range(2))
    saved, restored = ManyKindsOfState(network), ManyKindsOfState(copy)
    saved.step()
    saved.param_groups[0]["lr"] = 0.03
    header = json.loads(json.dumps(optimizer_header(network, saved)))
    restore_optimizer(copy, restored, header, optimizer_tensors(network, saved))
    saved.step()
    restored.step()
    wanted, found = saved.state_dict(), restored.state_dict()
    assert found["param_groups"] == wanted["param_groups"]
    assert found["state"].keys() == wanted["state"].keys() == {0, 1, 2, 3}
    for number, slots in wanted["state"].items():
        assert torch.equal(found["state"][number].pop("mean"), slots.pop("mean"))
        assert found["state"][number] == slots
