"""Tell which studies that a model was trained on were withdrawn since: by their sites, or marked by a steward."""

from __future__ import annotations

from contextlib import suppress

from lesionlab.errors import AccessDenied
from lesionlab.experiments.ledger import ledger_entries
from lesionlab.experiments.registry import source_model
from lesionlab.store.documents import read_document
from lesionlab.store.objects import Store
from storage_schemas import keys
from storage_schemas.base import Digest, StudyId
from storage_schemas.models import ModelCard
from storage_schemas.parts import Withdrawal


def withdrawn_volumes(store: Store) -> frozenset[Digest]:
    """Volumes of all studies that sites have withdrawn; none where the caller may not read the sites' folders."""
    found: set[Digest] = set()
    with suppress(AccessDenied):
        for folder in store.folders(keys.SITES):
            for key in store.list(f"{folder}withdrawn/"):
                if keys.WITHDRAWAL.parse(key):
                    found |= {*read_document(store, key, Withdrawal).volumes}
    return frozenset(found)


def withdrawn_from(store: Store, card: ModelCard, volumes: frozenset[Digest] | None = None) -> tuple[StudyId, ...]:
    """The withdrawn studies that a model, or one that it was fine-tuned from, was trained on, sorted.

    Ledger entries carry a steward's mark, receipts of the sites count from the moment of withdrawal. `volumes` are
    those of `withdrawn_volumes`, if they were read already.
    """
    gone = withdrawn_volumes(store) if volumes is None else volumes
    runs = source_model(store, card).made_by
    entries = ledger_entries(store, [run.run_id for run in runs])
    found: set[StudyId] = set()
    for run in runs:
        marked = {*entries[run.run_id].withdrawn} if run.run_id in entries else set()
        found |= {entry.study for entry in run.train if entry.volume in gone or entry.study in marked}
    return tuple(sorted(found))


def withdrawn_text(card: ModelCard, studies: tuple[StudyId, ...]) -> str:
    """One sentence; empty if no study was withdrawn."""
    if not studies:
        return ""
    count = "1 study" if len(studies) == 1 else f"{len(studies)} studies"
    return f"{card.full_name} was trained on {count} withdrawn since: {', '.join(studies)}"
