"""Plan an experiment from what a store holds: cohorts, splits, source models and the stored plan."""

from __future__ import annotations

from itertools import product

from lesionlab.errors import DamagedObject, SpecError
from lesionlab.experiments.benchmarks import refuse_benchmark_studies
from lesionlab.experiments.manifests import current_manifest, forbidden_parts, frozen_manifest, has_cohort
from lesionlab.experiments.patient_register import PatientRegister
from lesionlab.experiments.planning import make_plan
from lesionlab.experiments.publishing import finished
from lesionlab.experiments.registry import source_model
from lesionlab.experiments.site_policies import purpose_of, refuse_forbidden
from lesionlab.experiments.source_models import finished_run, source_card, source_purpose
from lesionlab.experiments.splits import stored_split
from lesionlab.experiments.stored_plans import find_sound_plan, first_endpoint
from lesionlab.store.documents import read_document
from lesionlab.store.objects import Store
from storage_schemas import keys
from storage_schemas.base import Digest, Slug
from storage_schemas.experiments import ExperimentSpec, Plan
from storage_schemas.policies import Purpose
from storage_schemas.runs import RunSpec
from storage_schemas.versions import CURRENT, version_difference


def plan_experiment(spec: ExperimentSpec, store: Store, *, replan: bool = False) -> Plan:
    """The experiment's plan: the stored plan if spec, cohorts and source models are unchanged, otherwise a new plan.

    A stored plan keeps its run ids, even if documents have gained fields since. Raises SpecError if the code's result
    versions differ from the plan's and `replan` is false, or if a run or an ancestor of its source holds a study of a
    benchmark, InputError if a site's policy forbids the stored plan's runs by now and `replan` is false, and whatever
    `resolve_plan` raises.
    """
    plan = _stored_or_new(spec, store, replan=replan)
    refuse_benchmark_studies(store, plan.runs, spec.cohorts)
    return plan


def _stored_or_new(spec: ExperimentSpec, store: Store, *, replan: bool) -> Plan:
    stored = find_sound_plan(store, spec.name)
    if stored is not None and stored.spec == spec and not replan:
        advice = f"experiment {spec.name}: to plan again without them, with the results that are there: --replan"
        refuse_forbidden(store, stored.runs, advice)
    if stored is None or stored.spec != spec or not _inputs_unchanged(stored, store):
        return resolve_plan(spec, store)
    if stored.versions == CURRENT:
        return stored
    if replan:
        return resolve_plan(spec, store)
    done = len(finished(store, stored.runs))
    raise SpecError(
        f"experiment {spec.name}: {version_difference(stored.versions)} ({done} of {len(stored.runs)} cells are "
        "finished; to plan again: --replan)"
    )


def _inputs_unchanged(plan: Plan, store: Store) -> bool:
    """Whether the spec's cohorts and source models are still the ones that the plan was made from."""
    cohort, purpose = plan.spec.target.cohort, target_purpose(plan.spec)
    if not _is_current_manifest(store, cohort, plan.manifest, purpose):
        return False
    if plan.left_out != forbidden_parts(store, cohort, purpose):
        return False
    used = {(run.parent.model.name, run.parent.model.version) for run in plan.runs if run.parent}
    return all(_is_current(store, plan.spec, name, version) for name, version in used)


def target_purpose(spec: ExperimentSpec) -> Purpose:
    """What the studies of the target cohort are wanted for."""
    return purpose_of(spec.name, spec.task.name, tested=True)


def _is_current_manifest(store: Store, cohort: Slug, manifest: Digest, purpose: Purpose) -> bool:
    return has_cohort(store, cohort) and current_manifest(store, cohort, purpose).id == manifest


def _is_current(store: Store, spec: ExperimentSpec, model: Slug, version: Digest) -> bool:
    source = next(source for source in spec.sources if source.model == model)
    if source.cohort is not None:
        made_by = read_document(store, keys.RUN_SPEC.build(run_id=version), RunSpec)
        return _is_current_manifest(store, source.cohort, made_by.manifest, source_purpose(spec, source))
    if source.trained_in is not None:
        return finished_run(store, source.trained_in).run_id == version
    # A version that was promoted meanwhile replaces no source of an experiment that is under way.
    return source.version in (None, version) and store.exists(keys.MODEL_CARD.build(name=model, version=version))


def resolve_plan(spec: ExperimentSpec, store: Store) -> Plan:
    """Plan the experiment's runs from the cohorts, the split and the models that the store holds now.

    The primary endpoint of the experiment's first plan stays in every later one, whatever the spec says by then.
    Raises InputError if a cohort or a default model is missing, SpecError if one does not fit the spec, and
    DamagedObject if no stored plan can tell the first endpoint.
    """
    purpose = target_purpose(spec)
    manifest = frozen_manifest(store, spec.target.cohort, purpose)
    left_out = forbidden_parts(store, spec.target.cohort, purpose)
    parents = {
        (source.model, depth): source_model(store, source_card(spec, source, depth, store))
        for source, depth in product(spec.sources, spec.network_depths)
    }
    split = stored_split(store, manifest, spec.target)
    marked = PatientRegister(store).marked
    try:
        endpoint = first_endpoint(store, spec.name)
    except DamagedObject:
        plan = make_plan(spec, manifest, split, parents, left_out=left_out, marked=marked)
        if store.exists(keys.PLAN.build(experiment=spec.name, digest=plan.id)):
            return plan  # the damaged one: its name is the digest of everything in it
        raise
    return make_plan(spec, manifest, split, parents, endpoint, left_out, marked)
