"""`lesionlab plan --cpus N` says what missing runs cost: measured here, or from finished runs like them."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
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


@pytest.mark.slow
def test_an_experiment_ten_times_as_long_costs_what_was_estimated_from_the_short_one(
    lesionlab: Lesionlab, finished_tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half as much or twice as much on a machine that does other things meanwhile; within 25 % on a quiet one."""
    folder = tmp_path / ".lesionlab"
    shutil.copytree(finished_tiny / ".lesionlab", folder)
    store = open_store((folder / "store").as_uri())
    longer = tmp_path / "longer.yaml"
    longer.write_text(TINY.read_text().replace("epochs: 2", "epochs: 20").replace("name: tiny\n", "name: longer\n"))
    monkeypatch.setenv("LESIONLAB_STORE", store.uri)
    before = {found.run.run_id for found in finished_runs(store)}
    told = json.loads(lesionlab("plan", longer, "--cpus", 1, "--json").output)
    (cost,) = told["cost"]["by_device"]
    environment = os.environ | {"XDG_CACHE_HOME": str(finished_tiny / "cache"), "OMP_NUM_THREADS": "1"}
    subprocess.run(
        [sys.executable, "-m", "jobs.run", str(longer), "--plain"], cwd=tmp_path, check=True, env=environment
    )
    new = {found.run.run_id: found for found in finished_runs(store)}.keys() - before
    runs = [found for found in finished_runs(store) if found.run.run_id in new]
    true_s = sum((one.entry.training_s + one.entry.evaluation_s) * one.run.training.workers for one in runs)
    estimated_s = cost["gpu_hours"]["value"] * 3600
    print(f"estimated {estimated_s:.1f} s, took {true_s:.1f} s")
    assert true_s / 2 < estimated_s < 2 * true_s


def test_what_is_complete_costs_nothing(lesionlab: Lesionlab, finished_tiny: Path) -> None:
    store = (finished_tiny / ".lesionlab" / "store").as_uri()
    result = lesionlab("plan", TINY, "--cpus", 2, "--store", store)
    assert (result.exit_code, "cost: none, no run is missing" in result.output) == (0, True), result.output
