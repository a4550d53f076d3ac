"""Find everything that an experiment or a cohort consists of: the objects without which it cannot be used elsewhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby

from lesionlab.errors import InputError, StoreError
from lesionlab.experiments.registry import source_model
from lesionlab.experiments.upkeep.contents import Contents
from lesionlab.experiments.upkeep.kinds import kind_of
from lesionlab.store.documents import read_document
from lesionlab.store.objects import Store
from storage_schemas import keys
from storage_schemas.audit import AuditedStudies
from storage_schemas.base import Digest, Slug
from storage_schemas.keys import KeyPattern
from storage_schemas.manifests import ManifestEntry
from storage_schemas.models import ModelCard
from storage_schemas.parts import Part
from storage_schemas.runs import RunSpec

LAST: tuple[KeyPattern, ...] = (
    *(keys.STUDY_VERDICT, keys.PART, keys.MANIFEST, keys.SPLIT, keys.RUN_SPEC, keys.MODEL_CARD, keys.LEDGER),
    *(keys.PLAN, keys.POLICY, keys.COHORT, keys.CURRENT_PART, keys.CURRENT_PLAN),
)
"""What makes other objects count, in the order in which it is written: after them."""


@dataclass(frozen=True)
class Reach:
    """What an experiment or a cohort consists of."""

    stages: tuple[tuple[str, ...], ...]
    """Keys; nothing refers to an object of a later stage."""
    unfinished: int
    """Runs that are not complete; of them nothing is taken but what the plans say."""
    studies: tuple[AuditedStudies, ...]
    """The studies whose volumes are among them, by site."""


@dataclass
class _Walk:
    contents: Contents
    found: set[str] = field(default_factory=set)
    unfinished: set[Digest] = field(default_factory=set)
    studies: dict[Digest, ManifestEntry] = field(default_factory=dict)

    def take(self, *prefixes: str) -> None:
        self.found |= {key for key in self.contents.names if key.startswith(prefixes)}


def reach(store: Store, name: Slug) -> Reach:
    """Everything of the experiment, and of the cohort, of this name.

    Raises InputError if there is neither, StoreError if a document cannot be read that says what it consists of.
    """
    walk = _Walk(Contents(store, frozenset(store.list(""))))
    if unreadable := walk.contents.unreadable(_emptied(store)):
        raise StoreError(
            f"{store.uri}: what {name} consists of cannot be told, because {', '.join(unreadable)} cannot be read; "
            "nothing was copied; call lesionlab fsck --repair first"
        )
    plans = [plan for plan in walk.contents.plans if plan.spec.name == name]
    cohorts = {name} if any(own.cohort == name for own in walk.contents.listings) else set()
    if not plans and not cohorts:
        raise InputError(f"{name}: neither an experiment nor a cohort of {store.uri}")
    if plans:
        walk.take(*(f"{folder}/{name}/" for folder in ("plans", "results", "rescored", "reports")))
    for run in {run.run_id: run for plan in plans for run in plan.runs}.values():
        cohorts.add(run.cohort)
        _run(walk, run)
        if run.parent:
            _model(walk, f"{run.parent.model.name}/{run.parent.model.version}", cohorts)
    for card in _registered(walk):
        _model(walk, f"{card.name}/{card.version}", cohorts)
    for cohort in sorted(cohorts):
        _cohort(walk, cohort)
    counts = Counter(entry.site for entry in walk.studies.values() if entry.volume not in walk.contents.withdrawn)
    studies = tuple(AuditedStudies(site=site, studies=count) for site, count in sorted(counts.items()))
    stages = tuple(tuple(sorted(own)) for _, own in groupby(sorted(walk.found, key=_stage), key=_stage))
    return Reach(stages, len(walk.unfinished), studies)


def _run(walk: _Walk, run: RunSpec) -> None:
    """A complete run without its checkpoints, and its studies' volumes."""
    _studies(walk, (*run.train, *run.test))
    entry = walk.contents.ledger.get(run.run_id)
    if entry is None:
        walk.unfinished.add(run.run_id)
        return
    folder = f"runs/{run.run_id}/"
    attempt = f"attempts/{entry.attempt}/" if entry.attempt else ""
    lease, others = keys.LEASE.build(run_id=run.run_id), f"{folder}attempts/"
    for key in walk.contents.names:
        if key.startswith(folder + attempt) and key != lease and not keys.RUN_CHECKPOINT.parse(key):
            kind = kind_of(key.partition(".zarr/")[0] + ".zarr" if ".zarr/" in key else key)
            if kind and (attempt or not key.startswith(others)):
                walk.found.add(key)
    walk.found |= {keys.RUN_SPEC.build(run_id=run.run_id), keys.LEDGER.build(run_id=run.run_id)} & walk.contents.names


