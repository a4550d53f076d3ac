"""The status of an experiment follows from the store alone: ledger, claims and failures."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from rich.console import Console

from jobs.shared import status_output
from jobs.shared.progress import minutes
from jobs.shared.status_output import made_by, show_status
from lesionlab.errors import StoreError, StoreUnreachable
from lesionlab.experiments import active_sweeps, leases, status
from lesionlab.experiments.active_sweeps import announced
from lesionlab.experiments.leases import claim_run, record_end, record_failure
from lesionlab.experiments.ledger import close_run, completed, is_complete, reopen
from lesionlab.experiments.publishing import finished
from lesionlab.experiments.status import RunState, counts, run_states, sweep_states
from lesionlab.experiments.upkeep.garbage import find_garbage
from lesionlab.store.documents import write_document
from lesionlab.store.objects import Store, open_store
from lesionlab.store.tables import write_rows
from storage_schemas import keys
from storage_schemas.experiments import Plan
from storage_schemas.leases import Failure, FailureKind
from storage_schemas.results import LesionRow, StudyRow
from storage_schemas.runs import RunSpec
from tests.experiments.drawn import ledger_entry
from tests.experiments.test_planning import planned


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store((tmp_path / "store").as_uri())


@pytest.fixture
def plan() -> Plan:
    return planned()


def close(store: Store, run: RunSpec) -> None:
    """A complete run with rows."""
    for pattern, row_type in ((keys.RUN_STUDY_ROWS, StudyRow), (keys.RUN_LESION_ROWS, LesionRow)):
        write_rows(store, pattern.build(run_id=run.run_id), [], row_type)
    close_run(store, ledger_entry(run.run_id))


def fail(store: Store, run_id: str, kind: FailureKind, message: str) -> None:
    """An attempt that ends with this failure."""
    with suppress(RuntimeError), claim_run(store, run_id, "a" * 16, "eva@north") as claim:
        record_failure(store, claim.lease, kind, message)
        raise RuntimeError


def test_each_run_is_in_the_state_that_the_store_tells(
    store: Store, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    done, running, failed, released, dead, untouched = (run.run_id for run in plan.runs[:6])
    close(store, plan.runs[0])
    with claim_run(store, running, "a" * 16, "eva@north") as claim:
        claim.progress({"epoch": 3, "step": 320, "steps": 1200, "loss": 0.25, "seconds": 1.0})
        fail(store, failed, "refused", "the mask is empty; exclude the study")
        with pytest.raises(KeyboardInterrupt), claim_run(store, released, "a" * 16, "eva@north"):
            raise KeyboardInterrupt
        claim_run(store, dead, "b" * 16, "ola@south")
        states = {run.run_id: run for run in run_states(store, plan)}
        assert [states[run].state for run in (done, running, failed, released, untouched)] == [
            "done",
            "running",
            "failed",
            "interrupted",
            "to do",
        ]
        shown = states[running]
        assert (shown.holder, shown.step, shown.steps, shown.loss, shown.attempts) == ("eva@north", 320, 1200, 0.25, 1)
        assert states[failed].reason == "the mask is empty; exclude the study"
        assert states[dead].state == "running"  # heard of a moment ago
        monkeypatch.setattr(status, "STALE_S", -1.0)
        assert {run.run_id: run for run in run_states(store, plan)}[dead].state == "interrupted"


def test_a_finished_run_says_what_it_cost_and_what_made_it(store: Store, plan: Plan) -> None:
    for run in plan.runs:
        close(store, run)
    states = run_states(store, plan)
    assert {(run.state, run.device, run.seconds, run.lesionlab) for run in states} == {("done", "cpu", 2.0, "0.2.0")}
    count = len(plan.runs)
    assert made_by(states) == [f"{minutes(2 * count)} ({count} runs) on cpu with lesionlab 0.2.0"]


@pytest.fixture
def read_only(plan: Plan) -> Iterator[str]:
    """The URI of a store that this process may read and not write, with one finished run of the plan."""
    with TemporaryDirectory() as folder:
        root = Path(folder) / "store"
        store = open_store(root.as_uri())
        close(store, plan.runs[0])
        claim_run(store, plan.runs[1].run_id, "a" * 16, "eva@north")
        Path(folder).chmod(0o755)
        for path in (root, *root.rglob("*")):
            path.chmod(0o555 if path.is_dir() else 0o444)
        user = os.geteuid()
        if user == 0:
            os.seteuid(65534)  # permissions do not bind root
        try:
            yield root.as_uri()
        finally:
            os.seteuid(user)
            for path in (root, *root.rglob("*")):
                path.chmod(0o755)


def test_a_store_that_may_only_be_read_says_how_far_an_experiment_is(read_only: str, plan: Plan) -> None:
    found = run_states(open_store(read_only), plan)
    assert [run.state for run in found[:3]] == ["done", "running", "to do"]
    assert find_garbage(open_store(read_only)) == []
    with pytest.raises(StoreError, match="cannot be written"):
        open_store(read_only).put("ledger/x", b"")


def test_a_damaged_or_empty_entry_and_a_run_without_rows_are_not_done(store: Store, plan: Plan) -> None:
    damaged, empty, rowless, done = plan.runs[:4]
    for run in (damaged, empty, done):
        close(store, run)
    close_run(store, ledger_entry(rowless.run_id))
    place = keys.LEDGER.build(run_id=damaged.run_id)
    store.put(place, store.get(place).replace(b"cpu", b"cqu"))
    store.put(keys.LEDGER.build(run_id=empty.run_id), b"")
    states = {run.run_id: run.state for run in run_states(store, plan)}
    assert [states[run.run_id] for run in plan.runs[:4]] == ["to do", "to do", "to do", "done"]
    assert completed(store, states) == {rowless.run_id, done.run_id}
    assert finished(store, plan.runs) == {done.run_id}
    assert not is_complete(store, empty.run_id)
    assert close_run(store, ledger_entry(empty.run_id))  # what cannot be read is replaced
    assert close_run(store, ledger_entry(damaged.run_id))
    assert not close_run(store, ledger_entry(done.run_id))
    reopen(store, done.run_id)
    assert finished(store, plan.runs) == {damaged.run_id, empty.run_id}


def test_a_failure_is_forgotten_when_the_run_begins_again(store: Store, plan: Plan) -> None:
    run = plan.runs[0].run_id
    fail(store, run, "memory", "too large")
    with claim_run(store, run, "a" * 16, "eva@north"):
        found = run_states(store, plan)[0]
    assert (found.state, found.attempts, found.reason) == ("running", 2, None)


def test_a_reader_who_started_nothing_learns_what_each_state_means(
    store: Store, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail(store, plan.runs[0].run_id, "memory", "CUDA out of memory")
    with pytest.raises(KeyboardInterrupt), claim_run(store, plan.runs[1].run_id, "a" * 16, "eva@north"):
        raise KeyboardInterrupt
    said = io.StringIO()
    monkeypatch.setattr(status_output, "console", Console(file=said, width=400))
    show_status("drawn", run_states(store, plan), [])
    assert "failed (memory): CUDA out of memory" in said.getvalue()
    assert "interrupted: its process ended" in said.getvalue()
    assert "no run is being executed, and no sweep waits" in said.getvalue()


def told(store: Store, plan: Plan, monkeypatch: pytest.MonkeyPatch) -> str:
    """What `lesionlab status` prints."""
    said = io.StringIO()
    monkeypatch.setattr(status_output, "console", Console(file=said, width=400))
    show_status(plan.spec.name, run_states(store, plan), sweep_states(store, plan.spec.name))
    return said.getvalue()


def test_a_reader_learns_that_a_sweep_waits_since_when_and_for_what_and_when_it_is_gone(
    store: Store, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(active_sweeps, "BEAT_S", 0.02)
    with announced(store, plan.spec.name, "a" * 16, 5) as announcement, announced(store, "another", "b" * 16, 2):
        announcement.update(waiting="2 GPUs a run, 1 there", waiting_s=190.0)
        deadline = time.monotonic() + 20
        while not (found := sweep_states(store, plan.spec.name)) or not found[0].sweep.waiting:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        (state,) = found
        assert (state.alive, state.sweep.left, round(state.waiting_s)) == (True, 5, 190)
        said = told(store, plan, monkeypatch)
        assert "5 left; waits (3:10 so far): 2 GPUs a run, 1 there" in said
        assert "to go on" not in said
        left = state.sweep
    assert sweep_states(store, plan.spec.name) == []
    assert "no sweep waits" in told(store, plan, monkeypatch)

    key = keys.ACTIVE_SWEEP.build(experiment=plan.spec.name, submission="a" * 16)
    write_document(store, key, left)  # as a sweep that was killed leaves it
    monkeypatch.setattr(status, "STALE_S", -1.0)
    said = told(store, plan, monkeypatch)
    assert "is gone: not heard of for 0:00 while it waited: 2 GPUs a run, 1 there" in said
    assert "to go on" in said
    store.put(key, b"{")
    assert sweep_states(store, plan.spec.name) == []


def test_a_store_that_does_not_answer_keeps_no_sweep_from_its_end(store: Store, plan: Plan) -> None:
    def silent(*_: object, **__: object) -> None:
        raise StoreUnreachable("no answer")

    began = time.monotonic()
    with announced(store, plan.spec.name, "a" * 16, 1), pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(store), "put", silent)
        patch.setattr(type(store), "delete", silent)
        time.sleep(0.1)
    assert time.monotonic() - began < 5


def test_a_damaged_reason_of_a_failure_or_one_that_has_just_gone_hides_nothing_else(
    store: Store, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    damaged, gone, begun, bare = (run.run_id for run in plan.runs[:4])
    for run in (damaged, gone):
        fail(store, run, "memory", "too large")
    with claim_run(store, begun, "a" * 16, "eva@north"):
        for run in (damaged, begun, bare):
            store.put(keys.FAILURE.build(run_id=run), b"{")
        read = status.read_document

        def begins_meanwhile(at: Store, key: str, model: type[Failure]) -> Failure:
            if gone in key:
                at.delete(key)
            return read(at, key, model)

        monkeypatch.setattr(status, "read_document", begins_meanwhile)
        states = run_states(store, plan)
    assert [run.state for run in states[:4]] == ["failed", "interrupted", "running", "failed"]
    assert states[0].reason is not None
    assert "why cannot be read" in states[0].reason
    assert states[0].holder == "eva@north"


def test_every_state_is_counted() -> None:
    states = [RunState("0" * 16, "a cell", "done"), RunState("1" * 16, "another", "done")]
    assert counts(states) == {"done": 2, "running": 0, "interrupted": 0, "failed": 0, "to do": 0}
    assert leases.STALE_S > 3 * leases.BEAT_S


def test_a_run_that_was_given_up_because_its_workers_were_lost_is_failed_at_once(store: Store, plan: Plan) -> None:
    run = plan.runs[0].run_id
    claim_run(store, run, "a" * 16, "eva@north")  # its process was killed, and gave nothing up
    record_end(store, run, "a" * 16, "lost", "its workers were lost 3 times")
    (state,) = [state for state in run_states(store, plan) if state.run_id == run]
    assert (state.state, state.reason) == ("failed", "its workers were lost 3 times")
