"""A stored plan writes what its runs share once, and reading gives the same plan."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lesionlab.store.documents import document_bytes
from storage_schemas.base import SchemaError
from storage_schemas.experiments import Plan
from storage_schemas.pooled import SHARED
from storage_schemas.runs import RunSpec
from tests.experiments.test_planning import planned


@pytest.fixture(scope="module")
def plan() -> Plan:
    return planned()


@pytest.fixture(scope="module")
def form(plan: Plan) -> Any:
    return json.loads(document_bytes(plan))


def test_a_plan_is_read_as_it_was_stored(plan: Plan, form: Any) -> None:
    read = Plan.from_stored(form)
    assert read == plan
    assert read.written() == plan.written()
    assert [run.name_digest() for run in read.runs] == [run.run_id for run in plan.runs]
    assert document_bytes(read) == document_bytes(plan)


def test_a_plan_whose_runs_are_written_whole_is_read_too(plan: Plan) -> None:
    assert Plan.from_stored({"schema": 1} | plan.model_dump(mode="json")) == plan


def test_each_study_is_written_once_however_many_runs_use_it(plan: Plan, form: Any) -> None:
    used = {entry.study for run in plan.runs for entry in (*run.train, *run.test)}
    assert sorted(study["study"] for study in form["runs"]["studies"]) == sorted(used)
    whole = len(plan.canonical_json())
    assert len(json.dumps(form)) < whole / 8
    one_more = len(json.dumps(form["runs"]["runs"][-1]))
    assert one_more < whole / len(plan.runs) / 8


def test_runs_that_were_read_share_their_studies_and_settings_in_memory(form: Any) -> None:
    read = Plan.from_stored(form)
    assert len({id(entry) for run in read.runs for entry in (*run.train, *run.test)}) == len(form["runs"]["studies"])
    assert len({id(run.task) for run in read.runs}) == 1
    assert len({id(run.training) for run in read.runs}) == len(form["runs"]["values"][SHARED.index("training")])


@pytest.mark.parametrize("change", ["study", "value", "too few", "negative"])
def test_a_run_that_refers_to_nothing_is_refused(form: Any, change: str) -> None:
    run = dict(form["runs"]["runs"][-1])
    match change:
        case "study":
            run["test"] = [len(form["runs"]["studies"])]
        case "value":
            run["shared"] = [*run["shared"][:-1], 9999]
        case "too few":
            run["shared"] = run["shared"][1:]
        case "negative":
            run["test"] = [-1]
    with pytest.raises(ValueError, match=r"not there|greater than or equal to 0"):
        Plan.from_stored(form | {"runs": form["runs"] | {"runs": [run]}})


def test_a_field_of_a_newer_version_is_named_as_such(form: Any) -> None:
    newer = form["runs"] | {"fields": [*SHARED[:-1], "colour"]}
    with pytest.raises(SchemaError, match=r"colour.*written by a newer lesionlab"):
        Plan.from_stored(form | {"runs": newer})


def test_every_field_of_a_run_is_its_own_or_shared() -> None:
    assert {"id", "cell", "train", "test", *SHARED} == RunSpec.model_fields.keys()
