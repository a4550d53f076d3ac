"""Claim a run, renew the claim while it is executed, and give it up: nobody pays twice for a run.

A claim is a small object that is written by compare-and-swap and renewed every BEAT_S seconds. One that was not renewed
for STALE_S seconds of the store's clock is void, and another submission may take the run over; after an outage of the
store, which stops renewals too, STALE_S after its end. Everything that an attempt writes lies in a folder of its own
and only the ledger entry, which is written once, says which one counts. So a holder that was taken for dead and comes
back changes nothing.
"""

from __future__ import annotations

import getpass
import secrets
import socket
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime

from lesionlab.errors import Conflict, DamagedObject, MissingObject, ObjectExists, RunHeld, StoreError
from lesionlab.experiments.ledger import is_complete
from lesionlab.store.documents import document_bytes, parse_document, write_document
from lesionlab.store.objects import Store, Tagged
from storage_schemas import keys
from storage_schemas.base import Digest, Slug
from storage_schemas.leases import Failure, FailureKind, Lease

BEAT_S = 10.0
"""Interval of renewal."""

STALE_S = 60.0
"""Six renewals in a row must fail before a claim is void."""

UNKNOWN = "000-unknown"
"""The attempt of a claim that cannot be read."""


def this_user() -> str:
    """`user@host`, to say who executes a run."""
    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"
    except (KeyError, OSError):  # a container may run under a user id without a name
        return socket.gethostname()


def new_submission() -> Digest:
    """A new name for one execution of one command."""
    return secrets.token_hex(8)


