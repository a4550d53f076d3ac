"""Read what a store's small documents say: which run is complete, which plan holds which run, what must be there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

from lesionlab.errors import StoreError
from lesionlab.experiments.ledger import ledger_entries
from lesionlab.store.documents import read_document
from lesionlab.store.objects import Store
from storage_schemas import keys
from storage_schemas.base import Digest, Document, Pointer
from storage_schemas.decisions import Champion, Decision
from storage_schemas.experiments import Plan
from storage_schemas.keys import KeyPattern
from storage_schemas.manifests import Manifest, ManifestEntry
from storage_schemas.parts import Part, Withdrawal
from storage_schemas.results import LedgerEntry
from storage_schemas.runs import RunSpec

D = TypeVar("D", bound=Document)


@dataclass(frozen=True)
class Contents:
    """Documents of the store under these keys, without those that cannot be read."""

    store: Store
    names: frozenset[str]
    """All keys."""

    @cached_property
    def ledger(self) -> dict[Digest, LedgerEntry]:
        """Entries of the complete runs."""
        ids = [values["run_id"] for key in self.names if (values := keys.LEDGER.parse(key))]
        return ledger_entries(self.store, ids)

    @cached_property
    def plans(self) -> tuple[Plan, ...]:
        """Of every experiment, current or not."""
        return tuple(self._read(keys.PLAN, Plan, but=keys.CURRENT_PLAN))

    @cached_property
    def manifests(self) -> tuple[Manifest, ...]:
        """Every manifest that something was planned with."""
        return tuple(self._read(keys.MANIFEST, Manifest))

    @cached_property
    def parts(self) -> tuple[Part, ...]:
        """The current part of each site in each cohort."""
        places = [keys.PART.build(**values, digest=found.target) for values, found in self._pointers(keys.CURRENT_PART)]
        return tuple(part for place in sorted(places) if (part := self._one(place, Part)))

    @property
    def listings(self) -> tuple[Manifest | Part, ...]:
        """Everything that lists studies."""
        return (*self.manifests, *self.parts)

    @cached_property
    def withdrawn(self) -> frozenset[Digest]:
        """Volumes of studies that were withdrawn: something may refer to them, and they are gone for good."""
        return frozenset(volume for found in self._read(keys.WITHDRAWAL, Withdrawal) for volume in found.volumes)

    @cached_property
    def specs(self) -> dict[Digest, RunSpec]:
        """The runs that have a document of their own."""
        return {run.run_id: run for run in self._read(keys.RUN_SPEC, RunSpec)}

    @cached_property
    def runs(self) -> dict[Digest, RunSpec]:
        """Every run that a plan or a document of its own describes."""
        return {run.run_id: run for plan in self.plans for run in plan.runs} | self.specs

    @cached_property
    def decisions(self) -> tuple[str, ...]:
        """Keys of the decisions that count: those that the pointer of a model leads to."""
        found = []
        for key in sorted(self.names):
            if (values := keys.CHAMPION.parse(key)) and (pointer := self._one(key, Champion)):
                at = pointer.decision
                while at:
                    found.append(place := keys.DECISION.build(name=values["name"], digest=at))
                    decision = self._one(place, Decision)
                    at = decision.before if decision else None
        return tuple(found)

    def unreadable(self, but: frozenset[str]) -> list[str]:
        """Keys of the documents that say what is in use and cannot be read, except those in `but`."""
        patterns: dict[KeyPattern, type[Document]] = {
            **dict.fromkeys((keys.CURRENT_PART, keys.CURRENT_PLAN), Pointer),
            keys.PART: Part,
            keys.CHAMPION: Champion,
            keys.MANIFEST: Manifest,
            keys.PLAN: Plan,
            keys.RUN_SPEC: RunSpec,
            keys.LEDGER: LedgerEntry,
        }
        kinds = {key: next((m for pattern, m in patterns.items() if pattern.parse(key)), None) for key in self.names}
        return sorted(key for key, model in kinds.items() if model and key not in but and not self._one(key, model))

    def own(self, run_id: Digest, pattern: KeyPattern, **values: str) -> str:
        """Key of an output of a complete run, in the folder of the attempt that counts."""
        return pattern.of(self.ledger[run_id].attempt).build(run_id=run_id, **values)

    def expected(self) -> Iterator[str]:
        """Places (keys, or Zarr groups) that something refers to, so that they must exist."""
        yield from self._targets()
        yield from self.decisions
        for owner in self.listings:
            yield from (self._volume_of(entry) for entry in owner.studies if entry.volume not in self.withdrawn)
        for key in self.names:
            if values := keys.MODEL_CARD.parse(key):
                yield keys.MODEL_WEIGHTS.build(**values)
            if values := keys.DECISION.parse(key):
                yield keys.CHAMPION.build(name=values["name"])
        for run_id in self.ledger:
            if run := self.runs.get(run_id):
                yield from self.outputs(run, self.ledger[run_id].attempt)

    def _volume_of(self, entry: ManifestEntry) -> str:
        """Where a study's volume lies: at its site, or sealed with a benchmark."""
        sealed = keys.sealed_key(entry.site, entry.study, entry.volume)
        return sealed if f"{sealed}/zarr.json" in self.names else entry.volume_key

    def outputs(self, run: RunSpec, attempt: str) -> Iterator[str]:
        """Places of what a complete attempt at a run has written."""
        model = (keys.RUN_WEIGHTS, keys.RUN_CARD) if run.train else ()
        rows = (keys.RUN_STUDY_ROWS, keys.RUN_LESION_ROWS) if run.cell else ()
        yield from (pattern.of(attempt).build(run_id=run.run_id) for pattern in (*model, *rows))
        for entry in run.test:
            if entry.volume not in self.withdrawn:
                yield keys.prediction_key(run.run_id, entry.study, attempt)

    def _targets(self) -> Iterator[str]:
        """What the pointers point to."""
        for pointer, target, name in (
            (keys.CURRENT_PART, keys.PART, "digest"),
            (keys.CURRENT_PLAN, keys.PLAN, "digest"),
        ):
            for values, found in self._pointers(pointer):
                yield target.build(**values, **{name: found.target})
        for key in self.names:
            if (own := keys.CHAMPION.parse(key)) and (champion := self._one(key, Champion)):
                yield keys.MODEL_CARD.build(**own, version=champion.target)

    def _pointers(self, kind: KeyPattern) -> Iterator[tuple[dict[str, str], Pointer]]:
        """The values in the key of each pointer of a kind, and the pointer."""
        for key in self.names:
            if (values := kind.parse(key)) and (found := self._one(key, Pointer)):
                yield values, found

    def _read(self, pattern: KeyPattern, model: type[D], but: KeyPattern | None = None) -> Iterable[D]:
        for key in sorted(self.names):
            if pattern.parse(key) and not (but and but.parse(key)) and (found := self._one(key, model)):
                yield found

    def _one(self, key: str, model: type[D]) -> D | None:
        try:
            return read_document(self.store, key, model)
        except StoreError:
            return None
