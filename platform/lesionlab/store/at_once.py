"""Make many small requests to a store at once: each waits for its answer, not for the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

REQUESTS_AT_ONCE = 16


def at_once(ask: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """The result of `ask` for each item, in order. Raises the first error; requests that wait are not made then."""
    with ThreadPoolExecutor(REQUESTS_AT_ONCE) as pool:
        try:
            return list(pool.map(ask, items))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
