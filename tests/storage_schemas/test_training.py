"""Inconsistent training settings and channel origins are refused with all contradictions."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from storage_schemas.axes import Freezing
from storage_schemas.identity import identity
from storage_schemas.models import ChannelOrigin
from storage_schemas.runs import TrainingConfig


def test_all_contradictions_of_a_training_are_reported_together() -> None:
    with pytest.raises(ValidationError) as caught:
        TrainingConfig(patches_per_study=5, batch_size=2, workers=3, steps=10, warmup_steps=11)
    for fault in (
        "patches_per_study: wanted an even number (half with lesion, half without), found 5",
        "batch_size: wanted a patch for each of the 3 workers, found 2",
        "warmup_steps: wanted at most the 10 steps in total, found 11",
    ):
        assert fault in str(caught.value)


def test_a_freezing_as_long_as_the_training_must_be_declared_as_permanent() -> None:
    with pytest.raises(ValidationError, match=r"fewer than the 3 epochs in total, or null .*; found 3"):
        TrainingConfig(epochs=3, freezing=Freezing(part="encoder", epochs=3))
    TrainingConfig(epochs=3, freezing=Freezing(part="encoder"))
    TrainingConfig(epochs=3, steps=1000, freezing=Freezing(part="encoder", epochs=3))


@pytest.mark.parametrize(
    ("origin", "fault"),
    [
        ({}, "exactly one of copy_of, mean_of, zero"),
        ({"copy_of": "flair", "zero": True}, "exactly one of copy_of, mean_of, zero"),
        ({"mean_of": ["before", "after", "before"]}, "found a channel twice in before, after, before"),
    ],
)
def test_a_channel_must_have_exactly_one_origin(origin: dict[str, object], fault: str) -> None:
    with pytest.raises(ValidationError, match=fault):
        ChannelOrigin.model_validate(origin)


def test_an_identity_without_an_optimiser_means_adam() -> None:
    assert "optimizer" not in identity(TrainingConfig())
    assert identity(TrainingConfig(optimizer="sgd"))["optimizer"] == "sgd"
