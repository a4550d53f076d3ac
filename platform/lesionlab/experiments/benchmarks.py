"""Freeze a cohort as a benchmark, and keep its studies out of all that is trained or tested outside the gate."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from lesionlab.errors import InputError, SpecError
from lesionlab.experiments.manifests import frozen_manifest
from lesionlab.experiments.patient_register import Marked, PatientRegister, unmarked
from lesionlab.experiments.registry import SourceModel, find_model, source_model
from lesionlab.experiments.seen import declared_overlaps, overlaps
from lesionlab.store.arrays import copy_group, delete_group, group_exists
from lesionlab.store.documents import create_named, read_document
from lesionlab.store.objects import Store
from storage_schemas import keys
from storage_schemas.base import Slug, StudyId
from storage_schemas.benchmarks import Benchmark
from storage_schemas.cohorts import Cohort
from storage_schemas.definitions import MetricDefinition
from storage_schemas.manifests import Manifest, ManifestEntry
from storage_schemas.models import ModelName
from storage_schemas.runs import RunSpec

LISTED = 5
"""Studies that a message lists."""


@dataclass(frozen=True)
class Frozen:
    """A benchmark with its studies."""

    benchmark: Benchmark
    manifest: Manifest

    @property
    def name(self) -> str:
        """`name@digest`."""
        return f"{self.benchmark.name}@{self.benchmark.id}"

    def held(
        self,
        entries: Iterable[ManifestEntry],
        cohort: Slug,
        cohorts: Mapping[Slug, Cohort] | None = None,
        marked: Marked = unmarked,
    ) -> dict[StudyId, str]:
        """Each of the benchmark's studies that these entries of a cohort hold, and how that shows.

        `cohorts` say which patient register a cohort uses, `marked` recognises patients of a consortium's register.
        """
        same_people = self.shares_patients(cohort, cohorts)
        own = marked(self.manifest.studies, self.manifest.cohort)
        return _first(overlaps(own, marked(entries, cohort), same_people=same_people))

    def found_in(
        self,
        entries: Iterable[ManifestEntry],
        cohort: Slug,
        cohorts: Mapping[Slug, Cohort] | None = None,
        marked: Marked = unmarked,
    ) -> dict[StudyId, str]:
        """The other way round: each of these entries that the benchmark holds, and how that shows."""
        same_people = self.shares_patients(cohort, cohorts)
        own = marked(self.manifest.studies, self.manifest.cohort)
        return _first(overlaps(marked(entries, cohort), own, same_people=same_people))

    def shares_patients(self, cohort: Slug, cohorts: Mapping[Slug, Cohort] | None = None) -> bool:
        """Whether patient labels of a cohort mean the same people as the benchmark's own."""
        own = self.benchmark
        register = cohorts[cohort].patient_register if cohorts and cohort in cohorts else None
        one_register = register is not None and register == own.patient_register
        return one_register or cohort in (own.cohort, *own.same_patients)


def _first(found: Iterable[tuple[StudyId, str]]) -> dict[StudyId, str]:
    """The first of several reasons for each study."""
    reasons: dict[StudyId, str] = {}
    for study, how in found:
        reasons.setdefault(study, how)
    return reasons


def freeze(
    store: Store,
    name: Slug,
    cohort: Slug,
    metric: MetricDefinition,
    same_patients: Iterable[Slug] = (),
    patient_register: Slug | None = None,
) -> Frozen:
    """Freeze the current manifest of a cohort; the same call gives the same benchmark.

    Raises InputError if the cohort is missing or has no studies.
    """
    manifest = frozen_manifest(store, cohort)
    if not manifest.studies:
        raise InputError(f"cohort {cohort}: wanted studies to freeze, found none that passed quality control")
    benchmark = Benchmark.named(
        name=name,
        cohort=cohort,
        manifest=manifest.id,
        same_patients=tuple(sorted(set(same_patients) - {cohort})),
        patient_register=patient_register,
        metric=metric,
    )
    create_named(store, keys.BENCHMARK.build(name=name, digest=benchmark.id), benchmark)
    return Frozen(benchmark, manifest)


def frozen_benchmarks(store: Store) -> list[Frozen]:
    """All benchmarks of the store, sorted by name."""
    found = [key for key in store.list(keys.BENCHMARK.prefix()) if keys.BENCHMARK.parse(key)]
    return [_whole(store, read_document(store, key, Benchmark)) for key in found]


def find_benchmark(store: Store, benchmark: str) -> Frozen:
    """The benchmark of a digest, or of a name that has only one. Raises InputError that lists all."""
    known = frozen_benchmarks(store)
    found = [one for one in known if benchmark in (one.benchmark.id, one.benchmark.name, one.name)]
    if len(found) != 1:
        names = ", ".join(one.name for one in known) or "none yet; lesionlab benchmark NAME COHORT freezes one"
        raise InputError(f"benchmark {benchmark!r}: wanted one in {store.uri}, found {len(found)}; there are: {names}")
    return found[0]


