"""A sweep runs every cell and reports progress; a failed cell does not stop the others."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest
from ray import cloudpickle

from lesionlab.errors import TransferError
from lesionlab.orchestration.progress import SweepCell, Watch
from lesionlab.orchestration.room import Room
from lesionlab.orchestration.sweep import run_sweep
from lesionlab.store.objects import open_store

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
    told = []
    refused, bug, replaced, fine = run_sweep(
        count_to_three, cells, workers=1, store_uri=file_store_uri, room=CPU, watch=Watch(cells, told.append)
    )
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
