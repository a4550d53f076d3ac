"""Define the stored form of many runs: what they have in common is written once, and each run refers to it.

The runs of one plan share their studies and nearly all of their settings. Written whole, each would repeat them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Any

from pydantic import Field, model_validator

from storage_schemas.base import Digest, Document, canonical_json
from storage_schemas.manifests import ManifestEntry
from storage_schemas.runs import Cell, RunSpec

OWN = ("id", "cell", "train", "test")
"""Fields that each run has for itself; of all others one value is shared by many runs."""
SHARED = tuple(name for name in RunSpec.model_fields if name not in OWN)

Place = Annotated[int, Field(ge=0)]
"""Place in a list, from 0."""


class PooledRun(Document):
    """One run."""

    id: Digest
    cell: Cell | None
    train: tuple[Place, ...]
    """Places in `studies`, in the order of the run."""
    test: tuple[Place, ...]
    shared: tuple[Place, ...]
    """For each name of `fields`, the place of the run's value in its list of `values`."""


class PooledRuns(Document):
    """The runs of a plan. Raises ValueError where a run refers to something that is not there."""

    studies: tuple[ManifestEntry, ...]
    fields: tuple[str, ...]
    """Names of the fields of a RunSpec that are shared."""
    values: tuple[tuple[Any, ...], ...]
    """For each of these fields, every value that a run has."""
    runs: tuple[PooledRun, ...]

    @model_validator(mode="after")
    def _refers_to_what_is_there(self) -> PooledRuns:
        if len(self.fields) != len(self.values):
            raise ValueError(f"wanted values of {len(self.fields)} fields, found {len(self.values)}")
        sizes = [len(values) for values in self.values]
        for run in self.runs:
            studies = max((*run.train, *run.test), default=-1) < len(self.studies)
            if not studies or len(run.shared) != len(sizes) or any(map(int.__ge__, run.shared, sizes)):
                raise ValueError(f"run {run.id}: refers to studies or values that are not there")
        return self


def pooled(runs: Iterable[RunSpec]) -> PooledRuns:
    """The stored form of these runs."""
    studies, values = _Pool(), {name: _Pool() for name in SHARED}
    own = tuple(
        PooledRun(
            id=run.id,
            cell=run.cell,
            train=tuple(map(studies.place, run.train)),
            test=tuple(map(studies.place, run.test)),
            shared=tuple(values[name].place(getattr(run, name)) for name in SHARED),
        )
        for run in runs
    )
    return PooledRuns(
        studies=tuple(studies.values),
        fields=SHARED,
        values=tuple(tuple(map(_plain, pool.values)) for pool in values.values()),
        runs=own,
    )


def whole(form: Any) -> Any:
    """The runs of a stored form, which share their studies in memory too; runs that are whole are left as they are."""
    if not isinstance(form, dict):
        return form
    stored = PooledRuns.model_validate(form)
    kept: dict[tuple[int, int], Any] = {}

    def run(one: PooledRun) -> RunSpec:
        shared = {
            stored.fields[field]: kept.get((field, place), stored.values[field][place])
            for field, place in enumerate(one.shared)
        }
        train, test = (tuple(stored.studies[at] for at in places) for places in (one.train, one.test))
        spec = RunSpec.model_validate(shared | {"id": one.id, "cell": one.cell, "train": train, "test": test})
        for field, place in enumerate(one.shared):  # as documents, which the next run with this value shares
            kept.setdefault((field, place), getattr(spec, stored.fields[field]))
        return spec

    return tuple(map(run, stored.runs))


class _Pool:
    """Distinct values in the order in which they come."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self._by_object: dict[int, int] = {}
        self._by_text: dict[str, int] = {}
        self._alive: list[Any] = []
        """Objects whose ids are known: an id is another object's once its object is gone."""

    def place(self, value: Any) -> int:
        """Place of this value, which is added if it is new."""
        found = self._by_object.get(id(value))
        if found is None:
            text = canonical_json(_plain(value))
            found = self._by_text.setdefault(text, len(self.values))
            if found == len(self.values):
                self.values.append(value)
            self._by_object[id(value)] = found
            self._alive.append(value)
        return found


def _plain(value: Any) -> Any:
    if isinstance(value, Document):
        return value.model_dump(mode="json")
    return [_plain(item) for item in value] if isinstance(value, Sequence) and not isinstance(value, str) else value
