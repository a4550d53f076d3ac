"""Record which runs are complete: one ledger entry per run, written once, after all other output of the run.

The ledger decides what is done, never Ray: Ray forgets, and a finished run name that is run again returns at once
without metrics. In place of a damaged entry its copy among the attempt's files counts; without one, a damaged entry is
as good as none, and so is an empty one.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from weakref import WeakKeyDictionary

from lesionlab.errors import AccessDenied, Conflict, DamagedObject, MissingObject, ObjectExists
from lesionlab.store.documents import create_document, is_sound, parse_document, read_document, write_document
from lesionlab.store.objects import Store
from storage_schemas import keys
from storage_schemas.base import Digest
from storage_schemas.results import LedgerEntry

REQUESTS_AT_ONCE = 16

_LOG = logging.getLogger(__name__)
_READ: WeakKeyDictionary[Store, dict[Digest, LedgerEntry]] = WeakKeyDictionary()
"""The entries that this process has read; an entry is written once, so it is read once."""


def completed(store: Store, run_ids: Iterable[Digest]) -> set[Digest]:
    """The ids of those runs that have a ledger entry; a damaged entry is named in the log and does not count."""
    return set(ledger_entries(store, run_ids))


def ledger_entries(store: Store, run_ids: Iterable[Digest]) -> dict[Digest, LedgerEntry]:
    """The ledger entries of the complete runs, in the order given."""
    wanted = tuple(dict.fromkeys(run_ids))
    listed = ((keys.LEDGER.parse(found.key), found.size) for found in store.listed(keys.LEDGER.prefix()))
    there = {entry["run_id"] for entry, size in listed if entry and size}
    read = _READ.setdefault(store, {})
    new = [run_id for run_id in wanted if run_id in there and run_id not in read]
    with ThreadPoolExecutor(REQUESTS_AT_ONCE) as pool:
        entries = pool.map(lambda run_id: _sound_entry(store, run_id), new)
        read.update({run_id: entry for run_id, entry in zip(new, entries, strict=True) if entry})
    return {run_id: read[run_id] for run_id in wanted if run_id in there and run_id in read}


def is_complete(store: Store, run_id: Digest) -> bool:
    """Whether this one run has a ledger entry; unlike `completed`, without a listing of all entries."""
    return _sound_entry(store, run_id) is not None


def _sound_entry(store: Store, run_id: Digest) -> LedgerEntry | None:
    try:
        return _entry(store, run_id)
    except DamagedObject as error:
        _LOG.warning("%s; until then the run counts as not complete", error)
        return None


def _entry(store: Store, run_id: Digest) -> LedgerEntry | None:
    """The ledger entry of a run; None if it has none or an empty one. Raises DamagedObject."""
    key = keys.LEDGER.build(run_id=run_id)
    try:
        data = store.get(key)
    except MissingObject:
        return None
    if not data:
        return None
    try:
        entry = parse_document(store, key, LedgerEntry, data)
        if entry.run_id != run_id:
            raise DamagedObject(f"{store.uri}: {key}", f"it is the entry of run {entry.run_id}")
    except DamagedObject as error:
        copy = copy_of(store, run_id)
        if copy is None:
            raise
        _LOG.warning("%s; until then the copy %s counts", error, copy)
        return read_document(store, copy, LedgerEntry)
    return entry


def copy_of(store: Store, run_id: Digest) -> str | None:
    """Key of the sound copy of a run's entry; None if there is none, or if two attempts have one: which one counted?

    None too for a role that may not look into attempts.
    """
    name = keys.RUN_ENTRY.template.rpartition("/")[2]
    try:
        listed = store.list(keys.ATTEMPT.prefix(run_id=run_id))
        copies = [key for key in listed if key.count("/") == 4 and key.endswith(f"/{name}")]
        return copies[0] if len(copies) == 1 and is_sound(store, copies[0], LedgerEntry) else None
    except AccessDenied:
        return None


def ledger_entry(store: Store, run_id: Digest) -> LedgerEntry | None:
    """The entry of one run, without a listing; None if it has none that can be read."""
    return _sound_entry(store, run_id)


def attempt_of(store: Store, run_id: Digest) -> str:
    """The attempt whose files count, for `KeyPattern.of`; empty for a run whose files lie in its own folder."""
    entry = _entry(store, run_id)
    return entry.attempt if entry else ""


def close_run(store: Store, entry: LedgerEntry) -> bool:
    """Mark a run as complete; False if another attempt has finished it already, whose entry stays if it is sound.

    Equal ids mean equal results, so the other entry differs in provenance only. A copy lies with the attempt's files:
    without it a damaged entry would cost the whole run again.
    """
    if entry.attempt:
        write_document(store, keys.RUN_ENTRY.of(entry.attempt).build(run_id=entry.run_id), entry)
    try:
        return create_document(store, keys.LEDGER.build(run_id=entry.run_id), entry)
    except ObjectExists:
        return False


def reopen(store: Store, run_id: Digest) -> None:
    """Make a complete run count as not complete, so that it is executed again: its entry becomes empty.

    It is emptied and not deleted, because a conditional write cannot hit the entry of a new attempt.
    """
    key = keys.LEDGER.build(run_id=run_id)
    with suppress(MissingObject, Conflict):  # somebody else has reopened it, or completed it again
        store.replace(key, b"", store.get_tagged(key).tag)
    _READ.get(store, {}).pop(run_id, None)
