"""Inconsistent tasks are refused with all contradictions; titles do not distinguish tasks."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from storage_schemas.identity import identity
from storage_schemas.tasks import TASKS, Registration, ScanInput, Task, same_task, takes_a_known_name, told_apart

PAIR: dict[str, Any] = {
    "name": "flair-t2",
    "title": "two contrasts",
    "inputs": [{"role": "flair", "suffix": "FLAIR"}, {"role": "t2", "suffix": "T2w"}],
    "native": "flair",
    "registrations": [{"moving": "t2", "fixed": "flair", "kind": "rigid"}],
    "channels": [{"name": "flair", "image": "flair"}, {"name": "t2", "image": "t2"}],
    "label": "lesion",
    "lesion_free": "expected",
}


def faults_of(**changes: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        Task.model_validate(PAIR | changes)
    return str(caught.value)


@pytest.mark.parametrize("suffix", ["FLAIR", "T1w", "T2w", "PDw", "T2starw", "SWI", "UNIT1", "MTR"])
def test_any_bids_suffix_is_allowed(suffix: str) -> None:
    assert ScanInput(role="image", suffix=suffix).suffix == suffix


@pytest.mark.parametrize(
    ("scan", "fault"),
    [
        ({"role": "T1", "suffix": "T1w"}, "lower-case letters, digits and '-', as in follow-up; found 'T1'"),
        ({"role": "t1=a", "suffix": "T1w"}, "found 't1=a'"),
        ({"role": "t1", "suffix": "T1_w"}, "wanted only letters and digits, as in BIDS labels; found 'T1_w'"),
        ({"role": "t1", "suffix": "T1w", "contrast_agent": "ce-gad"}, "found 'ce-gad'"),
        ({"role": "t1", "suffix": "T1w", "entities": {"acq": "3-d"}}, "found '3-d'"),
        ({"role": "t1", "suffix": "T1w", "entities": {"ce": "gad"}}, "short names such as acq, run, echo; found ce"),
        ({"role": "t1", "suffix": "T1w", "entities": {"acq-": "3d"}}, "found acq-"),
    ],
)
def test_names_that_are_invalid_in_file_names_are_refused(scan: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValidationError) as caught:
        ScanInput.model_validate(scan)
    assert fault in str(caught.value)


def test_all_contradictions_are_reported_together_with_the_name_of_the_task() -> None:
    message = faults_of(
        inputs=[
            {"role": "mask", "suffix": "FLAIR", "visit": "initial"},
            {"role": "t2", "suffix": "T2w", "visit": "initial"},
            {"role": "t2", "suffix": "PDw", "visit": "initial"},
        ],
        channels=[{"name": "t2", "image": "t2", "minus": "t2"}, {"name": "t2", "image": "t1"}],
    )
    for fault in (
        "wanted each role once, found t2 twice",
        "wanted each channel once, found t2 twice",
        "found the reserved role mask, which means something else in a dataset; rename it",
        "uses flair, t1, but reads mask, t2",
        "channel t2 is an image minus itself",
        "wanted an image of this visit, found only images of the initial visit",
    ):
        assert f"task flair-t2: {fault}" in message


@pytest.mark.parametrize("field", ["inputs", "channels"])
def test_a_task_needs_images_and_channels(field: str) -> None:
    assert "at least 1 item" in faults_of(**{field: []})


def test_everything_except_the_title_distinguishes_tasks() -> None:
    task = Task.model_validate(PAIR)
    assert same_task(task, Task.model_validate(PAIR | {"title": "other words"}))
    for change in (
        {"name": "other"},
        {"label": "edema"},
        {"registrations": []},
        {"inputs": [PAIR["inputs"][0], PAIR["inputs"][1] | {"entities": {"acq": "fs"}}]},
        {"registrations": [PAIR["registrations"][0] | {"least_correlation": 0.6}]},
    ):
        assert not same_task(task, Task.model_validate(PAIR | change))


def test_unused_fields_that_were_added_later_are_not_in_the_identity_of_a_task() -> None:
    assert identity(ScanInput(role="t1", suffix="T1w")).keys() == {"role", "suffix", "contrast_agent", "visit"}
    assert identity(Registration(moving="a", fixed="b", kind="rigid")).keys() == {"moving", "fixed", "kind"}


def test_a_different_task_with_a_known_name_is_recognised() -> None:
    known = TASKS["flair-single"]
    assert not takes_a_known_name(known.model_copy(update={"title": "in other words"}))
    assert takes_a_known_name(known.model_copy(update={"label": "edema"}))
    assert not takes_a_known_name(Task.model_validate(PAIR))


def test_task_names_include_versions_only_if_names_are_ambiguous() -> None:
    task = Task.model_validate(PAIR)
    other = task.model_copy(update={"label": "edema"})
    assert told_apart(task, TASKS["enhancing"]) == ["flair-t2", "enhancing"]
    assert told_apart(task, task) == ["flair-t2", "flair-t2"]
    assert told_apart(task, other) == [f"flair-t2@{task.version()}", f"flair-t2@{other.version()}"]
