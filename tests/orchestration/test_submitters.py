"""Two submitters of one experiment share the work: each run is trained once, and each sees the sweep to its end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lesionlab.experiments.ledger import ledger_entries
from lesionlab.store.objects import Store, open_store
from tests.orchestration.submitter import drawn_runs

ROOT = Path(__file__).parents[2]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store((tmp_path / "store").as_uri())


def submit(store: Store, cache: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, Path(__file__).with_name("submitter.py"), store.uri, cache],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT / "platform"), str(ROOT)])},
    )


def test_two_submitters_train_each_run_once(store: Store, tmp_path: Path) -> None:
    runs = [run.run_id for run in drawn_runs(store.uri)]
    submitters = [submit(store, tmp_path / f"cache-{number}") for number in (1, 2)]
    trained = [process.communicate(timeout=300)[0].split() for process in submitters]
    assert [process.returncode for process in submitters] == [0, 0]
    assert sorted([*trained[0], *trained[1]]) == sorted(runs)
    assert {entry.attempts for entry in ledger_entries(store, runs).values()} == {1}


@pytest.mark.slow
def test_the_run_of_a_killed_submitter_is_taken_over_within_90_seconds_with_the_same_result(
    store: Store, tmp_path: Path
) -> None:
    runs = [run.run_id for run in drawn_runs(store.uri)]
    first = submit(store, tmp_path / "cache-1")
    assert first.stdout is not None
    held = first.stdout.readline().strip()
    while not store.list(f"runs/{held}/attempts/"):
        time.sleep(0.05)
    os.kill(first.pid, signal.SIGKILL)
    killed = time.monotonic()
    second = submit(store, tmp_path / "cache-2")
    trained = second.communicate(timeout=300)[0].split()
    assert second.returncode == 0
    assert time.monotonic() - killed < 120  # 60 s until the claim is stale, and the work itself
    assert trained[-1] == held  # the free runs first
    entries = ledger_entries(store, runs)
    assert {run: entry.attempts for run, entry in entries.items()} == {run: 1 + (run == held) for run in runs}

    alone = open_store((tmp_path / "alone").as_uri())
    drawn_runs(alone.uri)
    assert submit(alone, tmp_path / "cache-3").communicate(timeout=300)
    for run in runs:
        weights = [
            next(at.get(key) for key in at.list(f"runs/{run}/attempts/") if key.endswith("weights.safetensors"))
            for at in (store, alone)
        ]
        assert weights[0] == weights[1]
