"""A sweep runs every cell and reports progress; a failed cell does not stop the others."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest
from ray import cloudpickle

from lesionlab.errors import RunYielded, TransferError
from lesionlab.orchestration.progress import SweepCell, Watch
from lesionlab.orchestration.room import Room
from lesionlab.orchestration.sweep import run_sweep
from lesionlab.store.objects import open_store
from storage_schemas import keys

cloudpickle.register_pickle_by_value(sys.modules[__name__])
pytestmark = pytest.mark.usefixtures("ray_of_two_cpus")

CPU = Room("cpu")


def count_to_three(worker, task):
    """Three epochs, with the faults that `task` names."""
    for epoch in range(1, 4):
        worker.report({"epoch": epoch, "step": 4 * epoch, "steps": 12, "loss": 1 / epoch, "seconds": 0.1})
        if "refuse" in task:
            raise TransferError("model glioma/1: weights were altered")
        if "bug" in task:
            raise KeyError("a bug")
        if "die" in task and not Path(task["die"]).exists():
            Path(task["die"]).touch()
            os.kill(os.getpid(), signal.SIGKILL)
    if worker.rank == 0:
        open_store(task["store"]).put(f"done/{task['name']}", b"")


def cells_of(store_uri, **faults):
    names = ["0a", "1b", "2c", "3d"]
    return [SweepCell(name, {"name": name, "store": store_uri} | faults.get(f"cell_{name}", {})) for name in names]


def test_failed_cells_do_not_stop_the_others_and_report_their_error(file_store_uri, tmp_path):
    cells = cells_of(
        file_store_uri, cell_0a={"refuse": ""}, cell_1b={"bug": ""}, cell_2c={"die": str(tmp_path / "died")}
    )
    told, failed = [], []
    watch = Watch(cells, told.append)
    refused, bug, replaced, fine = run_sweep(
        count_to_three,
        cells,
        workers=1,
        store_uri=file_store_uri,
        room=CPU,
        watch=watch,
        on_failure=lambda outcome: failed.append((outcome, told[-1].done)),
    )
    assert {outcome for outcome, _ in failed} == {refused, bug}
    assert failed[0][1] < 2, "told while others run"
    assert refused.error == "model glioma/1: weights were altered"
    assert "KeyError: 'a bug'" in bug.error
    assert "count_to_three" in bug.error
    assert replaced.error is fine.error is None
    assert (tmp_path / "died").exists()
    assert open_store(file_store_uri).list("done") == ["done/2c", "done/3d"]

    assert (told[-1].done, told[-1].failed, told[-1].running, told[-1].left) == (2, 2, (), 0)
    assert all(p.done + p.failed + len(p.running) + p.left == 4 for p in told)
    assert all(len(p.running) <= 2 for p in told)
    assert [p.elapsed_s for p in told] == sorted(p.elapsed_s for p in told)
    assert told[-1].remaining_s == 0
    assert {(cell.step, cell.loss) for p in told for cell in p.running if cell.name == "3d"} >= {(4, 1.0), (12, 1 / 3)}


def test_an_empty_sweep_is_done(file_store_uri):
    assert run_sweep(count_to_three, [], workers=1, store_uri=file_store_uri, room=CPU) == ()


def test_a_watcher_need_not_be_picklable(file_store_uri):
    with Path(os.devnull).open("w") as screen:
        cells = cells_of(file_store_uri)[:1]
        watch = Watch(cells, lambda progress: print(progress, file=screen))
        (outcome,) = run_sweep(count_to_three, cells, workers=1, store_uri=file_store_uri, room=CPU, watch=watch)
    assert outcome.error is None


ECC = "CUDA error: uncorrectable ECC error encountered"


def fail_as_told(worker, task):
    """Count the starts of a cell, and end some of them as `task` tells."""
    store, name = open_store(task["store"]), task["name"]
    start = len(store.list(f"starts/{name}/"))
    store.put(f"starts/{name}/{start}", b"")
    if "saves" in task:
        store.put(keys.RUN_CHECKPOINT.build(run_id=name, attempt="001-test", steps=f"{start + 1:09d}"), b"")
    if start < int(task["failing_starts"]):
        match task["how"]:
            case "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            case "ECC":
                raise RuntimeError(ECC)
            case "memory":
                raise MemoryError("Unable to allocate 512 GiB")
            case "yields":
                raise RunYielded("its node is about to be taken away")


@pytest.mark.slow
def test_each_kind_of_failure_is_started_again_as_often_as_it_deserves(file_store_uri):
    faults = {
        "0a": ("killed", 99, 3, "lost", "its workers were lost 3 times without progress beyond step 0"),
        "1b": ("killed", 4, 5, None, None),  # with a checkpoint at each start
        "2c": ("ECC", 1, 2, None, None),
        "3d": ("ECC", 99, 2, "hardware", "a GPU or its network failed 2 times without progress beyond step 0"),
        "4e": ("memory", 99, 1, "memory", "MemoryError: Unable to allocate 512 GiB"),
        "5f": ("yields", 1, 2, None, None),
    }
    cells = [
        SweepCell(name, {"name": name, "store": file_store_uri, "how": how, "failing_starts": str(failing)})
        for name, (how, failing, *_) in faults.items()
    ]
    cells[1].task["saves"] = "yes"
    failed = []
    outcomes = run_sweep(fail_as_told, cells, workers=1, store_uri=file_store_uri, room=CPU, on_failure=failed.append)
    assert sorted(failed, key=lambda one: one.name) == [one for one in outcomes if one.error]
    store = open_store(file_store_uri)
    for outcome in outcomes:
        _, _, starts, kind, error = faults[outcome.name]
        assert outcome.kind == kind, outcome
        assert len(store.list(f"starts/{outcome.name}/")) == starts, outcome
        assert outcome.error is None if error is None else outcome.error.startswith(error), outcome


@pytest.mark.slow
def test_cells_with_two_workers_are_separate_ray_train_runs(file_store_uri):
    told = []
    cells = cells_of(file_store_uri, cell_1b={"refuse": ""})[:2]
    fine, refused = run_sweep(
        count_to_three, cells, workers=2, store_uri=file_store_uri, room=CPU, watch=Watch(cells, told.append)
    )
    assert fine.error is None
    assert refused.error == "model glioma/1: weights were altered"
    assert open_store(file_store_uri).list("done") == ["done/0a"]
    assert {cell.step for p in told for cell in p.running if cell.name == "0a"} >= {12}
