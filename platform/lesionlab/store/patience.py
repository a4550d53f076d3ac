"""Repeat a request that the storage did not answer: with growing, jittered pauses, for a limited time."""

from __future__ import annotations

import logging
import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from lesionlab.errors import StoreError, StoreUnreachable

T = TypeVar("T")

VARIABLE = "LESIONLAB_STORE_PATIENCE"
"""Environment variable with the seconds for which a request is repeated."""

DEFAULT_S = 300.0
"""A server restart or a failover takes one to three minutes; five cover it."""

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 10.0
QUIET_S = 5.0
"""An outage that lasts for less is not logged."""

UNANSWERED: list[Callable[[], None]] = []
"""Called for each request that the storage did not answer."""

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Patience:
    """How long a request is repeated that gets no answer, an error of the server, or `slow down`."""

    budget_s: float = DEFAULT_S
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    chance: Callable[[], float] = random.random
    """Draws from [0, 1): many clients that were turned away together must not come back together."""

    def insist(self, ask: Callable[[bool], T]) -> T:
        """Return `ask(again)`; repeat it while it raises StoreUnreachable, until the budget is spent.

        `again` says that an earlier request was not answered: what it asked for may have been done all the same.
        """
        began, pause_s, told = self.clock(), FIRST_PAUSE_S, False
        again = False
        while True:
            try:
                return ask(again)
            except StoreUnreachable as error:
                for tell in UNANSWERED:
                    tell()
                waited_s, next_s = self.clock() - began, pause_s * (1 + self.chance()) / 2
                if waited_s + next_s > self.budget_s:
                    if not again:
                        raise
                    raise StoreUnreachable(f"{error} (tried for {waited_s:.0f} s; {VARIABLE} changes this)") from error
                if waited_s > QUIET_S and not told:
                    _LOG.warning("%s; trying again for up to %g s", error, self.budget_s)
                    told = True
            again = True
            self.sleep(next_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)


def declared_patience() -> Patience:
    """The patience of stores in this process: LESIONLAB_STORE_PATIENCE in seconds, or DEFAULT_S.

    Raises StoreError if the variable is no number of seconds.
    """
    text = os.environ.get(VARIABLE, "").strip()
    if not text:
        return Patience()
    try:
        budget_s = float(text)
        if not 0 <= budget_s < float("inf"):
            raise ValueError
    except ValueError:
        raise StoreError(f"{VARIABLE}: wanted a number of seconds, such as 300; found {text!r}") from None
    return Patience(budget_s)
