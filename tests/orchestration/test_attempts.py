"""A run that others complete or take over is not executed again, and what their end breaks is no failure of the run."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from lesionlab.errors import MissingObject, RunHeld, StoreError
from lesionlab.experiments import leases
from lesionlab.experiments.leases import Claim, claim_run
from lesionlab.experiments.ledger import close_run
from lesionlab.orchestration import attempts
from lesionlab.orchestration.attempts import Attempt, claimed
from lesionlab.store.objects import Store, open_store
from lesionlab.training.loop import SoloWorker
from storage_schemas import keys
from tests.experiments.drawn import ledger_entry

RUN, OURS, THEIRS = "0123456789abcdef", "a" * 16, "b" * 16
CPU = SoloWorker(torch.device("cpu"))
FAILURE, LEASE = keys.FAILURE.build(run_id=RUN), keys.LEASE.build(run_id=RUN)


@pytest.fixture
def store() -> Store:
    return open_store("memory://")


def attempted(store: Store, execute: Callable[[Attempt], None]) -> None:
    with claimed(CPU, RUN, store, submission=OURS, holder="eva@north") as attempt:
        assert attempt is not None
        execute(attempt)


def test_a_run_that_is_completed_between_the_question_and_the_claim_is_not_executed(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def late(store: Store, run_id: str, submission: str, holder: str) -> Claim:
        close_run(store, ledger_entry(run_id))
        return claim_run(store, run_id, submission, holder)

    monkeypatch.setattr(attempts, "claim_run", late)
    with claimed(CPU, RUN, store, submission=OURS, holder="eva@north") as attempt:
        assert attempt is None
    assert not store.exists(LEASE)


def test_an_error_after_another_attempt_completed_the_run_is_no_failure(store: Store) -> None:
    def executed(attempt: Attempt) -> None:
        close_run(store, ledger_entry(RUN))
        raise MissingObject("a checkpoint that the other attempt removed")

    with pytest.raises(RunHeld, match="completed meanwhile"):
        attempted(store, executed)
    assert not store.exists(FAILURE)


def test_an_error_after_another_submission_took_the_run_over_is_no_failure(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = []

    def executed(attempt: Attempt) -> None:
        monkeypatch.setattr(leases, "STALE_S", -1.0)
        theirs.append(claim_run(store, RUN, THEIRS, "ola@south").attempt)
        assert attempt.claim is not None
        with pytest.raises(RunHeld, match="taken over by another submission"):
            attempt.claim.progress({"epoch": 1, "step": 1, "steps": 2, "loss": 0.1})
        raise StoreError("an object that the other submission removed")

    with pytest.raises(RunHeld, match="taken over or completed"):
        attempted(store, executed)
    found = leases.stored_lease(store, RUN)
    assert found is not None
    assert found[0].attempt == theirs[0]
    assert not store.exists(FAILURE)


def test_any_other_error_is_a_failure(store: Store) -> None:
    def executed(attempt: Attempt) -> None:
        raise StoreError("the disk is too full")

    with pytest.raises(StoreError, match="too full"):
        attempted(store, executed)
    assert store.exists(FAILURE)
