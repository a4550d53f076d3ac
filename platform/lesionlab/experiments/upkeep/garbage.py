"""Find what nothing in a store refers to any more: dead attempts, old checkpoints, orphaned volumes, leftovers.

Never found: the attempt that a ledger entry names, what a site's current part, a manifest, a plan, a run or a champion
refers to, the attempt of a claim, the checkpoints from which an unfinished run of a plan would resume, and what is
younger than a given age.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from lesionlab.errors import StoreError
from lesionlab.experiments.leases import UNKNOWN, stored_lease
from lesionlab.experiments.run_checkpoints import KEPT
from lesionlab.experiments.upkeep.contents import Contents
from lesionlab.experiments.upkeep.kinds import kind_of
from lesionlab.store.arrays import delete_group
from lesionlab.store.base import Listed
from lesionlab.store.objects import Store
from storage_schemas import keys
from storage_schemas.base import Digest

SAFE_AGE = timedelta(days=7)
"""A cohort whose studies are being corrected, or a sweep that waits for its nodes, takes days; its files are kept."""


@dataclass(frozen=True)
class Garbage:
    """An object, a Zarr group or a folder that nothing refers to."""

    key: str
    why: str
    objects: int
    size: int
    """In bytes."""


def find_garbage(store: Store, age: timedelta = SAFE_AGE) -> list[Garbage]:
    """What nothing refers to and nobody has written to for this long by the store's clock, sorted by key.

    Raises StoreError if a document cannot be read that may refer to anything.
    """
    listed = store.listed("")
    contents = Contents(
        store, frozenset(found.key for found in listed)
    )  # read after the listing: nothing newer is lost
    if unreadable := contents.unreadable(_reopened(listed)):
        raise StoreError(
            f"{store.uri}: what is in use cannot be told, because {', '.join(unreadable)} cannot be read; nothing was "
            "deleted; call lesionlab fsck --repair first"
        )
    now = store.now_for_readers()
    units: dict[str, list[Listed]] = defaultdict(list)
    for found in listed:
        units[_unit(found.key)].append(found)
    reasons = _Reasons(contents, units)
    found_garbage = []
    for unit, objects in sorted(units.items()):
        why = reasons.of(unit)
        if why and now - max(found.modified for found in objects) >= age:
            found_garbage.append(Garbage(unit, why, len(objects), sum(found.size for found in objects)))
    return found_garbage


def delete_garbage(store: Store, garbage: Sequence[Garbage], age: timedelta = SAFE_AGE) -> list[Garbage]:
    """Delete it, except what is referred to or was written to since; return what was deleted."""
    still = {found.key for found in find_garbage(store, age)}
    deleted = [found for found in garbage if found.key in still]
    for found in deleted:
        if found.key.endswith(".zarr"):
            delete_group(store, found.key)
        elif found.key.endswith("/"):
            store.delete_prefix(found.key)
        else:
            store.delete(found.key)
    return deleted


def _reopened(listed: Sequence[Listed]) -> frozenset[str]:
    """Entries of runs that were reopened."""
    return frozenset(found.key for found in listed if not found.size and keys.LEDGER.parse(found.key))


def _unit(key: str) -> str:
    """What is kept or deleted as a whole: a Zarr group, a folder of Ray's, or an object."""
    group, found, _ = key.partition(".zarr/")
    if found:
        return f"{group}.zarr"
    parts = key.split("/")
    return "/".join(parts[:3]) + "/" if parts[0] == "runs" and parts[2:3] == ["ray"] else key


class _Reasons:
    """Why each unit of a store is garbage."""

    def __init__(self, contents: Contents, units: Mapping[str, Sequence[Listed]]) -> None:
        self._contents, self._store = contents, contents.store
        self._volumes = set(self._referred_volumes())
        self._parts = {part.id for part in contents.parts}
        self._parts |= {part for manifest in contents.manifests for part in manifest.parts.values()}
        self._planned = {run.run_id for plan in contents.plans for run in plan.runs}
        self._leases: dict[Digest, str | None] = {}
        checkpoints: dict[Digest, list[tuple[int, str]]] = defaultdict(list)
        for unit in units:
            if (values := keys.RUN_CHECKPOINT.parse(unit)) and values["steps"].isdecimal():
                checkpoints[values["run_id"]].append((int(values["steps"]), unit))
        self._newest = {unit for found in checkpoints.values() for _, unit in sorted(found)[-KEPT:]}

    def of(self, unit: str) -> str:
        """Why nothing needs it; empty if something does, or if it is of an unknown kind."""
        if keys.CLOCK.parse(unit):
            return "left over from reading the clock"
        if keys.ACTIVE_SWEEP.parse(unit):  # one that goes on writes it every few seconds
            return "left over from a sweep that was killed"
        if values := keys.FAILURE.parse(unit):
            return "reason of a failure of a complete run" if values["run_id"] in self._contents.ledger else ""
        if unit.startswith("runs/") and unit.endswith("/ray/"):
            return "" if self._holder(unit.split("/")[1]) else "left over from a Ray session"
        if values := keys.DECISION.parse(unit):
            pointed = keys.CHAMPION.build(name=values["name"]) in self._contents.names
            return "decision that another one forestalled" if pointed and unit not in self._contents.decisions else ""
        if values := keys.STUDY_VOLUME.parse(unit):
            return "" if values["digest"] in self._volumes else "volume that no part, manifest, plan or run refers to"
        found = kind_of(unit)
        if found and found[0] in (keys.PART, keys.VERDICTS, keys.FACTS):
            return "" if found[1]["digest"] in self._parts else "part of a cohort that was replaced"
        if found is None or "attempt" not in found[1]:
            return ""
        return self._of_attempt(unit, found[1]["run_id"], found[1]["attempt"])

    def _of_attempt(self, unit: str, run_id: Digest, attempt: str) -> str:
        checkpoint = keys.RUN_CHECKPOINT.parse(unit) is not None
        entry = self._contents.ledger.get(run_id)
        if entry is not None:
            if checkpoint:
                return "checkpoint of a complete run"
            return "" if entry.attempt == attempt else "attempt that does not count"
        if self._holder(run_id) in (attempt, UNKNOWN):  # a damaged claim may be on any attempt
            return ""
        planned = run_id in self._planned
        if checkpoint:
            if unit in self._newest:
                return "" if planned else "checkpoint of an unfinished run that no plan has"
            return "older checkpoint"
        return "" if planned and keys.RUN_HISTORY.parse(unit) else "attempt that ended without a result"

    def _holder(self, run_id: Digest) -> str | None:
        """The attempt that a claim on the run names; None if nobody claims it."""
        if run_id not in self._leases:
            found = (
                stored_lease(self._store, run_id) if keys.LEASE.build(run_id=run_id) in self._contents.names else None
            )
            self._leases[run_id] = None if found is None else found[0].attempt
        return self._leases[run_id]

    def _referred_volumes(self) -> Iterator[Digest]:
        for owner in self._contents.listings:
            yield from (entry.volume for entry in owner.studies)
        for run in self._contents.runs.values():
            yield from (entry.volume for entry in (*run.train, *run.test))
