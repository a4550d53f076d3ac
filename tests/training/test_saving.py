"""Checkpoints come by time and in the background; before a node is taken away all workers stop after the same step."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from lesionlab.errors import AccessDenied, RunYielded, StoreUnreachable
from lesionlab.training.checkpoint import START, Progress
from lesionlab.training.saving import Looks, Saver

RUN = "0123456789abcdef"


class Kept:
    """Checkpoints in memory; each write waits for `may_write` and then raises `fault`, if there is one."""

    def __init__(self, fault=None):
        self.fault, self.stored, self.may_write = fault, {}, threading.Event()
        self.may_write.set()

    def names(self):
        return sorted(self.stored, reverse=True)

    def read(self, name):
        return self.stored[name]

    def save(self, steps, data):
        assert self.may_write.wait(10)
        if self.fault is not None:
            raise self.fault
        self.stored[steps] = data


def saver_of(checkpoints, every_s=0.0):
    network = torch.nn.Linear(2, 1)
    return network, Saver(checkpoints, RUN, network, torch.optim.Adam(network.parameters()), every_s)


def after(steps):
    return Progress(0, steps, 0.5, losses=(0.5,) * steps)


def test_training_goes_on_while_a_checkpoint_is_written_and_what_is_written_is_the_state_of_its_step():
    kept, undisturbed = Kept(), Kept()
    kept.may_write.clear()
    network, saver = saver_of(kept)
    _, other = saver_of(undisturbed)
    other._network.load_state_dict(network.state_dict())
    with other:
        other.save(after(1))
    with saver:
        saver.save(after(1))
        assert not saver.due()  # one at a time
        with torch.no_grad():
            network.weight.fill_(7.0)
        kept.may_write.set()
        saver.wait()
        assert saver.due()
    assert kept.stored == undisturbed.stored


def test_a_checkpoint_is_due_when_its_interval_is_over():
    _, saver = saver_of(Kept(), every_s=0.05)
    with saver:
        assert not saver.due()
        time.sleep(0.06)
        assert saver.due()
        saver.save(after(1))
        saver.wait()
        assert not saver.due()


def test_a_store_that_does_not_answer_is_a_warning_and_the_next_checkpoint_is_tried(caplog):
    kept = Kept(StoreUnreachable("no answer"))
    _, saver = saver_of(kept)
    with saver:
        saver.save(after(1))
        saver.wait()
        assert "a checkpoint was not stored (no answer)" in caplog.text
        kept.fault = None
        saver.save(after(2))
    assert list(kept.stored) == [2]


def test_a_store_that_refuses_ends_the_training():
    _, saver = saver_of(Kept(AccessDenied("no write permission")))
    with saver:
        saver.save(after(1))
        with pytest.raises(AccessDenied):
            saver.wait()


class Together:
    """One of several workers in threads; worker `told` learns after `at` steps that it loses its node."""

    def __init__(self, rank, shared, told=None, at=0):
        self.rank, self._shared, self._told, self._at, self.asked = rank, shared, told, at, 0

    def gather(self, value):
        barrier, values = self._shared
        values[self.rank] = value
        barrier.wait(10)
        found = list(values)
        barrier.wait(10)
        return found

    def leaving(self):
        self.asked += 1
        return self.rank == self._told and self.asked >= self._at


def test_all_workers_yield_after_the_same_step_and_not_before_the_checkpoint_is_stored():
    kept, shared, ended = Kept(), (threading.Barrier(3), [None] * 3), {}
    kept.may_write.clear()

    def train(rank):
        worker = Together(rank, shared, told=2, at=3)
        _, saver = saver_of(kept, every_s=1000)
        with saver:
            looks = Looks(worker, saver, report=lambda now: None, interval_s=0)
            for step in range(1, 10):
                try:
                    looks.after_step(lambda step=step: after(step))
                except RunYielded as error:
                    ended[rank] = (step, worker.asked, dict(kept.stored), str(error))
                    return

    with ThreadPoolExecutor(3) as pool:
        ranks = [pool.submit(train, rank) for rank in range(3)]
        time.sleep(0.2)
        assert not ended
        kept.may_write.set()
        for rank in ranks:
            rank.result()
    assert {(step, asked) for step, asked, _, _ in ended.values()} == {(3, 3)}
    assert all(list(stored) == [3] for _, _, stored, _ in ended.values())
    assert all("a checkpoint was saved after step 3" in message for *_, message in ended.values())


def test_looks_are_rare_and_equally_many_for_all_workers():
    shared, looked = (threading.Barrier(2), [None] * 2), {}

    def train(rank):
        worker = Together(rank, shared)
        _, saver = saver_of(Kept(), every_s=1000)
        with saver:
            looks = Looks(worker, saver, report=lambda now: None, interval_s=0.1)
            for _ in range(50):
                time.sleep(0.01)
                looks.after_step(lambda: START)
            looked[rank] = worker.asked

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(train, range(2)))
    assert looked[0] == looked[1] < 25
