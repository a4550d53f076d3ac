"""Functions that other processes run in the contract tests, with only the store's URI; quick to import."""

from __future__ import annotations

import time

from lesionlab.errors import Conflict, ObjectExists
from lesionlab.store.objects import Store, open_store

COUNTER = "counter.txt"


def get(uri: str, key: str) -> bytes:
    """The object's bytes."""
    return open_store(uri).get(key)


def count_up_at(uri: str, times: int, name: int, processes: int) -> None:
    """As `count_up`, once all processes have started."""
    store = open_store(uri)
    meet(store, name, processes)
    count_up(store, times)


def meet(store: Store, name: int, processes: int) -> None:
    """Wait until all processes have started, so that they really run concurrently."""
    store.put(f"present/{name}.txt", b"")
    deadline = time.monotonic() + 30
    while len(store.list("present/")) < processes:
        if time.monotonic() > deadline:
            raise TimeoutError("the other processes did not start")
        time.sleep(0.005)


def count_up(store: Store, times: int) -> None:
    """Increment the counter `times` times by conditional replacement; retry if another writer was faster."""
    for _ in range(times):
        while True:
            before = store.get_tagged(COUNTER)
            try:
                store.replace(COUNTER, str(int(before.data) + 1).encode(), before.tag)
            except Conflict:
                continue
            break


def created(uri: str, name: int, processes: int) -> list[bool]:
    """For each of twenty keys, whether this process created it."""
    store, won = open_store(uri), []
    meet(store, name, processes)
    for round_ in range(20):
        try:
            store.create(f"ledger/{round_}.json", str(name).encode())
            won.append(True)
        except ObjectExists:
            won.append(False)
    return won
