"""A finished experiment outlives the code: a later release with more document fields reads and resumes it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lesionlab.experiments.stored_plans import current_plan
from lesionlab.store.objects import Store, open_store
from storage_schemas import keys
from storage_schemas.runs import RunSpec

TINY = Path(__file__).with_name("tiny.yaml")


def call(folder: Path, *arguments: str) -> str:
    """Standard output of a command of a later release."""
    root = Path(__file__).parents[2]
    environment = os.environ | {
        "XDG_CACHE_HOME": str(folder / "cache"),
        "LESIONLAB_STORE": (folder / ".lesionlab" / "store").as_uri(),
        "OMP_NUM_THREADS": "1",
        "COLUMNS": "200",
        "PYTHONPATH": os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep),
    }
    command = [sys.executable, "-m", "tests.jobs.with_added_fields", *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def folder(finished_tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which this release has run the tiny experiment and written its report."""
    folder = tmp_path_factory.mktemp("kept") / "tiny"
    shutil.copytree(finished_tiny, folder)
    return folder


@pytest.fixture(scope="module")
def store(folder: Path) -> Store:
    return open_store((folder / ".lesionlab" / "store").as_uri())


@pytest.mark.slow
def test_a_later_release_writes_the_same_report_byte_for_byte(folder: Path, store: Store) -> None:
    before = {key: store.get(key) for key in store.list("reports/")}
    call(folder, "analyse", "tiny")
    after = {key: store.get(key) for key in store.list("reports/")}
    assert sorted(after) == sorted(before)
    assert after == before


def test_a_later_release_sees_every_run_as_done(folder: Path, store: Store) -> None:
    lines = json.loads(call(folder, "runs", "tiny", "--json"))
    assert {line["state"] for line in lines} == {"done"}
    assert [line["run_id"] for line in lines] == [run.run_id for run in current_plan(store, "tiny").runs]
    listed = call(folder, "sweep", str(TINY), "--dry-run")
    assert f"{len(lines)} of {len(lines)} cells done" in listed


def weights_key(store: Store, run: RunSpec) -> str:
    """Found by its name: this release refuses to read the ledger entry of a later one."""
    (key,) = (key for key in store.list(keys.ATTEMPT.prefix(run_id=run.run_id)) if key.endswith("weights.safetensors"))
    return key


def test_a_later_release_repeats_an_unfinished_run_with_the_same_result(folder: Path, store: Store) -> None:
    run = current_plan(store, "tiny").runs[-1]
    place = {"experiment": "tiny", "run_id": run.run_id}
    lesions = store.get(keys.LESION_ROWS.build(**place))
    weights = store.get(weights_key(store, run))
    store.delete(keys.LEDGER.build(run_id=run.run_id))
    store.delete_prefix(f"runs/{run.run_id}/")
    call(folder, "sweep", str(TINY), "--plain")
    assert store.get(weights_key(store, run)) == weights
    assert len(store.get(keys.LESION_ROWS.build(**place))) > 0
    lines = json.loads(call(folder, "runs", "tiny", "--json"))
    assert {line["state"] for line in lines} == {"done"}
    assert lesions
