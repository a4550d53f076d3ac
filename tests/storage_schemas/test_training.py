"""A training that contradicts itself says so in full, and so does an origin of a channel."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from storage_schemas.axes import Freezing
from storage_schemas.identity import identity
from storage_schemas.models import ChannelOrigin
from storage_schemas.runs import TrainingConfig


def test_every_contradiction_of_a_training_is_reported_at_once() -> None:
    with pytest.raises(ValidationError) as caught:
        TrainingConfig(patches_per_study=5, batch_size=8, workers=3, steps=10, warmup_steps=11)
    for fault in (
        "patches_per_study: wanted an even number (half with lesion, half without), found 5",
        "batch_size: wanted a multiple of the 3 workers, found 8",
        "warmup_steps: wanted at most the 10 steps in all, found 11",
    ):
        assert fault in str(caught.value)


def test_a_freezing_that_never_ends_must_say_so() -> None:
    with pytest.raises(ValidationError, match="wanted fewer than the 3 epochs in all, or null for to the end; found 3"):
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
def test_a_channel_has_one_origin(origin: dict[str, object], fault: str) -> None:
    with pytest.raises(ValidationError, match=fault):
        ChannelOrigin.model_validate(origin)


def test_adam_is_what_an_identity_made_before_other_optimisers_means() -> None:
    assert "optimizer" not in identity(TrainingConfig())
    assert identity(TrainingConfig(optimizer="sgd"))["optimizer"] == "sgd"
