"""Read `sites.yaml`, or report every fault in it; keep its smallest counts in the store, where reports are made."""

from __future__ import annotations

from pathlib import Path

from lesionlab.errors import MissingObject
from lesionlab.experiments.spec_files import read_yaml, validated
from lesionlab.store.documents import read_document, write_document
from lesionlab.store.objects import Store
from storage_schemas import keys
from storage_schemas.sites import Consortium, SmallestCounts


def read_sites(path: Path) -> Consortium:
    """The sites of a consortium. Raises SpecError with every fault in the file."""
    what = f"sites file {path}"
    return validated(read_yaml(path, what), Consortium, what)


def store_counts(store: Store, pool: Consortium) -> None:
    """Make the smallest counts of the file those of the store."""
    if stored_counts(store) != (counts := pool.smallest_counts()):
        write_document(store, keys.SMALLEST_COUNTS.build(), counts)


def stored_counts(store: Store) -> SmallestCounts | None:
    """The consortium's smallest counts; None: no consortium set up this store."""
    try:
        return read_document(store, keys.SMALLEST_COUNTS.build(), SmallestCounts)
    except MissingObject:
        return None


def counts_fault(store: Store, pool: Consortium) -> str:
    """How the smallest counts of the store differ from those of the file; empty if they do not."""
    wanted, found = pool.smallest_counts(), stored_counts(store)
    if found == wanted:
        return ""
    return f"sites.yaml says {_text(wanted)}, the store {'nothing' if found is None else _text(found)}"


def _text(counts: SmallestCounts) -> str:
    return ", ".join([str(counts.smallest_count), *(f"{count} for {site}" for site, count in counts.sites.items())])
