"""`lesionlab plan --cpus N` says what missing runs cost: measured here, or from finished runs like them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from lesionlab.experiments.costs import finished_runs
from lesionlab.orchestration import calibration
from lesionlab.store.objects import open_store
from tests.drill.experiment import spec, store_cohorts
from tests.jobs.conftest import TINY, Lesionlab


@pytest.fixture
def experiment(file_store_uri: str, tmp_path: Path) -> Path:
    store_cohorts(open_store(file_store_uri))
    file = tmp_path / "experiment.yaml"
    file.write_text(spec(1))
    return file


@pytest.mark.slow
def test_without_finished_runs_this_machine_is_measured(
    lesionlab: Lesionlab, experiment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calibration, "CALIBRATION_S", 0.2)
    result = lesionlab("plan", experiment, "--cpus", 2, "--price", 1)
    assert result.exit_code == 0, result.output
    assert "cost of the 6 runs that are missing" in result.output
    assert re.search(
        r"on cpu of this machine: [0-9.]+ ± [0-9.]+ hours, .* CPU hours, price .*\(calibrated, steps of the network",
        result.output,
    )
    assert "written: unknown" in result.output


def test_a_device_that_is_not_here_is_unknown(lesionlab: Lesionlab, experiment: Path) -> None:
    result = lesionlab("plan", experiment, "--gpus", 2)
    assert "unknown, no run like these is finished on such a device" in result.output


def test_gpus_and_cpus_exclude_each_other(lesionlab: Lesionlab, experiment: Path) -> None:
    result = lesionlab("plan", experiment, "--gpus", 2, "--cpus", 2)
    assert result.exit_code == 1
    assert "wanted one of them, found both" in result.output


def test_ten_times_the_epochs_cost_up_to_ten_times_the_finished_trainings_and_the_same_tests(
    lesionlab: Lesionlab, finished_tiny: Path, tmp_path: Path
) -> None:
    store = open_store((finished_tiny / ".lesionlab" / "store").as_uri())
    longer = tmp_path / "longer.yaml"
    longer.write_text(TINY.read_text().replace("epochs: 2", "epochs: 20").replace("name: tiny\n", "name: longer\n"))
    told = json.loads(lesionlab("plan", longer, "--cpus", 1, "--json", "--store", store.uri).output)
    (cost,) = told["cost"]["by_device"]
    estimated_s = cost["gpu_hours"]["value"] * 3600

    def seconds(times: int) -> float:
        """Of workers, for as many trainings as are finished, each so many times as long, and their tests."""
        took = [(one.run, one.entry) for one in finished_runs(store)]
        return sum((times * own.training_s + own.evaluation_s) * run.training.workers for run, own in took)

    assert seconds(1) < estimated_s < 1.3 * seconds(10)  # a part of a training's time is fixed; rates are means


def test_what_is_complete_costs_nothing(lesionlab: Lesionlab, finished_tiny: Path) -> None:
    store = (finished_tiny / ".lesionlab" / "store").as_uri()
    result = lesionlab("plan", TINY, "--cpus", 2, "--store", store)
    assert (result.exit_code, "cost: none, no run is missing" in result.output) == (0, True), result.output


def test_submitting_what_is_complete_says_that_it_costs_nothing(
    lesionlab: Lesionlab, finished_tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.shared.submitting.RayCluster", NoRay)
    store = (finished_tiny / ".lesionlab" / "store").as_uri()
    where = ("--address", "http://127.0.0.1:1", "--device", "cpu", "--dry-run")
    result = lesionlab("submit", TINY, *where, "--store", store)
    assert (result.exit_code, "cost: none, no run is missing" in result.output) == (0, True), result.output
    assert "unknown" not in result.output
    assert "bytes" not in result.output


class NoRay:
    """Stands for a Ray cluster that is asked for nothing but the state of a job."""

    def __init__(self, address: str) -> None:
        self.address = address

    def state(self, name: str) -> tuple[str, str]:
        return "absent", ""
