"""Resolve an experiment against a store: its cohorts, its source models and every run of it."""

from __future__ import annotations

from itertools import product

from lesionlab.errors import InputError, SpecError
from lesionlab.experiments.kept_plans import current_plan, find_plan
from lesionlab.experiments.ledger import completed
from lesionlab.experiments.planning import make_plan, pretraining
from lesionlab.experiments.registry import champion, find_model, source_model
from lesionlab.experiments.splits import kept_split
from lesionlab.store.documents import read_document, read_pointer
from lesionlab.store.objects import Store
from storage_schemas import keys
from storage_schemas.base import Digest, Slug
from storage_schemas.experiments import ExperimentSpec, Plan, Source, TrainedIn
from storage_schemas.manifests import Manifest
from storage_schemas.models import ModelCard
from storage_schemas.runs import RunSpec
from storage_schemas.versions import CURRENT, version_difference


def plan_experiment(spec: ExperimentSpec, store: Store, *, replan: bool = False) -> Plan:
    """The experiment's plan: the stored one where spec, cohorts and source models are still the same, else a new one.

    A stored plan keeps its runs' ids, whatever has been added to the code since. Raises SpecError where this code gives
    other results than the plan was made for, unless `replan`; and what `resolve_plan` raises.
    """
    stored = find_plan(store, spec.name)
    if stored is None or stored.spec != spec or not _inputs_unchanged(stored, store):
        return resolve_plan(spec, store)
    if stored.versions == CURRENT:
        return stored
    if replan:
        return resolve_plan(spec, store)
    done = len(completed(store, (run.run_id for run in stored.runs)))
    raise SpecError(
        f"experiment {spec.name}: {version_difference(stored.versions)} ({done} of {len(stored.runs)} cells are "
        "finished; to plan anew: --replan)"
    )


def _inputs_unchanged(plan: Plan, store: Store) -> bool:
    """Whether the cohorts and the source models that the spec names are still those that were planned with."""
    if read_pointer(store, keys.CURRENT_MANIFEST.build(cohort=plan.spec.target.cohort)) != plan.manifest:
        return False
    used = {(run.parent.model.name, run.parent.model.version) for run in plan.runs if run.parent}
    return all(_still_means(store, plan.spec, name, version) for name, version in used)


def _still_means(store: Store, spec: ExperimentSpec, model: Slug, version: Digest) -> bool:
    source = next(source for source in spec.sources if source.model == model)
    if source.cohort is not None:
        made_by = read_document(store, keys.RUN_SPEC.build(run_id=version), RunSpec)
        return read_pointer(store, keys.CURRENT_MANIFEST.build(cohort=source.cohort)) == made_by.manifest
    if source.trained_in is not None:
        return finished_run(store, source.trained_in).run_id == version
    return champion(store, model) == version


def resolve_plan(spec: ExperimentSpec, store: Store) -> Plan:
    """The study's runs, from the cohort, the split and the models that the store holds now.

    Raises InputError where a cohort or a default model is missing, SpecError where one does not fit.
    """
    manifest = manifest_of(store, spec.target.cohort)
    parents = {
        (source.model, depth): source_model(store, card_of(spec, source, depth, store))
        for source, depth in product(spec.sources, spec.network_depths)
    }
    return make_plan(spec, manifest, kept_split(store, manifest, spec.target), parents)


def manifest_of(store: Store, cohort: Slug) -> Manifest:
    """The current manifest of a cohort. Raises InputError where nothing was preprocessed under that name."""
    digest = read_pointer(store, keys.CURRENT_MANIFEST.build(cohort=cohort))
    if digest is None:
        raise InputError(
            f"cohort {cohort}: not in {store.uri}; bring it in with: lesionlab preprocess BIDS --cohort {cohort}"
        )
    return read_document(store, keys.MANIFEST.build(cohort=cohort, digest=digest), Manifest)


def card_of(spec: ExperimentSpec, source: Source, depth: int, store: Store) -> ModelCard:
    """The model that a source means at a depth of the study.

    With a cohort: what today's cohort, code and settings make. Taken from another study: the model of its last plan.
    Otherwise the champion. Raises InputError where it is not registered yet.
    """
    version = version_of(spec, source, depth, store)
    if version is None:
        return find_model(store, source.model)
    if not store.exists(keys.MODEL_CARD.build(name=source.model, version=version)):
        raise SpecError(
            f"source {source.model}: version {version} is not registered yet{_other_version(store, source.model)}; "
            f"train it first: lesionlab pretrain (with the experiment file of {spec.name})"
        )
    return find_model(store, f"{source.model}@{version}")


def _other_version(store: Store, model: Slug) -> str:
    """Why a registered model of this name is not the wanted one, where other code is the reason."""
    registered = champion(store, model)
    key = keys.RUN_SPEC.build(run_id=registered) if registered else ""
    if not registered or not store.exists(key):
        return ""
    versions = read_document(store, key, RunSpec).versions
    return "" if versions == CURRENT else f" (the registered {registered} was {version_difference(versions)})"


def version_of(spec: ExperimentSpec, source: Source, depth: int, store: Store) -> Digest | None:
    """The run that makes, or made, a source's model; None where the study file leaves that to the registry."""
    if source.cohort is not None:
        return pretraining(spec, source, depth, manifest_of(store, source.cohort)).run_id
    return finished_run(store, source.trained_in).run_id if source.trained_in else None


def finished_run(store: Store, wanted: TrainedIn) -> RunSpec:
    """The one run of another study that trained such a model. Raises SpecError where none or several fit, or it is not
    done, and InputError where there is no such study."""
    plan = current_plan(store, wanted.experiment)
    runs = [run for run in plan.runs if run.cell and wanted.means(run.cell)]
    if len(runs) != 1:
        titles = "; ".join(run.cell.title() for run in runs if run.cell)
        raise SpecError(
            f"trained_in {wanted.experiment}: wanted one cell, found {len(runs)}{f' ({titles})' if titles else ''}; "
            "give source, depth, seed or another value that only one has"
        )
    if not completed(store, [runs[0].run_id]):
        raise SpecError(f"trained_in {wanted.experiment}: its cell is not trained yet; do it first: lesionlab sweep SPEC")
    return runs[0]
