"""Each look takes a numbered ticket; the benchmark allows no more than the rule said, whoever looks."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from lesionlab.errors import InputError, StoreError
from lesionlab.experiments.champions import Person
from lesionlab.experiments.tickets import take_ticket, tickets
from lesionlab.store.objects import Store, open_store
from storage_schemas import keys
from storage_schemas.benchmarks import Ticket
from storage_schemas.rules import Rule
from tests.experiments.test_champions import card_of

ANN = Person("ann@north", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
BENCH, CHAMPION = "b" * 16, "c" * 16


def rule(**changes: object) -> Rule:
    condition = {"kind": "superior", "metric": "ppv"}
    fields: dict[str, object] = {"model": "ms", "benchmark": BENCH, "conditions": [condition]}
    return Rule.named(**fields | changes)


def take(store: Store, number: int, by: Rule | None = None, champion: str = CHAMPION) -> Ticket:
    return take_ticket(store, by or rule(), card_of(f"{number:016x}"), champion, ANN)


@pytest.fixture
def store() -> Store:
    return open_store("memory://")


def test_thirty_candidates_get_as_many_looks_as_the_rule_allows(store: Store) -> None:
    def attempt(number: int) -> int | None:
        try:
            return take(store, number).number
        except InputError as refused:
            assert "no look is left: 3 were taken and spent 0.05 of the 0.05" in str(refused)  # noqa: PT017
            return None

    with ThreadPoolExecutor(8) as pool:
        taken = [number for number in pool.map(attempt, range(30)) if number]
    assert sorted(taken) == [1, 2, 3]
    assert [ticket.number for ticket in tickets(store, BENCH)] == [1, 2, 3]


def test_the_same_candidate_reads_its_ticket_and_spends_nothing(store: Store) -> None:
    first = take(store, 1)
    later = Person("bob@south", datetime(2027, 1, 1, tzinfo=UTC))
    assert take_ticket(store, rule(), card_of(f"{1:016x}"), CHAMPION, later) == first
    assert len(tickets(store, BENCH)) == 1


@pytest.mark.parametrize("other", ["champion", "rule"])
def test_another_comparison_of_the_same_candidate_is_another_look(store: Store, other: str) -> None:
    take(store, 1)
    if other == "champion":
        take(store, 1, champion="d" * 16)
    else:
        take(store, 1, rule(undefined="exclude"))
    assert [ticket.number for ticket in tickets(store, BENCH)] == [1, 2]


def test_a_new_rule_buys_no_new_looks(store: Store) -> None:
    for number in range(3):
        take(store, number)
    with pytest.raises(InputError, match="no look is left"):
        take(store, 9, rule(looks=100))


def test_a_look_that_would_spend_more_than_is_left_is_refused(store: Store) -> None:
    take(store, 1)
    with pytest.raises(InputError, match="no look is left: 1 were taken"):
        take(store, 2, rule(looks=1))
    assert len(tickets(store, BENCH)) == 1


def test_a_missing_ticket_is_no_free_look(store: Store) -> None:
    for number in range(2):
        take(store, number)
    store.delete(keys.TICKET.build(benchmark=BENCH, number="0001"))
    with pytest.raises(StoreError, match="wanted tickets without a gap, found 2"):
        take(store, 9)


def test_a_ticket_that_exists_and_is_not_listed_is_refused_and_not_waited_for(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    take(store, 1)
    monkeypatch.setattr(store, "list", lambda prefix: [])
    with pytest.raises(StoreError, match=f"benchmark {BENCH}: ticket 1 exists and is not listed"):
        take(store, 9)
