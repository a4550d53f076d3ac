"""Requests that a storage does not answer are repeated, for a limited time and without being done twice."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lesionlab.errors import AccessDenied, Conflict, ObjectExists, StoreError, StoreUnreachable
from lesionlab.store.arrays import read_array, write_group
from lesionlab.store.documents import move_pointer, read_pointer
from lesionlab.store.objects import Store, open_store
from lesionlab.store.patience import LONGEST_PAUSE_S, VARIABLE, Patience, declared_patience
from tests.faulty_s3 import FAULTS, Fault, FaultyProxy, conditional_writes, first, mixture, no_fault
from tests.s3_server import S3Server
from tests.store.contract import GROUP, brain


@pytest.fixture
def proxy(faulty_s3: FaultyProxy) -> FaultyProxy:
    return faulty_s3


@pytest.fixture
def store(proxy: FaultyProxy, s3_store_uri: str) -> Store:
    """A store behind the proxy whose pauses are a tenth as long."""
    store = open_store(s3_store_uri)
    store.patience = Patience(sleep=lambda seconds: time.sleep(seconds / 10))
    return store


OPERATIONS: dict[str, Callable[[Store], object]] = {
    "get": lambda store: store.get("a.json"),
    "put": lambda store: store.put("a.json", b"1"),
    "create": lambda store: store.create("new.json", b"1"),
    "replace": lambda store: store.replace("a.json", b"2", store.get_tagged("a.json").tag),
    "list": lambda store: store.list(""),
    "exists": lambda store: store.exists("a.json"),
    "delete": lambda store: store.delete("a.json"),
}


@pytest.mark.s3
@pytest.mark.parametrize("fault", FAULTS)
def test_every_operation_survives_every_fault(store: Store, proxy: FaultyProxy, fault: Fault) -> None:
    for number, (name, operation) in enumerate(OPERATIONS.items()):
        store.put("a.json", b"1")
        store.delete("new.json")
        proxy.rule = first(2, fault)
        operation(store)
        assert proxy.seen[fault] >= 2 * number, name


@pytest.mark.s3
def test_a_conditional_write_whose_answer_is_lost_has_succeeded_once(store: Store, proxy: FaultyProxy) -> None:
    proxy.rule = first(1, "lost-answer", conditional_writes)
    tag = store.create("ledger/1.json", b"mine")
    assert tag == store.get_tagged("ledger/1.json").tag
    proxy.rule = first(1, "lost-answer", conditional_writes)
    tag = store.replace("ledger/1.json", b"mine, renewed", tag)
    assert store.get_tagged("ledger/1.json").data == b"mine, renewed"
    assert tag == store.get_tagged("ledger/1.json").tag


@pytest.mark.s3
def test_another_writers_object_is_not_taken_for_ones_own(store: Store, proxy: FaultyProxy) -> None:
    tag = store.create("lease.json", b"theirs")
    store.put("lease.json", b"theirs, renewed")
    for fault in ("reset", "lost-answer"):
        proxy.rule = first(1, fault, conditional_writes)
        with pytest.raises(ObjectExists):
            store.create("lease.json", b"mine")
        proxy.rule = first(1, fault, conditional_writes)
        with pytest.raises(Conflict):
            store.replace("lease.json", b"mine", tag)
    assert store.get("lease.json") == b"theirs, renewed"


@pytest.mark.s3
def test_a_storage_with_many_faults_loses_and_doubles_nothing(store: Store, proxy: FaultyProxy) -> None:
    proxy.rule = mixture(seed=1, slow_down=0.1, reset=0.05, lost_answer=0.1, truncated=0.05)
    for number in range(15):
        store.create(f"ledger/{number:02}.json", str(number).encode())
        move_pointer(store, "current.json", f"{number:016x}")
        assert read_pointer(store, "current.json") == f"{number:016x}"
    write_group(store, GROUP, brain(), {})
    assert read_array(store, GROUP, "image").tobytes() == brain()["image"].tobytes()
    assert len(store.list("ledger/")) == 15
    assert all(proxy.seen[fault] for fault in FAULTS)


@pytest.mark.s3
def test_an_outage_is_waited_out(store: Store, proxy: FaultyProxy) -> None:
    """Two seconds in place of twenty, with pauses a tenth as long."""
    store.put("a.json", b"1")
    with proxy.outage():
        threading.Timer(2.0, lambda: setattr(proxy, "rule", no_fault)).start()
        began = time.monotonic()
        assert store.get("a.json") == b"1"
    assert 1.9 < time.monotonic() - began < 6


@pytest.mark.s3
def test_the_time_for_repetition_is_limited(store: Store, proxy: FaultyProxy) -> None:
    store.patience = Patience(0.5)
    with proxy.outage(), pytest.raises(StoreUnreachable, match=rf"no answer from .* \(tried for [01] s; {VARIABLE}"):
        store.put("a.json", b"1")


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now_s, self.pauses_s = 0.0, list[float]()

    def __call__(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds
        self.pauses_s.append(seconds)


def unanswered(again: bool) -> None:
    raise StoreUnreachable("no answer")


@pytest.mark.parametrize("chance", [0.0, 0.5, 0.999])
def test_pauses_grow_up_to_a_limit_and_end_with_the_budget(chance: float) -> None:
    clock = Clock()
    with pytest.raises(StoreUnreachable, match="tried for"):
        Patience(300, clock, clock.sleep, lambda: chance).insist(unanswered)
    assert clock.pauses_s == sorted(clock.pauses_s)
    assert clock.pauses_s[0] < 0.2
    assert LONGEST_PAUSE_S / 2 <= clock.pauses_s[-1] <= LONGEST_PAUSE_S
    assert 300 - LONGEST_PAUSE_S < clock.now_s <= 300


def test_an_error_that_is_an_answer_is_not_repeated() -> None:
    calls = []

    def refused(again: bool) -> None:
        calls.append(again)
        raise AccessDenied("no")

    with pytest.raises(AccessDenied):
        Patience().insist(refused)
    assert calls == [False]


def test_the_budget_is_declared_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert declared_patience().budget_s == 300
    monkeypatch.setenv(VARIABLE, "45")
    assert open_store("memory://").patience.budget_s == 45
    for wrong in ("soon", "-1", "inf", "nan"):
        monkeypatch.setenv(VARIABLE, wrong)
        with pytest.raises(StoreError, match=rf"{VARIABLE}: wanted a number of seconds.* found '{wrong}'"):
            open_store("memory://")


@pytest.mark.s3
def test_renewed_credentials_are_used_without_opening_the_store_again(
    s3_store_uri: str, s3_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    file = tmp_path / "credentials"
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    file.write_text("[default]\naws_access_key_id = expired\naws_secret_access_key = expired\n")
    store = open_store(s3_store_uri)
    with pytest.raises(AccessDenied, match="refuses access"):
        store.put("a.json", b"1")
    file.write_text(
        f"[default]\naws_access_key_id = {s3_server.access_key}\naws_secret_access_key = {s3_server.secret_key}\n"
    )
    store.put("a.json", b"1")
    assert store.get("a.json") == b"1"
