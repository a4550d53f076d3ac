"""A submission waits for room and for the runs of others, says so, costs little meanwhile, and ends at its deadline."""

from __future__ import annotations

import time
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace

import pytest

from jobs.shared.execution import status
from lesionlab.errors import TrainingError
from lesionlab.experiments import active_sweeps
from lesionlab.experiments.leases import claim_run
from lesionlab.experiments.ledger import close_run
from lesionlab.experiments.status import sweep_states
from lesionlab.orchestration import execution, progress, sweep
from lesionlab.orchestration.execution import wait_for_others
from lesionlab.orchestration.progress import SweepCell, SweepProgress, Watch
from lesionlab.orchestration.room import Room
from lesionlab.orchestration.session import Capacity, Reserved
from lesionlab.orchestration.sweep import Waiting
from lesionlab.store.objects import Store, open_store
from storage_schemas import keys
from storage_schemas.leases import ActiveSweep
from tests.experiments.drawn import ledger_entry
from tests.training.drawn import draw_study, make_run


def test_runs_of_others_are_waited_for_without_a_listing_of_the_ledger(monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store("memory://")
    runs = [make_run([draw_study(1)], seed=seed) for seed in range(3)]
    watch = Watch([SweepCell(run.run_id, {}) for run in runs], lambda progress: None)
    claims = [claim_run(store, run.run_id, "b" * 16, "eva@north") for run in runs]
    for run in runs:
        watch.leave(run.run_id, "executed by eva@north")

    def complete_the_first() -> None:
        with claims[0]:
            close_run(store, ledger_entry(runs[0].run_id))

    def fail_the_second() -> None:
        with pytest.raises(MemoryError), claims[1]:
            raise MemoryError

    def complete_the_last() -> None:
        with claims[2]:
            close_run(store, ledger_entry(runs[2].run_id))

    events = iter([complete_the_first, fail_the_second, complete_the_last])
    monkeypatch.setattr(execution, "time", SimpleNamespace(sleep=lambda seconds: next(events)()))
    listed: list[str] = []
    looks: list[datetime] = []
    now = store.now

    def looked() -> datetime:
        looks.append(now())
        return looks[-1]

    monkeypatch.setattr(store, "now", looked)
    monkeypatch.setattr(type(store), "listed", lambda store, prefix: listed.append(prefix))

    assert wait_for_others(store, runs, "a" * 16, watch) == [runs[1]]
    assert list(watch.held) == [runs[1].run_id, runs[2].run_id]
    watch.start(runs[1].run_id)
    watch.end(runs[1].run_id)
    assert wait_for_others(store, runs, "a" * 16, watch) == []
    assert not watch.held
    assert listed == []
    assert len(looks) == 5, "one look at the clock for all runs that are waited for"
    assert not store.exists(keys.LEASE.build(run_id=runs[0].run_id))


def test_an_execution_tells_others_what_it_waits_for_until_it_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(active_sweeps, "BEAT_S", 0.02)
    store, run = open_store((tmp_path / "store").as_uri()), make_run([draw_study(1)])
    seen: list[ActiveSweep] = []

    def waits(runs: object, store: Store, cache: object, submission: str, room: object, watch: Watch) -> None:
        watch.waits("2 GPUs a run, 1 there")
        deadline = time.monotonic() + 20
        while not seen and time.monotonic() < deadline:
            time.sleep(0.02)
            seen.extend(state.sweep for state in sweep_states(store, run.experiment) if state.sweep.waiting)
        assert {sweep.submission for sweep in seen} == {submission}
        watch.end(run.run_id, "no room")

    monkeypatch.setattr(execution, "one_by_one", waits)
    with pytest.raises(TrainingError, match="no room"):
        execution.execute([run], store, tmp_path / "cache", plain=True, room=Room("cpu"))
    assert [(sweep.waiting, sweep.left, sweep.running) for sweep in seen] == [("2 GPUs a run, 1 there", 1, 0)]
    assert sweep_states(store, run.experiment) == []


class Cluster:
    """What a sweep of one cell sees of a Ray session, second by second."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, workers: int, wait_s: float) -> None:
        self._now, self._requests, self.told = 0.0, Reserved(0, 0), [""]
        self.watch = Watch([SweepCell("a", {})], lambda progress: self.told.append(progress.waiting))
        self._waiting = Waiting(Room("cpu", wait_s=wait_s), workers, self.watch)
        monkeypatch.setattr(sweep, "time", SimpleNamespace(monotonic=lambda: self._now))
        monkeypatch.setattr(sweep, "reserved", lambda workers: self._requests)
        monkeypatch.setattr(sweep, "capacity", lambda: Capacity(cpus=1, gpus=0, driver_resource=True))

    def has(self, requests: Reserved, seconds: int) -> str:
        """Look each second; what is said at the end."""
        self._requests = requests
        for _ in range(seconds):
            self._now += 1
            self._waiting.look()
        return self.told[-1]


NO_ROOM, ROOM, NOTHING_ASKED = Reserved(0, 1), Reserved(1, 0), Reserved(0, 0)


def test_the_line_says_for_how_long_a_sweep_has_waited(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[SweepProgress] = []
    now = 1000.0
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: now))
    watch = Watch([SweepCell("a", {})], told.append)
    now += 60
    watch.waits("2 GPUs a run, 0 there")
    now += 100
    watch.waits("2 GPUs a run, 1 there")
    now += 90
    watch.tick()
    assert "waits (3:10 so far): 2 GPUs a run, 1 there" in status(told[-1], {}, "cells")
    watch.waits("")
    watch.waits("2 GPUs a run, 1 there")
    assert told[-1].waiting_s == 0


def test_a_sweep_without_room_says_so_and_ends_at_its_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster(monkeypatch, workers=1, wait_s=60)
    assert cluster.has(NO_ROOM, 5) == ""
    assert cluster.has(NO_ROOM, 50) == "1 CPU a run, 1 there"
    with pytest.raises(TrainingError, match="waited 1 minutes for room"):
        cluster.has(NO_ROOM, 10)


def test_a_sweep_that_lost_its_nodes_ends_at_its_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster(monkeypatch, workers=1, wait_s=60)
    cluster.watch.start("a")
    cluster.has(ROOM, 10)
    cluster.watch.lose("a")
    with pytest.raises(TrainingError, match="waited 1 minutes for room"):
        cluster.has(NO_ROOM, 70)


def test_the_start_of_a_process_is_no_lack_of_room(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster(monkeypatch, workers=1, wait_s=6)
    assert cluster.has(NOTHING_ASKED, 30) == ""
    assert cluster.has(NO_ROOM, 6) == "1 CPU a run, 1 there"
    assert cluster.has(ROOM, 30) == ""


def test_runs_that_never_survive_their_start_are_told_and_end_the_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster(monkeypatch, workers=1, wait_s=60)
    assert cluster.has(ROOM, 100) == ""
    assert "memory" in cluster.has(ROOM, 40)
    cluster.watch.start("a")
    assert cluster.has(ROOM, 200) == ""
    cluster.watch.lose("a")
    with pytest.raises(TrainingError, match=r"waited 1 minutes for a run to start.*memory"):
        cluster.has(ROOM, 200)


def test_a_group_of_workers_that_lost_its_room_is_told_also_between_two_attempts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cluster = Cluster(monkeypatch, workers=2, wait_s=6)
    cluster.watch.start("a")
    cluster.has(ROOM, 10)
    for _ in range(3):
        cluster.has(NO_ROOM, 8)
        assert cluster.has(NOTHING_ASKED, 2) == "2 CPUs a run, 1 there"
    assert cluster.has(ROOM, 1) == ""
