"""Keep the training history of a run in the store, one row per epoch; a resumed run keeps the rows before it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

from lesionlab.errors import AccessDenied, MissingObject, StoreError
from lesionlab.experiments.ledger import ledger_entries
from lesionlab.store.at_once import at_once
from lesionlab.store.objects import Store
from lesionlab.store.tables import read_rows, write_rows
from storage_schemas import keys
from storage_schemas.base import Digest, Slug
from storage_schemas.experiments import Plan
from storage_schemas.results import EpochRow, LedgerEntry
from storage_schemas.runs import RunSpec

_LOG = logging.getLogger(__name__)


@dataclass
class RunHistory:
    """The history of one run, for one attempt to add to.

    The row of an epoch is stored before the checkpoint of that epoch, so an attempt that resumes from a checkpoint
    finds the rows of all epochs before it.
    """

    store: Store
    run_id: Digest
    attempt: Slug
    _rows: list[EpochRow] = field(default_factory=list)

    def add(self, row: EpochRow) -> None:
        """Store the rows of all epochs until now."""
        if not self._rows and row.epoch > 1:
            self._rows = [earlier for earlier in stored_history(self.store, self.run_id) if earlier.epoch < row.epoch]
        self._rows.append(row)
        write_rows(self.store, _key(self.run_id, self.attempt), self._rows, EpochRow)


def stored_history(store: Store, run_id: Digest) -> list[EpochRow]:
    """The row of each epoch from all attempts at the run, from the last attempt that has it.

    A history that cannot be read is named in the log and left out: no result depends on it.
    """
    found: dict[int, EpochRow] = {}
    try:
        names = store.list(keys.ATTEMPT.prefix(run_id=run_id))
    except AccessDenied as error:  # whoever reads results may not list what attempts left
        _LOG.warning("%s; the history of run %s, which is not complete, is left out", error, run_id)
        return []
    for key in names:  # sorted: the names of attempts begin with their number
        values = keys.RUN_HISTORY.parse(key)
        if values is None:
            continue
        try:
            found |= {row.epoch: row for row in read_rows(store, [key], EpochRow)}
        except StoreError as error:
            _LOG.warning("%s; the history of run %s has gaps", error, run_id)
    return [found[epoch] for epoch in sorted(found)]


def finished_histories(store: Store, entries: Mapping[Digest, LedgerEntry]) -> dict[Digest, list[EpochRow]]:
    """The history of each of these finished runs that trained a network.

    Runs of versions that kept none are left out, and so is a history that cannot be read, which is named in the log.
    """

    def rows(entry: LedgerEntry) -> list[EpochRow]:
        try:
            return read_rows(store, [_key(entry.run_id, entry.attempt)], EpochRow)
        except MissingObject:
            return []
        except StoreError as error:
            _LOG.warning("%s; the history of run %s is left out", error, entry.run_id)
            return []

    trained = [entry for entry in entries.values() if entry.epochs and entry.attempt]
    found = zip(trained, at_once(rows, trained), strict=True)
    return {entry.run_id: history for entry, history in found if history}


@dataclass(frozen=True)
class RunWithHistory:
    """A run, what its attempts recorded, and its ledger entry; None if it is not finished."""

    run: RunSpec
    rows: list[EpochRow]
    entry: LedgerEntry | None


def plan_histories(store: Store, plan: Plan) -> list[RunWithHistory]:
    """The histories of the plan's runs, in its order, also of runs that are not finished; without those that have none.

    A history that cannot be read is named in the log and left out.
    """
    entries = ledger_entries(store, (run.run_id for run in plan.runs))
    finished = finished_histories(store, entries)
    unfinished = [run.run_id for run in plan.runs if run.train and run.run_id not in entries]
    begun = dict(zip(unfinished, at_once(lambda run_id: stored_history(store, run_id), unfinished), strict=True))
    return [
        RunWithHistory(run, rows, entries.get(run.run_id))
        for run in plan.runs
        if (rows := finished.get(run.run_id) or begun.get(run.run_id))
    ]


def _key(run_id: Digest, attempt: Slug) -> str:
    return keys.RUN_HISTORY.build(run_id=run_id, attempt=attempt)
