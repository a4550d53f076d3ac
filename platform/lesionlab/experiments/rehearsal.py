"""Plan an experiment before its default models are trained, and without writing into the store.

Whatever planning would refuse on a cluster is found out here, before a GPU is asked for. A default model that is not
trained yet is replaced by a stand-in that has everything but weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

from lesionlab.errors import InputError, SpecError
from lesionlab.experiments.benchmarks import refuse_benchmark_studies
from lesionlab.experiments.manifests import current_manifest, forbidden_parts, has_cohort
from lesionlab.experiments.patient_register import PatientRegister
from lesionlab.experiments.planning import make_plan, pretraining
from lesionlab.experiments.publishing import finished
from lesionlab.experiments.randomisation import draw_split
from lesionlab.experiments.registry import SourceModel, card_of_run, source_model
from lesionlab.experiments.site_policies import REPORT_SHOWS, withheld
from lesionlab.experiments.source_models import source_card, source_purpose
from lesionlab.experiments.store_planning import target_purpose
from lesionlab.experiments.stored_plans import find_sound_plan, first_endpoint
from lesionlab.store.documents import is_sound, read_document
from lesionlab.store.objects import Store
from storage_schemas import keys
from storage_schemas.base import Digest, Slug
from storage_schemas.experiments import ExperimentSpec, Plan, Source
from storage_schemas.manifests import Manifest
from storage_schemas.policies import LeftOut, Purpose
from storage_schemas.runs import RunSpec
from storage_schemas.splits import Split, Target, split_name

_NO_WEIGHTS = "0" * 64
"""Checksum of a stand-in's weights."""


@dataclass(frozen=True)
class Rehearsal:
    """What is to be done for an experiment."""

    plan: Plan
    pretrainings: tuple[RunSpec, ...]
    """Default models that the experiment trains, by source and depth."""
    done: frozenset[Digest]
    """Ids of those runs, of the plan and of the pretrainings, that are finished."""
    left_out: tuple[LeftOut, ...] = ()
    """Sites of all cohorts whose policies forbid their studies' use."""

    @property
    def runs(self) -> tuple[RunSpec, ...]:
        """All runs, in the order of execution."""
        return (*self.pretrainings, *self.plan.runs)

    @property
    def missing(self) -> tuple[RunSpec, ...]:
        """The runs that are not finished."""
        return tuple(run for run in self.runs if run.run_id not in self.done)


def rehearse(spec: ExperimentSpec, store: Store) -> Rehearsal:
    """Resolve the experiment as `plan_experiment` will on the cluster; the store is only read.

    Raises InputError that names every cohort that is missing, and whatever planning raises.
    """
    names = dict.fromkeys([*(s.cohort for s in spec.sources if s.cohort), spec.target.cohort])
    missing = [name for name in names if not has_cohort(store, name)]
    if missing:
        raise InputError(
            *(
                f"cohort {name}: not in {store.uri}; first: lesionlab preprocess DATASET --cohort {name}"
                for name in missing
            )
        )
    wanted = purposes(spec)
    manifests = {purpose.experiment: current_manifest(store, cohort, purpose) for cohort, purpose in wanted[:-1]}
    trained = tuple(
        pretraining(spec, source, depth, manifests[source.model])
        for source, depth in product(spec.sources, spec.network_depths)
        if source.cohort is not None
    )
    parents = {
        (source.model, depth): _model(spec, source, depth, manifests, store)
        for source, depth in product(spec.sources, spec.network_depths)
    }
    manifest = current_manifest(store, *wanted[-1])
    left_out = [one for cohort, purpose in wanted for one in forbidden_parts(store, cohort, purpose)]
    plan = make_plan(
        spec,
        manifest,
        _split(store, manifest, spec.target),
        parents,
        first_endpoint(store, spec.name),
        [one for one in left_out if one.cohort == spec.target.cohort],
        PatientRegister(store).marked,
    )
    refuse_benchmark_studies(store, (*trained, *map(_without_stand_in, plan.runs)), spec.cohorts)
    stored = find_sound_plan(store, spec.name)
    if stored is not None and (stored.spec, stored.manifest, stored.versions) == (spec, plan.manifest, plan.versions):
        plan = stored  # its run ids are kept, even if documents have gained fields since
    done = finished(store, plan.runs) | {run.run_id for run in trained if store.exists(_ledger(run))}
    return Rehearsal(plan, trained, frozenset(done), tuple(left_out))


def report_withheld(spec: ExperimentSpec, store: Store) -> tuple[str, ...]:
    """Why the report of the hospitals would be refused once everything is trained; empty: it would not.

    From the target cohort alone, so before any default model is trained. Raises what planning with it would raise.
    """
    manifest = current_manifest(store, spec.target.cohort, target_purpose(spec))
    used = {study for subset in _split(store, manifest, spec.target).subsets for study in subset}
    drawn = [entry for entry in manifest.studies if entry.study in used]
    return withheld(store, spec.name, spec.task.name, drawn, REPORT_SHOWS)


def purposes(spec: ExperimentSpec) -> tuple[tuple[Slug, Purpose], ...]:
    """Each cohort of an experiment and what its studies are wanted for: those of sources, the target last."""
    return (
        *((source.cohort, source_purpose(spec, source)) for source in spec.sources if source.cohort is not None),
        (spec.target.cohort, target_purpose(spec)),
    )


def _model(
    spec: ExperimentSpec, source: Source, depth: int, manifests: dict[Slug, Manifest], store: Store
) -> SourceModel:
    try:
        return source_model(store, source_card(spec, source, depth, store))
    except SpecError:
        if source.cohort is None:
            raise
    manifest = manifests[source.model]
    return _stand_in(source, pretraining(spec, source, depth, manifest), manifest)


def _stand_in(source: Source, run: RunSpec, manifest: Manifest) -> SourceModel:
    card = card_of_run(run, _NO_WEIGHTS).model_copy(
        update={
            "name": source.model,
            "trained_on": tuple(sorted(entry.study for entry in run.train)),
            "strip": manifest.strip,
        }
    )
    return SourceModel(card, (run,), ())


def _without_stand_in(run: RunSpec) -> RunSpec:
    stood_in = run.parent is not None and run.parent.weights_sha256 == _NO_WEIGHTS
    return run.model_copy(update={"parent": None}) if stood_in else run


def _split(store: Store, manifest: Manifest, target: Target) -> Split:
    key = keys.SPLIT.build(cohort=manifest.cohort, digest=split_name(manifest.id, target))
    return read_document(store, key, Split) if is_sound(store, key, Split) else draw_split(manifest, target)


def _ledger(run: RunSpec) -> str:
    return keys.LEDGER.build(run_id=run.run_id)
