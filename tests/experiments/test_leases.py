"""One run has one payer: a claim is exclusive while it is renewed, and void once it is not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from lesionlab.errors import RunHeld, StoreError
from lesionlab.experiments import leases
from lesionlab.experiments.leases import Claim, claim_run, is_free
from lesionlab.store import base
from lesionlab.store.documents import read_document
from lesionlab.store.objects import Store, Tagged, open_store
from storage_schemas import keys
from storage_schemas.leases import Lease
from tests.faulty_s3 import FaultyProxy

RUN = "0123456789abcdef"
OURS, THEIRS = "a" * 16, "b" * 16


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store((tmp_path / "store").as_uri())


def stored(store: Store) -> Lease:
    return read_document(store, keys.LEASE.build(run_id=RUN), Lease)


def test_a_claimed_run_is_held_for_others_and_its_own_submission_may_start_it_anew(store: Store) -> None:
    with claim_run(store, RUN, OURS, "eva@north") as first:
        assert not is_free(store, RUN, THEIRS)
        with pytest.raises(RunHeld, match="executed by eva@north"):
            claim_run(store, RUN, THEIRS, "ola@south")
        again = claim_run(store, RUN, OURS, "eva@north")
        assert (first.number, again.number) == (1, 2)
        assert first.attempt != again.attempt


def test_a_run_is_free_after_success_and_after_failure_and_starts_are_counted_over_failures(store: Store) -> None:
    with claim_run(store, RUN, OURS, "eva@north"):
        pass
    assert not store.exists(keys.LEASE.build(run_id=RUN))
    with pytest.raises(KeyError), claim_run(store, RUN, OURS, "eva@north"):
        raise KeyError
    assert stored(store).released
    assert claim_run(store, RUN, THEIRS, "ola@south").number == 2


def test_of_many_that_claim_at_once_one_gets_the_run(store: Store) -> None:
    def attempt(number: int) -> Claim | None:
        try:
            return claim_run(open_store(store.uri), RUN, f"{number:016x}", "eva@north")
        except RunHeld:
            return None

    for _ in range(5):
        with ThreadPoolExecutor(8) as pool:
            claims = [claim for claim in pool.map(attempt, range(8)) if claim]
        assert len(claims) == 1
        store.delete(keys.LEASE.build(run_id=RUN))


def test_a_claim_is_renewed_in_the_background_and_shows_the_progress(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "BEAT_S", 0.02)
    with claim_run(store, RUN, OURS, "eva@north") as claim:
        claim.progress({"epoch": 2, "step": 40, "steps": 100, "loss": 0.5, "seconds": 3.0})
        began = stored(store).beat
        deadline = time.monotonic() + 20
        while stored(store).beat < began + 3 and time.monotonic() < deadline:
            time.sleep(0.02)
        now = stored(store)
        assert now.beat >= began + 3
        assert (now.epoch, now.step, now.steps, now.loss) == (2, 40, 100, 0.5)


class OtherClock(Store):
    """A store whose clock says that this much time has passed since each object was written."""

    def __init__(self, store: Store, later: timedelta) -> None:
        super().__init__(store.uri, store.objects)
        self._store, self._later = store, later

    def now(self) -> datetime:
        return self._store.now() + self._later

    def get_tagged(self, key: str) -> Tagged:
        return self._store.get_tagged(key)

    def replace(self, key: str, data: bytes, tag: str) -> str:
        return self._store.replace(key, data, tag)


@pytest.mark.parametrize(("seconds", "free"), [(leases.STALE_S - 10, False), (leases.STALE_S + 10, True)])
def test_a_claim_that_is_not_renewed_becomes_void_by_the_stores_clock(store: Store, seconds: float, free: bool) -> None:
    dead = claim_run(store, RUN, OURS, "eva@north")  # never entered: nothing renews it
    later = OtherClock(store, timedelta(seconds=seconds))
    assert is_free(later, RUN, THEIRS) == free
    if free:
        taken = claim_run(later, RUN, THEIRS, "ola@south")
        assert taken.number == 2
        with pytest.raises(RunHeld, match="taken over by another submission"):
            dead.progress({"epoch": 1, "step": 1, "steps": 2, "loss": 0.1})
        assert dead.lost
        with dead:
            pass  # leaving does not give up the claim of the other
        assert stored(store).attempt == taken.attempt


def test_the_nodes_clock_decides_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    claim_run(store, RUN, OURS, "eva@north")

    class Wrong(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:
            return datetime.now(UTC) + timedelta(minutes=10)

    monkeypatch.setattr(leases, "datetime", Wrong)
    assert not is_free(store, RUN, THEIRS)


class LostAnswers(Store):
    """Conditional writes succeed, and the answer never arrives; a retry finds the tag changed."""

    def __init__(self, store: Store) -> None:
        super().__init__(store.uri, store.objects)
        self._store = store

    def get_tagged(self, key: str) -> Tagged:
        return self._store.get_tagged(key)

    def create(self, key: str, data: bytes) -> str:
        self._store.create(key, data)
        return self._store.create(key, data)

    def replace(self, key: str, data: bytes, tag: str) -> str:
        self._store.replace(key, data, tag)
        return self._store.replace(key, data, tag)


def test_a_lost_answer_of_the_server_loses_no_claim(store: Store) -> None:
    flaky = LostAnswers(store)
    claim = claim_run(flaky, RUN, OURS, "eva@north")
    flaky_replace, tries = flaky.replace, []

    def once(key: str, data: bytes, tag: str) -> str:
        tries.append(key)
        return flaky_replace(key, data, tag) if len(tries) == 1 else store.replace(key, data, tag)

    flaky.replace = once  # type: ignore[method-assign]
    claim.progress({"epoch": 1, "step": 7, "steps": 9, "loss": 0.1})
    assert not claim.lost
    assert stored(store).step == 7


def test_a_store_that_does_not_answer_for_a_while_stops_nothing(store: Store) -> None:
    claim = claim_run(store, RUN, OURS, "eva@north")

    class Down(OtherClock):
        def replace(self, key: str, data: bytes, tag: str) -> str:
            raise StoreError("no answer")

    claim._store = Down(store, timedelta(0))
    claim.progress({"epoch": 1, "step": 1, "steps": 2, "loss": 0.1})
    assert not claim.lost


def test_a_damaged_claim_is_written_again_by_its_holder_and_by_nobody_else(store: Store) -> None:
    claim = claim_run(store, RUN, OURS, "eva@north")
    store.put(keys.LEASE.build(run_id=RUN), b"{")
    with pytest.raises(RunHeld, match="executed by somebody"):
        claim_run(store, RUN, THEIRS, "ola@south")
    claim.progress({"epoch": 1, "step": 7, "steps": 9, "loss": 0.1})
    assert (stored(store).attempt, stored(store).step) == (claim.attempt, 7)


def test_no_error_ends_the_renewals(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "BEAT_S", 0.02)
    written, failed = store.replace, threading.Event()

    def fails_once(key: str, data: bytes, tag: str) -> str:
        if not failed.is_set():
            failed.set()
            raise MemoryError
        return written(key, data, tag)

    monkeypatch.setattr(store, "replace", fails_once)
    with claim_run(store, RUN, OURS, "eva@north"):
        assert failed.wait(20)
        deadline = time.monotonic() + 20
        while stored(store).beat == 0 and time.monotonic() < deadline:
            time.sleep(0.02)
        assert stored(store).beat > 0


HOLDER = """
import sys, time
from lesionlab.experiments.leases import claim_run
from lesionlab.store.objects import open_store
with claim_run(open_store(sys.argv[1]), "0123456789abcdef", "a" * 16, "eva@north"):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_killed_holder_is_overtaken_once_its_claim_is_stale(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "STALE_S", 1.0)
    with subprocess.Popen([sys.executable, "-c", HOLDER, store.uri], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        os.kill(process.pid, signal.SIGKILL)
    killed = time.monotonic()
    while not is_free(store, RUN, THEIRS) and time.monotonic() < killed + 20:
        time.sleep(0.1)
    assert claim_run(store, RUN, THEIRS, "ola@south").number == 2


@pytest.mark.s3
def test_after_an_outage_of_the_store_a_holder_that_lives_keeps_its_run_and_a_dead_one_is_overtaken(
    faulty_s3: FaultyProxy, s3_store_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "BEAT_S", 0.2)
    monkeypatch.setattr(leases, "STALE_S", 2.0)
    monkeypatch.setattr(base, "QUIET_S", 1.0)
    holder, waiter = open_store(s3_store_uri), open_store(s3_store_uri)
    dead = "f" * 16
    claim_run(holder, dead, OURS, "eva@north")  # never entered: nothing renews it
    with claim_run(holder, RUN, OURS, "eva@north") as claim, ThreadPoolExecutor(1) as pool:
        with faulty_s3.outage():
            looks = pool.submit(lambda: [is_free(waiter, run, THEIRS) for run in (dead, RUN)])
            time.sleep(4)
        assert looks.result() == [False, False]
        deadline = time.monotonic() + 20
        while not is_free(waiter, dead, THEIRS) and time.monotonic() < deadline:
            assert not is_free(waiter, RUN, THEIRS)
            time.sleep(0.2)
        assert claim_run(waiter, dead, THEIRS, "ola@south").number == 2
        with pytest.raises(RunHeld):
            claim_run(waiter, RUN, THEIRS, "ola@south")
        assert not claim.lost
