"""A dry run reads the real store and its own writes, and leaves the real store as it was."""

from __future__ import annotations

import pytest

from lesionlab.errors import Conflict, MissingObject, ObjectExists
from lesionlab.store.dry_run import DryRun
from lesionlab.store.objects import Store, open_store


@pytest.fixture
def real() -> Store:
    store = open_store("memory://")
    store.put("a/1", b"one")
    store.put("a/b/2", b"two")
    return store


def contents(store: Store) -> dict[str, bytes]:
    return {key: store.get(key) for key in store.list("")}


def test_what_is_written_is_read_and_listed_among_what_is_there_and_the_store_is_unchanged(real: Store) -> None:
    before, dry = contents(real), DryRun(real)
    dry.put("a/1", b"other")
    dry.create("a/c/3", b"three")
    assert contents(dry) == {"a/1": b"other", "a/b/2": b"two", "a/c/3": b"three"}
    assert dry.folders("a/") == ["a/b/", "a/c/"]
    assert dry.folders("") == ["a/"]
    assert dry.list("a/c") == ["a/c/3"]
    assert (dry.exists("a/c/3"), dry.exists("a/c")) == (True, False)
    assert dry.now() is not None
    assert contents(real) == before


def test_conditions_are_those_of_a_store(real: Store) -> None:
    dry = DryRun(real)
    with pytest.raises(ObjectExists):
        dry.create("a/1", b"again")
    old = dry.get_tagged("a/1").tag
    new = dry.replace("a/1", b"newer", old)
    with pytest.raises(Conflict):
        dry.replace("a/1", b"newest", old)
    dry.replace("a/1", b"newest", new)
    with pytest.raises(MissingObject):
        dry.get("a/9")
    with pytest.raises(ValueError, match="plain names"):
        dry.put("../a", b"")
    assert real.get("a/1") == b"one"


def test_it_removes_only_what_it_wrote(real: Store) -> None:
    dry = DryRun(real)
    dry.put("a/9", b"nine")
    dry.delete("a/9")
    dry.delete("a/9")
    with pytest.raises(ValueError, match="a/1: a dry run removes nothing"):
        dry.delete("a/1")
    assert contents(dry) == contents(real) == {"a/1": b"one", "a/b/2": b"two"}
