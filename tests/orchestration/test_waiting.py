"""A submission waits for the runs of others at little cost, and goes on with those that they give up."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from lesionlab.experiments.leases import claim_run
from lesionlab.experiments.ledger import close_run
from lesionlab.orchestration import execution
from lesionlab.orchestration.execution import wait_for_others
from lesionlab.orchestration.progress import SweepCell, Watch
from lesionlab.store.objects import open_store
from storage_schemas import keys
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
    monkeypatch.setattr(type(store), "listed", lambda store, prefix: listed.append(prefix))

    assert wait_for_others(store, runs, "a" * 16, watch) == [runs[1]]
    assert list(watch.held) == [runs[1].run_id, runs[2].run_id]
    watch.start(runs[1].run_id)
    watch.end(runs[1].run_id)
    assert wait_for_others(store, runs, "a" * 16, watch) == []
    assert not watch.held
    assert listed == []
    assert not store.exists(keys.LEASE.build(run_id=runs[0].run_id))
