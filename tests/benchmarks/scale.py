"""Thousands of fake cells on a real Ray session and a real store of files: what a sweep costs besides its trainings.

    python -m tests.benchmarks.scale 200 2000 20000

For each number of cells, two processes: one makes, stores and reads the plan of so many runs and says what the commands
do with it; the other sweeps so many cells that claim their run and write its ledger entry, and nothing else.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray

import lesionlab.orchestration  # noqa: F401  (sets Ray's environment before Ray is imported)
from lesionlab.experiments.ledger import close_run, completed, ledger_entries
from lesionlab.experiments.publishing import publish_missing
from lesionlab.experiments.status import run_states
from lesionlab.experiments.stored_plans import find_plan, store_plan
from lesionlab.orchestration.attempts import claimed
from lesionlab.orchestration.cell import worker_task
from lesionlab.orchestration.progress import SweepCell, Watch
from lesionlab.orchestration.room import Room
from lesionlab.orchestration.session import ray_session
from lesionlab.orchestration.sweep import run_sweep
from lesionlab.store.base import Store
from lesionlab.store.files import FileStore
from lesionlab.store.objects import open_store
from lesionlab.training.loop import Worker
from storage_schemas import keys
from storage_schemas.experiments import Plan
from storage_schemas.runs import RunSpec
from tests.experiments.drawn import ledger_entry
from tests.experiments.test_planning import planned

REQUESTS = ("get_tagged", "put", "create", "replace", "exists", "list", "delete")
MIB = 2**20


def plan_of(runs: int) -> Plan:
    """The paper's design of 61 runs over 60 studies, with as many seeds as it takes."""
    plan = planned()
    trained = [run for run in plan.runs if run.train]
    made = []
    for number in range(runs):
        run = trained[number % len(trained)]
        seed = number // len(trained)
        assert run.cell is not None
        cell = run.cell.model_copy(update={"seed": seed})
        made.append(run.model_copy(update={"id": f"{number:016x}", "seed": seed, "cell": cell}))
    return plan.model_copy(update={"id": f"{runs:016x}", "runs": tuple(made)})


