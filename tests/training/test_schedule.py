"""A training takes exactly its budget of steps, warms up as declared, and freezes only tensors from a source."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from lesionlab.model.parts import PartedNetwork, Place
from lesionlab.model.transfer import random_start
from lesionlab.model.unet import build_unet
from lesionlab.training.schedule import Length, frozen_in, learning_rate, length_of
from storage_schemas.axes import Freezing
from storage_schemas.models import Architecture
from storage_schemas.runs import TrainingConfig
from tests.training.drawn import copied_transfers, draw_study, make_run

NETWORK = build_unet(Architecture(depth=1, base_channels=2), 1, seed=0)


@given(steps=st.integers(1, 200), steps_per_epoch=st.integers(1, 50))
def test_the_steps_of_all_epochs_equal_the_budget(steps, steps_per_epoch):
    length = Length(steps, steps_per_epoch)
    spent = [length.steps_of(epoch) for epoch in range(length.epochs)]
    assert [step for epoch in spent for step in epoch] == list(range(steps))
    assert all(len(epoch) == steps_per_epoch for epoch in spent[:-1])


def test_more_studies_take_more_steps_with_a_budget_in_epochs_but_not_in_steps():
    few, many = [draw_study(1)], [draw_study(number) for number in range(1, 4)]
    # Each study gives 2 copies × 4 patches; a step takes 4 patches.
    assert [length_of(make_run(studies, epochs=5)).steps for studies in (few, many)] == [10, 30]
    assert [length_of(make_run(studies, steps=7)) for studies in (few, many)] == [Length(7, 2), Length(7, 6)]
    assert [length_of(make_run(studies, steps=7)).epochs for studies in (few, many)] == [4, 2]


def test_the_learning_rate_rises_linearly_and_then_stays_constant():
    training = TrainingConfig(learning_rate=1e-3, warmup_steps=4)
    rates = [learning_rate(training, step) for step in range(6)]
    assert rates == pytest.approx([0.25e-3, 0.5e-3, 0.75e-3, 1e-3, 1e-3, 1e-3])
    assert rates[3:] == [1e-3] * 3


def test_without_warm_up_the_learning_rate_is_constant():
    assert {learning_rate(TrainingConfig(learning_rate=1e-5), step) for step in range(3)} == {1e-5}


@pytest.mark.parametrize(
    ("part", "trained"),
    [("encoder", {"up", "merge", "head"}), ("all-but-head", {"head"})],
)
def test_the_declared_part_is_frozen_for_the_declared_epochs(part, trained):
    transfers = copied_transfers(NETWORK)
    for epochs, frozen_epochs in ((2, (0, 1)), (None, (0, 1, 2, 99))):
        freezing = Freezing(part=part, epochs=epochs)
        for epoch in frozen_epochs:
            trainable = {row.tensor for row in transfers} - frozen_in(epoch, freezing, NETWORK, transfers)
            assert {name.split(".")[0] for name in trainable} == trained
    assert frozen_in(2, Freezing(part=part, epochs=2), NETWORK, transfers) == frozenset()


def test_randomly_initialised_and_adapted_tensors_are_never_frozen():
    forever = Freezing(part="all-but-head")
    assert frozen_in(0, forever, NETWORK, random_start(NETWORK)) == frozenset()
    adapted = [
        row.model_copy(update={"origin": "adapted"}) if row.tensor == "entry.conv1.weight" else row
        for row in copied_transfers(NETWORK)
    ]
    trainable = {row.tensor for row in adapted} - frozen_in(0, forever, NETWORK, adapted)
    assert trainable == {"entry.conv1.weight", "head.weight", "head.bias"}


class Reversed(PartedNetwork):
    """A network that gives its parts the names of other parts of a U-Net."""

    first_convolution = "head.weight"

    def __init__(self):
        super().__init__()
        self.head, self.entry, self.down = nn.Conv3d(1, 2, 3), nn.Conv3d(2, 2, 3), nn.Conv3d(2, 2, 1)

    def place_of(self, tensor):
        module, _, name = tensor.partition(".")
        return Place({"head": "encoder", "entry": "decoder", "down": "head"}[module], 0, name)


@pytest.mark.parametrize(
    ("part", "frozen"), [("encoder", {"head.weight", "head.bias"}), ("all-but-head", {"head", "entry"})]
)
def test_the_frozen_tensors_depend_on_the_places_that_the_network_declares(part, frozen):
    network = Reversed()
    found = frozen_in(0, Freezing(part=part), network, copied_transfers(network))
    assert found == {name for name in network.state_dict() if name.startswith(tuple(frozen))}
