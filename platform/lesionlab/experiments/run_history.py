"""Keep the training history of a run in the store, one row per epoch; a resumed run keeps the rows before it."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

from lesionlab.errors import StoreError
from lesionlab.store.objects import Store
from lesionlab.store.tables import read_rows, write_rows
from storage_schemas import keys
from storage_schemas.base import Digest, Slug
from storage_schemas.results import EpochRow

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
    for key in store.list(keys.ATTEMPT.prefix(run_id=run_id)):  # sorted: the names of attempts begin with their number
        values = keys.RUN_HISTORY.parse(key)
        if values is None:
            continue
        try:
            found |= {row.epoch: row for row in read_rows(store, [key], EpochRow)}
        except StoreError as error:
            _LOG.warning("%s; the history of run %s has gaps", error, run_id)
    return [found[epoch] for epoch in sorted(found)]


def _key(run_id: Digest, attempt: Slug) -> str:
    return keys.RUN_HISTORY.build(run_id=run_id, attempt=attempt)