def seal(store: Store, frozen: Frozen) -> int:
    """Move the volumes of a benchmark below the folder that the gate's role alone may read; the number that was moved.

    Needs every right. Can be stopped and called again: a volume is removed from its site once its copy is whole.
    Raises MissingObject if a volume is at neither place, DamagedObject if one is not what was written.
    """
    moved = 0
    for entry in frozen.manifest.studies:
        sealed = keys.sealed_key(entry.site, entry.study, entry.volume)
        if not group_exists(store, sealed):
            copy_group(store, entry.volume_key, sealed)
            moved += 1
        delete_group(store, entry.volume_key)  # also what a stopped call left of one
    return moved


def volume_place(store: Store, entry: ManifestEntry) -> str:
    """Where the gate finds a study's volume: sealed, or at its site."""
    sealed = keys.sealed_key(entry.site, entry.study, entry.volume)
    return sealed if group_exists(store, sealed) else entry.volume_key


def _whole(store: Store, benchmark: Benchmark) -> Frozen:
    key = keys.MANIFEST.build(cohort=benchmark.cohort, digest=benchmark.manifest)
    return Frozen(benchmark, read_document(store, key, Manifest))


def refuse_benchmark_studies(
    store: Store, runs: Iterable[RunSpec], cohorts: Mapping[Slug, Cohort] | None = None
) -> None:
    """Refuse runs that train on a benchmark's study, or test one outside the gate; their ancestors too.

    Raises SpecError with one fault for each benchmark and cohort.
    """
    frozen = frozen_benchmarks(store)
    if not frozen:
        return
    runs = tuple(runs)
    used: dict[Slug, dict[tuple[str, str], ManifestEntry]] = defaultdict(dict)
    for run in (*runs, *_ancestors(store, runs)):
        used[run.cohort] |= {(entry.site, entry.volume): entry for entry in (*run.train, *run.test)}
    faults = held_studies(store, {cohort: tuple(entries.values()) for cohort, entries in used.items()}, cohorts)
    faults += [
        f"model {card.full_name} was trained on patients of benchmark {one.name}, as declared ({_listed(held)}); start "
        "from another model"
        for one in frozen
        for card in {card.version: card for model in _parents(store, runs) for card in model.imported}.values()
        if one.shares_patients(card.cohort, cohorts) and (held := dict(declared_overlaps(one.manifest.studies, card)))
    ]
    if faults:
        raise SpecError(*faults)


def held_studies(
    store: Store, used: Mapping[Slug, Iterable[ManifestEntry]], cohorts: Mapping[Slug, Cohort] | None = None
) -> list[str]:
    """One fault for each benchmark and cohort of which these studies hold some of the benchmark's."""
    marked = PatientRegister(store).marked
    return [
        f"cohort {cohort} holds {len(held)} of the {len(one.manifest.studies)} studies of benchmark {one.name} "
        f"({_listed(held)}); they are tested through the gate alone: exclude them from the cohort"
        for one in frozen_benchmarks(store)
        for cohort, entries in used.items()
        if (held := one.held(entries, cohort, cohorts, marked))
    ]


def refuse_looks(store: Store, manifest: Manifest) -> None:
    """Refuse to test a model on a benchmark's studies outside the gate. Raises InputError for each benchmark."""
    marked = PatientRegister(store).marked
    faults = [
        f"cohort {manifest.cohort} holds {len(held)} studies of benchmark {one.name} ({_listed(held)}); a candidate is "
        "tested on them by lesionlab promote alone, which takes a ticket first"
        for one in frozen_benchmarks(store)
        if (held := one.held(manifest.studies, manifest.cohort, marked=marked))
    ]
    if faults:
        raise InputError(*faults)


def _ancestors(store: Store, runs: Iterable[RunSpec]) -> Iterable[RunSpec]:
    """The runs that trained the models which these runs start from, as far as the store has them."""
    for model in _parents(store, runs):
        yield from model.made_by


def _parents(store: Store, runs: Iterable[RunSpec]) -> Iterable[SourceModel]:
    parents: set[ModelName] = {run.parent.model for run in runs if run.parent}
    for parent in parents:
        yield source_model(store, find_model(store, f"{parent.name}@{parent.version}"))


def _listed(held: Mapping[StudyId, str]) -> str:
    told = [f"{study}: {how}" for study, how in list(held.items())[:LISTED]]
    return "; ".join(told) + (f"; and {len(held) - LISTED} more" if len(held) > LISTED else "")
