"""Each axis is declared once, with everything that tables need, and its texts can be parsed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from storage_schemas.axes import AXES, Axes, Budget, Freezing, ModelAxes, TrainingAxes, text_of
from storage_schemas.base import as_columns
from storage_schemas.experiments import ExperimentSpec
from storage_schemas.identity import identity
from storage_schemas.runs import Cell, TrainingConfig

WHOLE = st.integers(1, 10**6)
BUDGETS = st.builds(Budget, epochs=WHOLE) | st.builds(Budget, steps=WHOLE)
FREEZINGS = st.builds(Freezing, epochs=st.none() | WHOLE)


def test_every_axis_has_a_title_and_a_phrase_for_tables() -> None:
    assert AXES.keys() == Axes.model_fields.keys()
    assert {name for name, axis in AXES.items() if axis.role == "turn"} == (
        Axes.model_fields.keys() - ModelAxes.model_fields.keys()
    )
    assert all(axis.title and "{}" in axis.phrase for axis in AXES.values())


def test_every_training_axis_has_a_list_in_the_experiment_and_a_text_for_no_value() -> None:
    for name in TrainingAxes.model_fields:
        assert AXES[name].listed in ExperimentSpec.model_fields
        assert AXES[name].absent


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Budget(epochs=1), "1 epoch"),
        (Budget(steps=2000), "2000 steps"),
        (Freezing(part="encoder", epochs=5), "encoder frozen for 5 epochs"),
        (Freezing(part="all-but-head"), "all but the head frozen"),
    ],
)
def test_a_value_has_one_text(value: Budget | Freezing, text: str) -> None:
    assert text_of(value) == value.text() == text
    assert type(value).model_validate(text) == value


@given(value=BUDGETS | FREEZINGS)
def test_a_text_is_parsed_to_the_same_value(value: Budget | Freezing) -> None:
    assert type(value).model_validate(value.text()) == value


@pytest.mark.parametrize("text", ["", "30", "epochs", "30 hours", "-1 steps", "30 epochs, 2000 steps", "0 epochs"])
def test_a_text_that_is_not_a_budget_is_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        Budget.model_validate(text)


def test_a_refused_text_gets_an_error_with_valid_examples() -> None:
    with pytest.raises(ValidationError, match="wanted `30 epochs` or `2000 steps`; found '30 hours'"):
        Budget.model_validate("30 hours")
    with pytest.raises(ValidationError, match="wanted `encoder frozen` or `all but the head frozen`"):
        Freezing.model_validate("decoder frozen")


def test_a_row_has_plain_values() -> None:
    cell = Cell(arm="de-novo", source=None, training_size=10, fold=1, seed=0, budget=Budget(steps=2000))
    assert as_columns(cell).items() >= {"arm": "de-novo", "budget": "2000 steps", "freezing": None}.items()


def test_an_axis_that_was_added_later_changes_a_run_id_only_if_it_is_used() -> None:
    """So earlier runs keep their ids."""
    plain = Cell(arm="de-novo", source=None, training_size=10, fold=1, seed=0)
    assert "loss" not in identity(plain)
    assert identity(plain.model_copy(update={"loss": "cross-entropy"}))["loss"] == "cross-entropy"
    assert "loss" not in identity(TrainingConfig())
    assert identity(TrainingConfig(loss="dice-cross-entropy"))["loss"] == "dice-cross-entropy"
