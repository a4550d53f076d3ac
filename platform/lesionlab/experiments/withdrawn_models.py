"""Tell which studies that a model was trained on were withdrawn since: by their sites, or marked by a steward."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from lesionlab.errors import AccessDenied, InputError
from lesionlab.experiments.ledger import ledger_entries
from lesionlab.experiments.registry import source_model
from lesionlab.store.documents import read_document
from lesionlab.store.objects import Store
from storage_schemas import keys
from storage_schemas.base import Digest, Slug, StudyId, StudyLabel, label_of
from storage_schemas.manifests import ManifestEntry
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


def withdrawn_labels(store: Store, site: Slug) -> frozenset[StudyLabel]:
    """Labels at their site of the studies that a site has withdrawn."""
    found = map(keys.WITHDRAWAL.parse, store.list(keys.WITHDRAWAL.prefix(site=site)))
    return frozenset(values["study"] for values in found if values)


def withdrawn_among(store: Store, entries: Iterable[ManifestEntry]) -> tuple[StudyId, ...]:
    """Which of these studies their sites have withdrawn, sorted; none of sites whose withdrawals the caller may not
    read."""
    found: set[StudyId] = set()
    entries = tuple(entries)
    for site in sorted({entry.site for entry in entries}):
        with suppress(AccessDenied):
            gone = withdrawn_labels(store, site)
            found |= {e.study for e in entries if e.site == site and label_of(e.study) in gone}
    return tuple(sorted(found))


def refuse_withdrawn_studies(store: Store, entries: Iterable[ManifestEntry], advice: str) -> None:
    """Raises InputError that names the studies that were withdrawn; copies of them may still lie on nodes."""
    if found := withdrawn_among(store, entries):
        raise InputError(f"{', '.join(found)}: withdrawn by {'its site' if len(found) == 1 else 'their sites'}", advice)


def withdrawn_from(store: Store, card: ModelCard, volumes: frozenset[Digest] | None = None) -> tuple[StudyId, ...]:
    """The withdrawn studies that a model, or one that it was fine-tuned from, was trained on, sorted.

    Ledger entries carry a steward's mark, receipts of the sites count from the moment of withdrawal. `volumes` are
    those of `withdrawn_volumes`, if they were read already.
    """
    runs = source_model(store, card).made_by
    entries = ledger_entries(store, [run.run_id for run in runs])
    trained = tuple(entry for run in runs for entry in run.train)
    if volumes is None:  # site by site: the gate may read what each has withdrawn, and not list the sites
        found = {*withdrawn_among(store, trained)}
    else:
        found = {entry.study for entry in trained if entry.volume in volumes}
    for run in runs:
        marked = {*entries[run.run_id].withdrawn} if run.run_id in entries else set()
        found |= {entry.study for entry in run.train if entry.study in marked}
    return tuple(sorted(found))


def withdrawn_text(card: ModelCard, studies: tuple[StudyId, ...]) -> str:
    """One sentence; empty if no study was withdrawn."""
    if not studies:
        return ""
    count = "1 study" if len(studies) == 1 else f"{len(studies)} studies"
    return f"{card.full_name} was trained on {count} withdrawn since: {', '.join(studies)}"