def _model(walk: _Walk, version: str, cohorts: set[Slug]) -> None:
    """A registered version, every run that trained it or an ancestor, and these."""
    place = f"models/{version}/"
    if f"{place}card.json" not in walk.contents.names or f"{place}card.json" in walk.found:
        return
    walk.take(place)
    model = source_model(walk.contents.store, read_document(walk.contents.store, f"{place}card.json", ModelCard))
    for run in model.made_by:
        cohorts.add(run.cohort)
        _run(walk, run)
    if model.card.parent:
        _model(walk, f"{model.card.parent.name}/{model.card.parent.version}", cohorts)


def _registered(walk: _Walk) -> Iterator[ModelCard]:
    """The models whose networks are all among the runs that were found."""
    runs = {values["run_id"] for key in walk.found if (values := keys.LEDGER.parse(key))}
    for key in sorted(walk.contents.names):
        if values := keys.MODEL_CARD.parse(key):
            card = read_document(walk.contents.store, key, ModelCard)
            if {*(card.members or (values["version"],))} <= runs:
                yield card


def _cohort(walk: _Walk, cohort: Slug) -> None:
    """Its declaration, manifests and splits, the smallest counts; of each site the parts with their tables, policy and
    withdrawals."""
    walk.take(f"manifests/{cohort}/", f"splits/{cohort}/")
    walk.found |= {keys.COHORT.build(cohort=cohort), keys.SMALLEST_COUNTS.build()} & walk.contents.names
    used: dict[Slug, set[Digest]] = {}
    for owner in walk.contents.listings:
        if owner.cohort == cohort:
            _studies(walk, owner.studies)
            parts = {owner.site: owner.id} if isinstance(owner, Part) else owner.parts
            for site, part in parts.items():
                used.setdefault(site, set()).add(part)
    for site, own in used.items():
        folder = f"sites/{site}/"
        walk.found |= {keys.POLICY.build(site=site), keys.SALT_CHECK.build(site=site)} & walk.contents.names
        walk.take(f"{folder}withdrawn/", keys.CURRENT_PART.build(site=site, cohort=cohort))
        walk.take(*(f"{folder}cohorts/{cohort}/{part}" for part in own))


def _studies(walk: _Walk, entries: Iterable[ManifestEntry]) -> None:
    for entry in entries:
        if entry.volume not in walk.studies:
            walk.studies[entry.volume] = entry
            walk.take(entry.volume_key.removesuffix(".zarr") + ".")  # the group, its verdict and its pictures


def _emptied(store: Store) -> frozenset[str]:
    """Entries of runs that were reopened."""
    return frozenset(found.key for found in store.listed(keys.LEDGER.prefix()) if not found.size)


def _stage(key: str) -> int:
    # From the end: `current.json` has the form of a plan or a part too, and must come after what it names.
    for number in reversed(range(len(LAST))):
        if LAST[number].parse(key):
            return number + 2
    return int(key.endswith(".zarr/zarr.json"))  # a group counts once its own metadata is there
