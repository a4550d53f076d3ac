"""Try on a store everything that the platform relies on; leave nothing behind. For any S3, and for folders."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import obstore

from lesionlab.errors import Conflict, LesionlabError, MissingObject, ObjectExists
from lesionlab.store.base import Store

FOLDER = "clock"
"""Where the trial objects lie; `gc` knows it."""

MULTIPART_BYTES = 6 * 2**20
"""More than S3's smallest part (5 MiB)."""

MOST_DRIFT = timedelta(seconds=30)
"""Largest difference between the store's clock and this machine's: leases of 60 s use the store's clock."""


@dataclass(frozen=True)
class Conformance:
    """One thing that was tried."""

    what: str
    holds: bool
    why: str = ""
    """What was found, if it does not hold."""


def conformance(store: Store) -> Iterator[Conformance]:
    """The outcome of each trial. Raises StoreError if the store cannot be used at all."""
    store.check(f"{FOLDER}/")
    key = f"{FOLDER}/{secrets.token_hex(8)}"
    try:
        for what, trial in TRIALS.items():
            try:
                why = trial(store, key)
            except LesionlabError as error:
                why = str(error)
            except Exception as error:
                why = f"{type(error).__name__}: {error}".partition("\n")[0][:300]
            yield Conformance(what, not why, why)
            store.delete(key)
    finally:
        store.delete(key)


def _read_back(store: Store, key: str) -> str:
    store.put(key, b"first")
    store.put(key, b"second")
    found = store.get(key)
    return "" if found == b"second" and key in store.list(f"{FOLDER}/") else f"read {found!r} after writing b'second'"


def _range(store: Store, key: str) -> str:
    store.put(key, b"0123456789")
    found = obstore.get_range(store.objects, key, start=2, end=5).to_bytes()
    return "" if found == b"234" else f"wanted b'234', found {found!r}"


def _suffix(store: Store, key: str) -> str:
    store.put(key, b"0123456789")
    found = obstore.get(store.objects, key, options={"range": {"suffix": 3}}).bytes().to_bytes()
    return "" if found == b"789" else f"wanted b'789', found {found!r}"


def _create_once(store: Store, key: str) -> str:
    store.create(key, b"first")
    try:
        store.create(key, b"second")
    except ObjectExists:
        return "" if store.get(key) == b"first" else "refused, and written all the same"
    return "an existing object was written over: two writers would both believe that they are the first"


def _swap(store: Store, key: str) -> str:
    tag = store.create(key, b"first")
    newer = store.replace(key, b"second", tag)
    try:
        store.replace(key, b"third", tag)
    except Conflict:
        return "" if store.get_tagged(key).tag == newer else "the tag of an object is not the one that writing it gave"
    return "an object that had changed was written over: a pointer's move would be lost"


def _multipart(store: Store, key: str) -> str:
    data = secrets.token_bytes(1024) * (MULTIPART_BYTES // 1024)
    obstore.put(store.objects, key, data, use_multipart=True, chunk_size=5 * 2**20)
    return "" if store.get(key) == data else "other bytes came back"


def _delete(store: Store, key: str) -> str:
    store.put(key, b"x")
    store.delete(key)
    try:
        store.get(key)
    except MissingObject:
        return ""
    return "a deleted object was read"


def _clock(store: Store, key: str) -> str:
    drift = abs(store.now() - datetime.now(UTC))
    return "" if drift <= MOST_DRIFT else f"the store's clock is {drift.total_seconds():.0f} s from this machine's"


TRIALS: dict[str, Callable[[Store, str], str]] = {
    "what was written last is read and listed": _read_back,
    "ranges of an object": _range,
    "the last bytes of an object": _suffix,
    "put-if-absent": _create_once,
    "compare-and-swap": _swap,
    "multipart uploads": _multipart,
    "deletion": _delete,
    "clock": _clock,
}
