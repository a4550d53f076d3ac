"""Each epoch leaves a row of its loss, speed and memory; a resumed run has the rows of all its epochs."""

from __future__ import annotations

import time

import pytest
import torch

from lesionlab.experiments.run_history import RunHistory, stored_history
from lesionlab.model.transfer import random_start
from lesionlab.model.unet import build_unet
from lesionlab.store.objects import open_store
from lesionlab.training.checkpoint import Progress
from lesionlab.training.history import EpochMeter
from lesionlab.training.loop import SoloWorker, train
from storage_schemas import keys
from storage_schemas.results import EpochRow
from tests.training.drawn import draw_study, make_run
from tests.training.test_loop import CPU, Stop, StoppedWorker, kept

MEASURED = ("seconds", "waiting_s", "patches_per_s", "peak_memory_mib")
EPOCHS = 3


@pytest.fixture(scope="module")
def studies():
    return [draw_study(1)]


@pytest.fixture(scope="module")
def run(studies):
    return make_run(studies, epochs=EPOCHS, warmup_steps=4)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


def trained(run, studies, cache, store, worker=CPU, attempt="001-test"):
    """Train as one attempt that keeps its history in the store."""
    network = build_unet(run.architecture, 1, run.seed)
    history = RunHistory(store, run.run_id, attempt)
    return train(run, network, random_start(network), studies, kept(store, run), worker, cache, history)


def decided(rows):
    """What does not depend on time and machine."""
    return [row.model_dump(exclude=set(MEASURED)) for row in rows]


@pytest.fixture(scope="module")
def whole(run, studies, cache):
    """The history of an undisturbed run, and its outcome."""
    outcome = trained(run, studies, cache, store := open_store("memory://"))
    return stored_history(store, run.run_id), outcome


def test_the_history_has_one_row_for_each_epoch(whole, run):
    rows, outcome = whole
    assert [(row.epoch, row.step) for row in rows] == [(1, 2), (2, 4), (3, 6)]
    assert rows[-1].loss == outcome.final_loss
    rate = run.training.learning_rate
    assert [row.learning_rate for row in rows] == pytest.approx([rate / 2, rate, rate])  # warm-up of four steps
    for row in rows:
        assert 0 < row.waiting_s < row.seconds
        assert row.patches_per_s == pytest.approx(2 * run.training.batch_size / row.seconds)
        assert row.peak_memory_mib > 10  # Python alone needs more


def test_the_attempt_that_resumes_a_run_has_the_rows_of_all_epochs(whole, run, studies, cache):
    store = open_store("memory://")
    with pytest.raises(Stop):
        trained(run, studies, cache, store, StoppedWorker(5))  # two epochs of two steps, and one step
    trained(run, studies, cache, store, attempt="002-test")
    for key in [key for key in store.list("runs/") if "001-test" in key]:
        store.delete(key)
    assert decided(stored_history(store, run.run_id)) == decided(whole[0])


def test_rows_of_epochs_that_are_trained_again_are_replaced(run):
    store = open_store("memory://")
    lost, again = (RunHistory(store, run.run_id, name) for name in ("001-test", "002-test"))
    for epoch in (1, 2, 3):
        lost.add(row_of(epoch, loss=0.5))
    again.add(row_of(2, loss=0.4))  # the checkpoint of epoch 3 was damaged
    assert [row.loss for row in stored_history(store, run.run_id)] == [0.5, 0.4, 0.5]
    store.delete(keys.RUN_HISTORY.build(run_id=run.run_id, attempt="001-test"))
    assert [row.loss for row in stored_history(store, run.run_id)] == [0.5, 0.4]


def test_an_unreadable_history_is_named_and_the_run_goes_on(run, caplog):
    store = open_store("memory://")
    damaged = keys.RUN_HISTORY.build(run_id=run.run_id, attempt="001-test")
    store.put(damaged, b"nothing of a table")
    RunHistory(store, run.run_id, "002-test").add(row_of(2, loss=0.4))
    assert [row.epoch for row in stored_history(store, run.run_id)] == [2]
    assert damaged in caplog.text


def test_waiting_for_data_is_time_until_a_batch_is_there_and_not_time_of_steps(run):
    def slow():
        time.sleep(0.03)
        yield 1

    meter = EpochMeter(torch.device("cpu"))
    for _ in meter.timed(slow()):
        time.sleep(0.06)
    row = meter.row(run.training, Progress(epochs=1, steps=1, loss=0.5))
    assert 0.03 <= row.waiting_s <= row.seconds - 0.06


def test_only_the_first_worker_keeps_a_history(run, studies, cache):
    store = open_store("memory://")
    trained(run, studies, cache, store, SoloWorker(torch.device("cpu"), rank=1, world_size=2))
    assert stored_history(store, run.run_id) == []


def row_of(epoch: int, loss: float) -> EpochRow:
    return EpochRow(
        epoch=epoch,
        step=2 * epoch,
        loss=loss,
        learning_rate=1e-3,
        seconds=1,
        waiting_s=0.5,
        patches_per_s=4,
        peak_memory_mib=300,
    )
