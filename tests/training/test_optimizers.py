"""Each optimiser does the arithmetic of its paper, and its state survives the way through a header and bytes."""

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


class One(nn.Module):
    """A single weight."""

    def __init__(self, value=2.0):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(value, dtype=torch.float64))


def after(optimizer, gradients, value=2.0):
    """The weight after a step for each gradient."""
    network = One(value)
    taking = build_optimizer(network, TrainingConfig(learning_rate=RATE, optimizer=optimizer))
    for gradient in gradients:
        network.weight.grad = torch.tensor(gradient, dtype=torch.float64)
        taking.step()
    return network.weight.item()


def test_adam_first_steps_by_the_learning_rate_whatever_the_gradient():
    assert [2.0 - after("adam", [gradient]) for gradient in (1e-3, 5.0)] == pytest.approx([RATE, RATE], rel=1e-4)


def test_adamw_shrinks_the_weight_beside_adams_step():
    assert after("adamw", [5.0]) == pytest.approx(2.0 * (1 - RATE * WEIGHT_DECAY) - RATE)


def test_sgd_looks_ahead_along_its_momentum():
    velocity = 1.0 + MOMENTUM * 1.0  # after two gradients of 1
    steps = (1.0 + MOMENTUM * 1.0) + (1.0 + MOMENTUM * velocity)
    assert after("sgd", [1.0, 1.0]) == pytest.approx(2.0 - RATE * steps)


class Chained(torch.optim.Optimizer):
    """Remembers a tensor, a number and a list of each parameter, and treats two groups differently."""

    def __init__(self, network):
        first, *others = network.parameters()
        super().__init__([{"params": others, "pull": (0.5, 2)}, {"params": [first], "pull": (1.0, 3)}], {"lr": 0.1})

    def step(self):
        for group in self.param_groups:
            for parameter in group["params"]:
                slots = self.state[parameter]
                slots["mean"] = slots.get("mean", torch.zeros_like(parameter)) + group["pull"][0]
                slots["turns"], slots["seen"] = slots.get("turns", 0) + group["pull"][1], [1.5, None]


def test_the_state_of_any_optimiser_of_torch_is_restored():
    network, copy = (nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1)) for _ in range(2))
    left, taken_up = Chained(network), Chained(copy)
    left.step()
    left.param_groups[0]["lr"] = 0.03
    header = json.loads(json.dumps(optimizer_header(network, left)))
    restore_optimizer(copy, taken_up, header, optimizer_tensors(network, left))
    left.step()
    taken_up.step()
    wanted, found = left.state_dict(), taken_up.state_dict()
    assert found["param_groups"] == wanted["param_groups"]
    assert found["state"].keys() == wanted["state"].keys() == {0, 1, 2, 3}
    for number, slots in wanted["state"].items():
        assert torch.equal(found["state"][number].pop("mean"), slots.pop("mean"))
        assert found["state"][number] == slots
