"""Walk a store, name every object that is damaged or missing, and restore what can be restored."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from lesionlab.experiments.ledger import ledger_entry
from lesionlab.experiments.upkeep.contents import Contents
from lesionlab.experiments.upkeep.kinds import faults_of, key_of, kind_of, place_of
from lesionlab.experiments.upkeep.remedies import Remedies
from lesionlab.store.objects import Store
from storage_schemas import keys

OBJECTS_AT_ONCE = 4
"""Each is held in memory; the largest are a few hundred MB."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Damage:
    """One object or Zarr group that is damaged or missing."""

    key: str
    what: str
    remedy: str
    """What was done, or what to do."""
    repaired: bool = False


@dataclass(frozen=True)
class Checked:
    """What a walk found."""

    places: int
    """Objects and Zarr groups that were read."""
    damage: tuple[Damage, ...]

    @property
    def left(self) -> int:
        """How many are not repaired."""
        return sum(not damage.repaired for damage in self.damage)


def check_store(
    store: Store,
    whole_checkpoint: Callable[[bytes], bool],
    *,
    repair: bool = False,
    progress: Progress = lambda done, total: None,
) -> Checked:
    """Read every object of the store and compare it with its checksum; with `repair`, restore what has a second copy.

    What has none is left for the command that makes it again. The walk may take hours, so each object is looked at once
    more before it is restored: what others have written again meanwhile is left alone. `whole_checkpoint` tells whether
    the bytes of a checkpoint are what was written. Outputs of attempts that do not count are passed over.
    """
    contents = Contents(store, frozenset(store.list("")))
    places = sorted({place for key in contents.names if (place := place_of(key)) and _counts(contents, place)})
    missing = sorted({place for place in contents.expected() if key_of(place) not in contents.names})
    damage = [Damage(place, "it is missing", "") for place in missing]
    with ThreadPoolExecutor(OBJECTS_AT_ONCE) as pool:
        found = pool.map(lambda place: faults_of(store, place, whole_checkpoint), places)
        for done, (place, faults) in enumerate(zip(places, found, strict=True), start=1):
            damage += [Damage(place, "; ".join(faults), "")] if faults else []
            progress(done, len(places))
    if repair:  # all before the first is restored: one remedy may mend several
        damage = [fault for fault in damage if not _mended(store, fault.key, whole_checkpoint)]
    remedies = Remedies(contents)
    treated = []
    for fault in damage:
        remedy = remedies.of(fault.key)
        done_now = repair and remedy.apply()
        told = remedy.told(applied=repair)
        treated.append(replace(fault, remedy=told, repaired=done_now))
    return Checked(len(places), tuple(treated))


def _mended(store: Store, place: str, whole_checkpoint: Callable[[bytes], bool]) -> bool:
    """Whether an object that was damaged or missing is sound by now, or belongs to an attempt that counts no more."""
    values = found[1] if (found := kind_of(place)) else {}
    if "attempt" in values and "run_id" in values:
        entry = ledger_entry(store, values["run_id"])
        if entry is not None and entry.attempt != values["attempt"]:
            return True
    return store.exists(key_of(place)) and not faults_of(store, place, whole_checkpoint)


def _counts(contents: Contents, place: str) -> bool:
    """Whether somebody would read it: of attempts those that count, of unfinished runs the checkpoints."""
    found = kind_of(place)
    if found is None:
        return False
    kind, values = found
    if kind == keys.RUN_CHECKPOINT or "attempt" not in values:
        return True
    entry = contents.ledger.get(values["run_id"])
    return entry is not None and entry.attempt == values["attempt"]