@contextmanager
def counted() -> Iterator[Counter[str]]:
    """Requests to stores in this process, by kind."""
    found: Counter[str] = Counter()
    lock, inside = threading.Lock(), threading.local()
    kept = {(kind, name): vars(kind)[name] for kind in (Store, FileStore) for name in REQUESTS if name in vars(kind)}

    def counting(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            if getattr(inside, "one", False):  # a store of files calls its base
                return method(*arguments, **options)
            with lock:
                found[name] += 1
            inside.one = True
            try:
                return method(*arguments, **options)
            finally:
                inside.one = False

        return call

    for (kind, name), method in kept.items():
        setattr(kind, name, counting(name, method))
    try:
        yield found
    finally:
        for (kind, name), method in kept.items():
            setattr(kind, name, method)


def fake_cell(worker: Worker, task: dict[str, str]) -> None:
    """Claim the run and write its ledger entry; the number of requests goes into a file beside the store."""
    run_id, store = json.loads(task["run"])["id"], open_store(task["store"])
    with (
        counted() as requests,
        claimed(worker, run_id, store, submission=task["submission"], holder=task["holder"]) as attempt,
    ):
        if attempt is not None:
            close_run(store, ledger_entry(run_id, attempt=attempt.name))
    with (Path(task["cache"]) / f"requests-{os.getpid()}").open("a") as file:
        file.write(f"{sum(requests.values())}\n")


def sweep(runs: int, folder: Path) -> dict[str, Any]:
    """What a sweep of fake cells costs: seconds and requests a cell, the driver's memory."""
    store, plan = open_store((folder / "store").as_uri()), plan_of(runs)
    cells = [SweepCell(run.run_id, worker_task(run, store.uri, folder, "a" * 16)) for run in plan.runs]
    del plan
    before = memory_mib()
    marks: list[float] = []
    began = time.monotonic()

    def told(progress: Any) -> None:
        if progress.done * 10 // runs > len(marks):
            marks.append(time.monotonic() - began)

    # Without the dashboard, which is no part of a cell's cost and does not start in time on a busy machine.
    ray.init(address="local", num_cpus=2, include_dashboard=False, object_store_memory=100 * MIB, log_to_driver=False)
    with ray_session():
        started = time.monotonic() - began
        run_sweep(fake_cell, cells, workers=1, store_uri=store.uri, room=Room("cpu"), watch=Watch(cells, told))
        seconds = time.monotonic() - began - started
    done = completed(store, (cell.name for cell in cells))
    assert len(done) == runs, f"wanted {runs} ledger entries, found {len(done)}"
    requests = [int(line) for file in folder.glob("requests-*") for line in file.read_text().split()]
    tenths = [end - start for start, end in zip([started, *marks], marks, strict=False)]
    return {
        "cells": runs,
        "ms a cell": 1000 * seconds / runs,
        "first tenth, ms a cell": 10_000 * tenths[0] / runs,
        "last tenth, ms a cell": 10_000 * tenths[-1] / runs,
        "driver MiB before": before,
        "driver MiB at most": memory_mib(),
        "requests a cell": sum(requests) / len(requests),
    }


def documents(runs: int, folder: Path) -> dict[str, Any]:
    """What the commands around a sweep of so many runs cost, without their trainings."""
    store, plan = open_store((folder / "store").as_uri()), plan_of(runs)
    found: dict[str, Any] = {"runs": runs}

    def timed(what: str, action: Callable[[], Any]) -> Any:
        with counted() as requests:
            began = time.monotonic()
            result = action()
            found[f"{what}, s"] = time.monotonic() - began
            found[f"{what}, requests"] = sum(requests.values())
        return result

    timed("store the plan", lambda: store_plan(store, plan))
    key = keys.PLAN.build(experiment=plan.spec.name, digest=plan.id)
    found["plan, MB"] = len(store.get(key)) / 1e6
    found["plan with whole runs, MB"] = sum(len(run.canonical_json()) for run in plan.runs) / 1e6
    del plan
    before = memory_mib()
    plan = timed("read the plan", lambda: find_plan(store, "paper"))
    found["read plan, MiB"] = memory_mib() - before
    timed("start of a sweep, nothing done", lambda: started(store, plan.runs))
    for run in plan.runs:
        close_run(store, ledger_entry(run.run_id, attempt="001-fake"))
        for part in (keys.STUDY_ROWS, keys.LESION_ROWS):
            store.put(part.build(experiment=run.experiment, run_id=run.run_id), b"rows")
    timed("ledger, all done", lambda: ledger_entries(store, [run.run_id for run in plan.runs]))
    timed("status, all done", lambda: run_states(store, plan))
    return found


def started(store: Store, runs: tuple[RunSpec, ...]) -> None:
    """What `execute` asks before its first cell."""
    publish_missing(store, runs, completed(store, (run.run_id for run in runs)))


def memory_mib() -> float:
    """Peak memory of this process."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / MIB


def main(sizes: list[str]) -> None:
    """Print one line of JSON for each measurement, each made in a process of its own."""
    for size in sizes:
        for what in ("documents", "sweep"):
            with tempfile.TemporaryDirectory() as folder:
                subprocess.run([sys.executable, "-m", "tests.benchmarks.scale", what, size, folder], check=True)


if __name__ == "__main__":
    if sys.argv[1] in ("documents", "sweep"):
        measure = {"documents": documents, "sweep": sweep}[sys.argv[1]]
        found = measure(int(sys.argv[2]), Path(sys.argv[3]))
        print(json.dumps({name: round(value, 3) for name, value in found.items()}), flush=True)
    else:
        main(sys.argv[1:])