class Claim:
    """The claim of this process on a run. As a context it is renewed in the background; leaving gives it up."""

    def __init__(self, store: Store, lease: Lease, tag: str) -> None:
        self._store, self._lease, self._tag = store, lease, tag
        self._one_at_a_time = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._renew, daemon=True, name=f"lease-{lease.run_id}")
        self._lost = False

    @property
    def lease(self) -> Lease:
        """As last written."""
        return self._lease

    @property
    def lost(self) -> bool:
        """Whether another submission took the run over."""
        return self._lost

    @property
    def attempt(self) -> Slug:
        return self._lease.attempt

    @property
    def number(self) -> int:
        return self._lease.number

    def __enter__(self) -> Claim:
        self._thread.start()
        return self

    def __exit__(self, failure: object, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        with suppress(StoreError):  # the claim becomes void by itself
            self._write(released=True)
            if failure is None and not self._lost:
                self._store.delete(_key(self._lease.run_id))

    def progress(self, metrics: Mapping[str, float]) -> None:
        """Show the progress of the training to others. Raises RunHeld if another submission took the run over."""
        now = {name: int(metrics[name]) for name in ("epoch", "step", "steps")}
        with suppress(StoreError):  # renewed again soon
            self._write(**now, loss=metrics["loss"])
        self.refuse_if_lost()

    def refuse_if_lost(self) -> None:
        """Raises RunHeld if another submission took the run over."""
        if self._lost:
            raise RunHeld(f"taken over by another submission, because this one was not heard of for {STALE_S:g} s")

    def _renew(self) -> None:
        while not self._ended.wait(BEAT_S):
            with suppress(Exception):  # whatever it was, the next renewal may succeed
                self._write()

    def _write(self, **changes: object) -> None:
        with self._one_at_a_time:
            if self._lost:
                return
            lease = self._lease.model_copy(update={"beat": self._lease.beat + 1, **changes})
            try:
                self._tag = self._store.replace(_key(lease.run_id), document_bytes(lease), self._tag)
            except Conflict:
                # A renewal whose answer was lost has changed the tag; any other change is a takeover.
                found = stored_lease(self._store, lease.run_id)
                # A damaged one is written again: had somebody else written it, that one would now find it taken over.
                if found is None or found[0].attempt not in (self.attempt, UNKNOWN):
                    self._lost = True
                    return
                self._tag = self._store.replace(_key(lease.run_id), document_bytes(lease), found[1].tag)
            self._lease = lease


def claim_run(store: Store, run_id: Digest, submission: Digest, holder: str) -> Claim:
    """Claim a run that nobody executes. Raises RunHeld if somebody does."""
    before = stored_lease(store, run_id)
    if before is not None and not _free(store, *before, submission):
        raise _held(before[0])
    lease = _new_lease(run_id, submission, holder, number=before[0].number + 1 if before else 1)
    key, data = _key(run_id), document_bytes(lease)
    try:
        tag = store.replace(key, data, before[1].tag) if before else store.create(key, data)
    except (Conflict, ObjectExists):
        now = stored_lease(store, run_id)
        if now is None or now[0].attempt != lease.attempt:  # equal: it was written and the answer was lost
            raise _held(now[0] if now else lease) from None
        tag = now[1].tag
    with suppress(StoreError):  # what is left of it misleads `lesionlab status` only
        store.delete(keys.FAILURE.build(run_id=run_id))
    return Claim(store, lease, tag)


def is_free(store: Store, run_id: Digest, submission: Digest, now: datetime | None = None) -> bool:
    """Whether this submission could claim the run. `now` is by the store's clock, which is asked if none is given."""
    found = stored_lease(store, run_id)
    return found is None or _free(store, *found, submission, now)


def _free(store: Store, lease: Lease, stored: Tagged, submission: Digest, now: datetime | None = None) -> bool:
    """Whether a run that was claimed may be claimed anew."""
    if lease.released or lease.submission == submission:
        return True
    # Nobody could renew a claim while the store did not answer: its holder, who may have trained on, goes first.
    if time.monotonic() - store.outage_ended < STALE_S:
        return False
    return ((now or store.now()) - stored.modified).total_seconds() > STALE_S


def stored_lease(store: Store, run_id: Digest) -> tuple[Lease, Tagged] | None:
    """The stored claim on a run, with its tag."""
    key = _key(run_id)
    try:
        found = store.get_tagged(key)
    except MissingObject:
        return None
    try:
        return parse_document(store, key, Lease, found.data), found
    except DamagedObject:
        return _unreadable(run_id), found


def _unreadable(run_id: Digest) -> Lease:
    """What stands for a damaged claim: somebody's, which becomes void by itself unless it is renewed."""
    return Lease(
        run_id=run_id,
        submission="0" * 16,
        attempt=UNKNOWN,
        number=1,
        holder="somebody (the claim is damaged)",
        node="",
        since="an unknown time",
    )


def record_failure(store: Store, lease: Lease, kind: FailureKind, message: str) -> None:
    """Store why an attempt failed, for `lesionlab status`."""
    failure = Failure(
        run_id=lease.run_id,
        kind=kind,
        message=message,
        holder=lease.holder,
        node=lease.node,
        number=lease.number,
    )
    write_document(store, keys.FAILURE.build(run_id=lease.run_id), failure)


def record_end(store: Store, run_id: Digest, submission: Digest, kind: FailureKind, message: str) -> None:
    """Store why this submission gave a run up, unless its last attempt could do so itself: lost workers cannot.

    Nothing is stored about a run that another submission has taken over or completed.
    """
    if store.exists(keys.FAILURE.build(run_id=run_id)) or is_complete(store, run_id):
        return
    found = stored_lease(store, run_id)
    lease = found[0] if found else _new_lease(run_id, submission, this_user(), number=1)
    if lease.submission == submission:
        record_failure(store, lease, kind, message)


def _new_lease(run_id: Digest, submission: Digest, holder: str, number: int) -> Lease:
    return Lease(
        run_id=run_id,
        submission=submission,
        attempt=f"{number:03d}-{secrets.token_hex(4)}",
        number=number,
        holder=holder,
        node=socket.gethostname(),
        since=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _held(lease: Lease) -> RunHeld:
    return RunHeld(f"executed by {lease.holder} since {lease.since}")


def _key(run_id: Digest) -> str:
    return keys.LEASE.build(run_id=run_id)
