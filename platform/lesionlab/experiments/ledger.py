"""Which runs are complete: the ledger has one entry a run, written once, after everything else of the run.

Ray is never asked what is done: it forgets, and a finished name that is run again returns at once without metrics.
"""

from __future__ import annotations

from collections.abc import Iterable

from lesionlab.errors import ObjectExists
from lesionlab.store.documents import create_document
from lesionlab.store.objects import Store
from storage_schemas import keys
from storage_schemas.base import Digest
from storage_schemas.results import RunRow


def completed(store: Store, run_ids: Iterable[Digest]) -> set[Digest]:
    """Those of these runs that have an entry."""
    entries = (keys.LEDGER.parse(key) for key in store.list(keys.LEDGER.prefix()))
    return {entry["run_id"] for entry in entries if entry} & set(run_ids)


def close_run(store: Store, row: RunRow) -> None:
    """Declare a run complete. A second worker that finished the same run changes nothing: equal ids, equal results."""
    try:
        create_document(store, keys.LEDGER.build(run_id=row.run_id), row)
    except ObjectExists:
        # The other entry differs in seconds spent only.
        return
