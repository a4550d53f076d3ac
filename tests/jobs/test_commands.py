"""The front door teaches: stages in the order of the flow, an example in each, one entry point under two names."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.jobs.conftest import Lesionlab

STAGES = [
    "simulate",
    "preprocess",
    "plan",
    "pretrain",
    "sweep",
    "analyse",
    "run",
    "demo",
    "cohort",
    "models",
    "evaluate",
    "predict",
]


def test_help_lists_the_stages_in_the_order_of_the_flow(lesionlab: Lesionlab) -> None:
    shown = lesionlab("--help").output
    places = [shown.index(f"│ {stage} ") for stage in STAGES]
    assert places == sorted(places)


@pytest.mark.parametrize("stage", STAGES)
def test_each_stage_has_an_example(lesionlab: Lesionlab, stage: str) -> None:
    result = lesionlab(stage, "--help")
    assert result.exit_code == 0
    assert f"Example: lesionlab {stage}" in result.output


def test_a_job_module_is_the_same_entry_point(lesionlab: Lesionlab) -> None:
    as_module = subprocess.run(
        [sys.executable, "-m", "jobs.plan", "demo"], capture_output=True, text=True, check=True, env={"COLUMNS": "200"}
    )
    assert as_module.stdout == lesionlab("plan", "demo").output


def test_the_plan_ends_with_the_number_of_trainings(lesionlab: Lesionlab) -> None:
    assert lesionlab("plan", "demo").output.splitlines()[-1] == "12 trainings"
