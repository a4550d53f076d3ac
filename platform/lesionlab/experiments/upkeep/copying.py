"""Copy objects from store to store: nothing different is ever overwritten, and what was copied is compared with its
checksum where it lies now.

A copy that was stopped goes on where it was. Objects go in the stages of `Reach`, so that whoever reads the other store
meanwhile takes nothing for whole that is not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from lesionlab.errors import DamagedObject, MissingObject, ObjectExists, StoreError
from lesionlab.experiments.upkeep.kinds import faults_of, place_of
from lesionlab.store.at_once import at_once
from lesionlab.store.objects import Store

TOGETHER = 64
"""Objects that are copied at once before progress is told; each is held in memory."""

LISTED = 10
"""Objects that a message lists."""


@dataclass(frozen=True)
class Difference:
    """What a copy would do."""

    missing: frozenset[str]
    """Keys that the other store lacks."""
    there: frozenset[str]
    """Keys that are there with the same bytes."""
    size: int
    """Bytes of what is missing."""


def compare(source: Store, target: Store, keys: Sequence[str]) -> Difference:
    """Compare with what the other store has; only what is there is read.

    Raises ObjectExists that names every object that is there with other bytes: nothing is overwritten.
    """
    sizes = {found.key: found.size for found in source.listed("")}
    theirs = {found.key: found.size for found in target.listed("")}
    both = [key for key in keys if key in theirs]
    equal = at_once(lambda key: theirs[key] == sizes.get(key) and source.get(key) == target.get(key), both)
    if differing := [key for key, same in zip(both, equal, strict=True) if not same]:
        more = f" and {len(differing) - LISTED} more" if len(differing) > LISTED else ""
        raise ObjectExists(
            f"{target.uri}: {len(differing)} objects are there with other content, and none is overwritten: "
            f"{', '.join(differing[:LISTED])}{more}; copy into another store"
        )
    missing = frozenset(keys) - theirs.keys()
    return Difference(missing, frozenset(both), sum(sizes.get(key, 0) for key in missing))


def copy_objects(
    source: Store,
    target: Store,
    stages: Iterable[Sequence[str]],
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Copy these objects, each stage before the next. Raises ObjectExists if somebody writes another one meanwhile."""
    stages = [list(stage) for stage in stages]
    done, total = 0, sum(map(len, stages))
    for stage in stages:
        for begin in range(0, len(stage), TOGETHER):
            some = stage[begin : begin + TOGETHER]
            at_once(lambda key: _copy(source, target, key), some)
            progress(done := done + len(some), total)


def verify(target: Store, keys: Iterable[str], whole_checkpoint: Callable[[bytes], bool]) -> int:
    """Check the copies against their checksums; the number of objects and Zarr groups that were checked.

    Raises StoreError that names everything that is damaged: it was damaged before, so its source must be restored.
    """
    places = sorted({place for key in keys if (place := place_of(key))})
    found = at_once(lambda place: faults_of(target, place, whole_checkpoint), places)
    if damaged := [f"{place}: {'; '.join(faults)}" for place, faults in zip(places, found, strict=True) if faults]:
        raise StoreError(*damaged, "lesionlab fsck on the store that they came from says what to do")
    return len(places)


def _copy(source: Store, target: Store, key: str) -> None:
    try:
        data = source.get(key)
    except MissingObject as error:
        raise DamagedObject(f"{source.uri}: {key}", "it was removed while it was copied") from error
    try:
        target.create(key, data)
    except ObjectExists:
        if target.get(key) != data:
            raise
