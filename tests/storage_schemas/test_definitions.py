"""Definitions are found by name, and any changed number gives another version."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest
from pydantic import ValidationError

from storage_schemas.definitions import (
    DEFINITIONS,
    AnyOverlap,
    MetricDefinition,
    MostlyInside,
    OneToOne,
    definition_named,
)
from storage_schemas.experiments import ExperimentSpec


def test_the_default_definition_is_that_of_the_paper() -> None:
    assert DEFINITIONS["paper"] == MetricDefinition()
    assert MetricDefinition().matching == AnyOverlap(minimum_overlap=0.0)
    assert (MetricDefinition().connectivity, MetricDefinition().minimum_volume_mm3) == (26, 0.0)


def test_named_definitions_are_distinct_and_listed_under_their_own_names() -> None:
    assert all(name == definition.name for name, definition in DEFINITIONS.items())
    assert len({definition.digest() for definition in DEFINITIONS.values()}) == len(DEFINITIONS)


def test_the_msseg_2_definition_has_the_numbers_of_the_challenge() -> None:
    """animaSegPerfAnalyzer's defaults: -x 0.10, -y 0.70, -z 0.65, -v 3."""
    by = DEFINITIONS["msseg-2"]
    assert by.matching == MostlyInside(covered_above=0.10, most_outside=0.70, share_of_cover=0.65)
    assert (by.connectivity, by.minimum_volume_mm3, by.drop_at_minimum) == (6, 3.0, True)


@pytest.mark.parametrize("name", DEFINITIONS)
def test_a_definition_is_found_by_name_and_by_row_label(name: str) -> None:
    assert definition_named(name) == definition_named(DEFINITIONS[name].label()) == DEFINITIONS[name]


@pytest.mark.parametrize("name", ["", "msseg", "x@y", "MSSEG-2"])
def test_an_unknown_name_is_refused_with_the_known_ones(name: str) -> None:
    with pytest.raises(
        ValueError, match=r"^wanted one of paper, isbi-2015, msseg-2, one-to-one-iou, one-to-one-dice; "
    ):
        definition_named(name)


@pytest.mark.parametrize("version", ["", "0000000000000000"])
def test_an_unknown_version_of_a_named_definition_is_refused_with_the_known_one(version: str) -> None:
    with pytest.raises(ValueError, match=f"^wanted {DEFINITIONS['msseg-2'].label()}, .*; found 'msseg-2@{version}'"):
        definition_named(f"msseg-2@{version}")


def test_the_label_of_the_default_definition_stays_that_of_stored_rows() -> None:
    assert MetricDefinition().label() == "paper@159dcc70935fc0f9"


@pytest.mark.parametrize(
    "update",
    [
        {"connectivity": 18},
        {"minimum_volume_mm3": 3.0},
        {"drop_at_minimum": True},
        {"matching": AnyOverlap(minimum_overlap=0.1)},
        {"matching": OneToOne()},
        {"matching": OneToOne(measure="dice")},
        {"matching": OneToOne(threshold=0.4)},
    ],
)
def test_a_changed_number_gives_another_version(update: dict[str, Any]) -> None:
    assert MetricDefinition().model_copy(update=update).label() != MetricDefinition().label()


def test_a_rule_refuses_parameters_of_another_rule() -> None:
    with pytest.raises(ValidationError, match="minimum_overlap"):
        MetricDefinition.model_validate({"matching": {"rule": "one-to-one", "minimum_overlap": 0.5}})


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("msseg-2", DEFINITIONS["msseg-2"]),
        ({"name": "own", "connectivity": 6}, MetricDefinition(name="own", connectivity=6)),
        (
            {"name": "own", "matching": {"rule": "any-overlap", "minimum_overlap": 0.2}},
            MetricDefinition(name="own", matching=AnyOverlap(minimum_overlap=0.2)),
        ),
    ],
)
def test_an_experiment_file_names_a_definition_or_contains_it(
    study: dict[str, Any], written: Any, meant: object
) -> None:
    spec = ExperimentSpec.model_validate(study | {"metric": written})
    assert spec.metric == meant
    # It is stored in full: a later change of the named one does not change the experiment.
    assert spec.model_dump(mode="json")["metric"]["connectivity"] == spec.metric.connectivity
    jsonschema.validate(study | {"metric": written}, ExperimentSpec.model_json_schema())


def test_an_experiment_file_without_a_definition_uses_the_papers(study: dict[str, Any]) -> None:
    assert ExperimentSpec.model_validate(study).metric == DEFINITIONS["paper"]


def test_an_unknown_name_in_an_experiment_file_is_reported_with_its_place(study: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        ExperimentSpec.model_validate(study | {"metric": "misseg"})
    (message,) = [fault["msg"] for fault in caught.value.errors() if fault["loc"] == ("metric",)]
    assert "msseg-2" in message


def test_an_unnamed_definition_in_an_experiment_file_is_named_own(study: dict[str, Any]) -> None:
    spec = ExperimentSpec.model_validate(study | {"metric": {"connectivity": 6}})
    assert spec.metric == MetricDefinition(name="own", connectivity=6)
    assert ExperimentSpec.model_validate(spec.model_dump(mode="json")) == spec
