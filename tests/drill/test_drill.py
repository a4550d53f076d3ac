"""The faults of the drill that need no cluster; `make drill` injects all of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.drill import plain
from tests.drill.stage import Stage, Told
from tests.drill.table import Outcome, page
from tests.faulty_s3 import FaultyProxy
from tests.s3_server import S3Server


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory, s3_server: S3Server) -> Iterator[Stage]:
    with FaultyProxy(s3_server.endpoint) as proxy:
        stage = Stage(tmp_path_factory.mktemp("drill"), s3_server, proxy, epochs=1)
        stage.prepare()
        yield stage


def faults(outcomes: Iterator[Outcome]) -> list[str]:
    """The outcomes that are neither identical results nor a clear refusal."""
    return [outcome.row() for outcome in outcomes if outcome.end == "FAULT"]


@pytest.mark.slow
def test_requests_that_fail_change_no_result(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    rates = {"slow_down": 0.1, "reset": 0.05, "lost_answer": 0.05, "truncated": 0.05}
    monkeypatch.setattr(plain, "REQUESTS", {"all at once": rates})
    outcomes = list(plain.requests_fail(stage, 1))
    assert [outcome.end for outcome in outcomes] == ["identical results"], outcomes


@pytest.mark.slow
def test_a_changed_byte_in_a_volume_is_named(stage: Stage) -> None:
    (outcome,) = plain.objects_rot(stage, 1, ["image/c/"])
    assert outcome.end == "clear refusal", outcome


@pytest.mark.slow
def test_credentials_that_may_not_write_and_a_full_cache_are_refused(stage: Stage) -> None:
    assert not faults(plain.permission_is_removed(stage, 1))
    assert not faults(plain.cache_is_full(stage, 1))


@pytest.mark.slow
def test_missing_results_tracebacks_and_refusals_that_do_not_name_the_object_are_faults(stage: Stage) -> None:
    store = stage.store("undone", {key: data for key, data in stage.after.items() if not key.startswith("ledger/")})
    assert stage.end(store, Told(0, "done")) == "FAULT"
    assert stage.end(store, Told(1, "Traceback: KeyError")) == "FAULT"
    assert stage.end(store, Told(137, "cells: 0/5 done")) == "FAULT"
    assert stage.end(store, Told(1, "error: something is damaged"), named="part.parquet") == "FAULT"
    assert stage.end(store, Told(1, "error: part.parquet is damaged"), named="part.parquet") == "clear refusal"


def test_the_page_has_a_row_for_each_outcome() -> None:
    outcome = Outcome("kill | all", "nothing\nelse", "FAULT", 3.4, 1.6)
    text = page([outcome], seed=7, limits="")
    assert "| kill ¦ all | nothing else | 2 | 3 | FAULT |" in text
    assert ", seed 7; " in text
