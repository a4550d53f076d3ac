"""Entries of many writers in; chains without a gap out, in which whatever was changed, removed or inserted is told."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lesionlab.errors import AccessDenied
from lesionlab.experiments.audit import append, chain, chains, concerns, merged
from lesionlab.store.objects import Store, open_store
from tests.experiments.drawn import append_entry


@pytest.fixture
def store() -> Store:
    """A chain of five entries."""
    place = open_store("memory://")
    for number in range(5):
        append_entry(place, number)
    return place


def keys_of(store: Store) -> list[str]:
    return store.list("audit/trainer/")


def test_fifty_writers_at_once_leave_one_chain_without_a_gap(tmp_path: Path) -> None:
    store = open_store(tmp_path.as_uri())
    with ThreadPoolExecutor(50) as pool:
        list(pool.map(lambda number: append_entry(store, number), range(50)))
    found = chain(store, "trainer")
    assert found.faults == ()
    assert [entry.number for entry in found.entries] == list(range(1, 51))
    assert sorted(entry.action for entry in found.entries) == [f"{number:016x}" for number in range(50)]


def test_any_changed_byte_of_any_entry_is_told(store: Store) -> None:
    for place, key in enumerate(keys_of(store)):
        whole = store.get(key)
        for at in range(place, len(whole), 37):
            store.put(key, whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
            faults = chain(store, "trainer").faults
            last = key == keys_of(store)[-1]
            assert any(key in fault for fault in faults) or (not last and faults), f"byte {at} of {key}"
        store.put(key, whole)
    assert chain(store, "trainer").faults == ()


def removed(store: Store) -> None:
    store.delete(keys_of(store)[2])


def exchanged(store: Store) -> None:
    first, second = keys_of(store)[1:3]
    own, other = store.get(first), store.get(second)
    store.put(first, other)
    store.put(second, own)


def rewritten(store: Store) -> None:
    """By somebody who makes a valid entry: only the chain tells it."""
    other = open_store("memory://")
    for number in (0, 1, 77, 3, 4):
        append_entry(other, number)
    key = keys_of(store)[2]
    store.put(key, other.get(key))


def of_another_writer(store: Store) -> None:
    append_entry(store, 0, "analyst")
    store.put(keys_of(store)[0], store.get("audit/analyst/00000001.json"))


@pytest.mark.parametrize("meddle", [removed, exchanged, rewritten, of_another_writer], ids=lambda f: f.__name__)
def test_what_was_removed_exchanged_rewritten_or_brought_in_is_told(
    store: Store, meddle: Callable[[Store], None]
) -> None:
    meddle(store)
    assert chain(store, "trainer").faults


def test_that_the_newest_is_gone_the_head_tells(store: Store) -> None:
    before = chain(store, "trainer").head
    store.delete(keys_of(store)[-1])
    after = chain(store, "trainer")
    assert after.faults == ()
    assert after.head != before


def test_chains_are_read_together_and_by_site(store: Store) -> None:
    append_entry(store, 9, "analyst")
    found = chains(store)
    assert [one.writer for one in found] == ["analyst", "trainer"]
    assert len(merged(found)) == 6
    assert concerns(merged(found)[0], "north")
    assert not concerns(merged(found)[0], "south")


def test_who_may_write_no_chain_does_nothing_unrecorded(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> str:
        raise AccessDenied("no")

    monkeypatch.setattr(store, "create", refuse)
    with pytest.raises(AccessDenied, match=r"chains trainer, steward.*lesionlab storage policies"):
        append(store, ["trainer", "steward"], lambda writer, place: chain(store, "trainer").entries[0])
