"""Show in the store that a command executes an experiment's runs, and what it waits for, while it does so.

A claim is on a run, so a sweep that waits for nodes has none. Nothing is decided by this object: it is for whoever
reads `lesionlab status` without having started the sweep.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from copy import copy
from datetime import UTC, datetime

from lesionlab.errors import StoreError
from lesionlab.experiments.leases import BEAT_S, this_user
from lesionlab.store.documents import write_document
from lesionlab.store.objects import Store
from lesionlab.store.patience import Patience
from storage_schemas import keys
from storage_schemas.base import Digest, Slug
from storage_schemas.leases import ActiveSweep


class Announcement:
    """What others read of a sweep; `update` changes what the next renewal writes."""

    def __init__(self, sweep: ActiveSweep) -> None:
        self.sweep = sweep

    def update(self, **changes: object) -> None:
        """Change fields of the document."""
        self.sweep = self.sweep.model_copy(update=changes)


@contextmanager
def announced(store: Store, experiment: Slug, submission: Digest, left: int) -> Iterator[Announcement]:
    """Write the sweep's document now and every BEAT_S, and remove it at the end; a killed sweep leaves it.

    `left`: the runs that it begins with.
    """
    announcement = Announcement(
        ActiveSweep(
            experiment=experiment,
            submission=submission,
            holder=this_user(),
            since=datetime.now(UTC).isoformat(timespec="seconds"),
            left=left,
        )
    )
    key, ended = keys.ACTIVE_SWEEP.build(experiment=experiment, submission=submission), threading.Event()
    impatient = copy(store)
    impatient.patience = Patience(0)  # the next renewal is the next try, and no outage delays the end

    def renew() -> None:
        while True:
            with suppress(Exception):  # whatever it was, the next renewal may succeed
                write_document(impatient, key, announcement.sweep)
            if ended.wait(BEAT_S):
                return

    thread = threading.Thread(target=renew, daemon=True, name="announcement")
    thread.start()
    try:
        yield announcement
    finally:
        ended.set()
        thread.join()
        with suppress(StoreError):
            impatient.delete(key)
