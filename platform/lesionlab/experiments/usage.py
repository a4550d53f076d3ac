"""Ledger entries in; GPU hours and studies by month and site out."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from lesionlab.errors import MissingObject
from lesionlab.experiments.ledger import ledger_entries
from lesionlab.store.at_once import at_once
from lesionlab.store.documents import read_document
from lesionlab.store.objects import Store
from storage_schemas import keys
from storage_schemas.base import Digest, Slug
from storage_schemas.results import LedgerEntry
from storage_schemas.runs import RunSpec

UNKNOWN = "unknown"
"""Month of entries that an earlier version wrote, which kept no time."""


@dataclass(frozen=True)
class Usage:
    """What the studies of one site were used for in one month."""

    month: str
    """`2026-11`, UTC; `unknown` of entries without a time."""
    site: Slug
    runs: int
    """Complete runs that read studies of this site."""
    gpu_hours: float
    """Their hours on GPUs, each run's divided among its sites by their studies: the sum over sites is the total."""
    cpu_hours: float
    """The same of runs without a GPU: hours of their workers."""
    trained: int
    """Different studies that networks were trained on."""
    tested: int
    """Different studies that networks were tested with."""


def usage(store: Store) -> list[Usage]:
    """By month and site, of every complete run of the store. Raises DamagedObject if a run's document is damaged."""
    ids = [values["run_id"] for key in store.list(keys.LEDGER.prefix()) if (values := keys.LEDGER.parse(key))]
    entries = ledger_entries(store, ids)
    runs = at_once(lambda own: _executed(store, own), list(entries))
    return summed((run, entries[run.run_id]) for run in runs if run)


def _executed(store: Store, run_id: Digest) -> RunSpec | None:
    """What a run was; None if only its ledger entry is left. Not found by listing: runs have very many objects."""
    try:
        return read_document(store, keys.RUN_SPEC.build(run_id=run_id), RunSpec)
    except MissingObject:
        return None


def summed(executed: Iterable[tuple[RunSpec, LedgerEntry]]) -> list[Usage]:
    """Usage by month and site, sorted."""
    runs: Counter[tuple[str, Slug]] = Counter()
    hours: dict[tuple[str, Slug, bool], float] = defaultdict(float)
    trained: dict[tuple[str, Slug], set[Digest]] = defaultdict(set)
    tested: dict[tuple[str, Slug], set[Digest]] = defaultdict(set)
    for run, entry in executed:
        month = entry.finished_at[:7] or UNKNOWN
        studies = {own.volume: own.site for own in (*run.train, *run.test)}
        for site, count in Counter(studies.values()).items():
            runs[month, site] += 1
            share = count / len(studies)
            hours[month, site, entry.device != "cpu"] += share * hours_of(entry)
        for found, used in ((trained, run.train), (tested, run.test)):
            for own in used:
                found[month, own.site].add(own.volume)
    return [
        Usage(
            month=month,
            site=site,
            runs=runs[month, site],
            gpu_hours=hours[month, site, True],
            cpu_hours=hours[month, site, False],
            trained=len(trained[month, site]),
            tested=len(tested[month, site]),
        )
        for month, site in sorted(runs)
    ]


def hours_of(entry: LedgerEntry) -> float:
    """Hours of all workers of the attempt that counts; what lost attempts took is in no ledger entry."""
    return (entry.training_s + entry.evaluation_s) * entry.workers / 3600
