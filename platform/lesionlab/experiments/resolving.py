"""Resolve an experiment against a store: its cohorts, its source models and every run of it."""

from __future__ import annotations

from itertools import product

from lesionlab.errors import InputError, SpecError
from lesionlab.experiments.kept_plans import current_plan
from lesionlab.experiments.ledger import completed
from lesionlab.experiments.planning import make_plan, pretraining
from lesionlab.experiments.registry import find_model, source_model
from lesionlab.experiments.splits import kept_split
from lesionlab.store.documents import read_document, read_pointer
from lesionlab.store.objects import Store
from storage_schemas import keys
from storage_schemas.base import Digest, Slug
from storage_schemas.experiments import ExperimentSpec, Plan, Source, TrainedIn
from storage_schemas.manifests import Manifest
from storage_schemas.models import ModelCard
from storage_schemas.runs import RunSpec


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
            f"source {source.model}: version {version} is not registered yet; train it first: lesionlab pretrain "
            f"(with the study file of {spec.name})"
        )
    return find_model(store, f"{source.model}@{version}")


def version_of(spec: ExperimentSpec, source: Source, depth: int, store: Store) -> Digest | None:
    """The run that makes, or made, a source's model; None where the study file leaves that to the registry."""
    if source.cohort is not None:
        return pretraining(spec, source, depth, manifest_of(store, source.cohort)).run_id
    return finished_run(store, source.trained_in).run_id if source.trained_in else None


def finished_run(store: Store, wanted: TrainedIn) -> RunSpec:
    """The one run of another study that trained such a model. Raises SpecError where none or several fit, or it is not
    done, and InputError where there is no such study."""
    plan = current_plan(store, wanted.study)
    runs = [run for run in plan.runs if run.cell and wanted.means(run.cell)]
    if len(runs) != 1:
        titles = "; ".join(run.cell.title() for run in runs if run.cell)
        raise SpecError(
            f"trained_in {wanted.study}: wanted one cell, found {len(runs)}{f' ({titles})' if titles else ''}; "
            "give source, depth, seed or another value that only one has"
        )
    if not completed(store, [runs[0].run_id]):
        raise SpecError(f"trained_in {wanted.study}: its cell is not trained yet; do it first: lesionlab sweep SPEC")
    return runs[0]
