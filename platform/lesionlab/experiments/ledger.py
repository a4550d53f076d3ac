"""Record which runs are complete: one ledger entry per run, written once, after all other output of the run.

The ledger decides what is done, never Ray: Ray forgets, and a finished run name that is run again returns at once
without metrics.
"""

from __future__ import annotations

from collections.abc import Iterable

from lesionlab.errors import MissingObject, ObjectExists
from lesionlab.store.at_once import at_once
from lesionlab.store.documents import create_document, read_document
from lesionlab.store.objects import Store
from storage_schemas import keys
from storage_schemas.base import Digest
from storage_schemas.results import LedgerEntry


def completed(store: Store, run_ids: Iterable[Digest]) -> set[Digest]:
    """The ids of those runs that have a ledger entry."""
    entries = (keys.LEDGER.parse(key) for key in store.list(keys.LEDGER.prefix()))
    return {entry["run_id"] for entry in entries if entry} & set(run_ids)


def is_complete(store: Store, run_id: Digest) -> bool:
    """Whether this one run has a ledger entry; unlike `completed`, without a listing of all entries."""
    return store.exists(keys.LEDGER.build(run_id=run_id))


def ledger_entries(store: Store, run_ids: Iterable[Digest]) -> dict[Digest, LedgerEntry]:
    """The ledger entries of the complete runs, in the order given."""
    wanted = tuple(run_ids)
    found = completed(store, wanted)
    done = [run_id for run_id in wanted if run_id in found]
    entries = at_once(lambda run_id: read_document(store, keys.LEDGER.build(run_id=run_id), LedgerEntry), done)
    return dict(zip(done, entries, strict=True))


def attempt_of(store: Store, run_id: Digest) -> str:
    """The attempt whose files count, for `KeyPattern.of`; empty for a run whose files lie in its own folder."""
    try:
        return read_document(store, keys.LEDGER.build(run_id=run_id), LedgerEntry).attempt
    except MissingObject:
        return ""


def close_run(store: Store, entry: LedgerEntry) -> bool:
    """Mark a run as complete; False if another attempt has finished it already, whose entry stays.

    Equal ids mean equal results, so the other entry differs in provenance only.
    """
    try:
        return create_document(store, keys.LEDGER.build(run_id=entry.run_id), entry)
    except ObjectExists:
        return False
