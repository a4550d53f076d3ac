"""Find the model that each source of an experiment names: pretrained, taken from another experiment, or registered."""

from __future__ import annotations

from lesionlab.errors import SpecError
from lesionlab.experiments.ledger import is_complete
from lesionlab.experiments.manifests import current_manifest
from lesionlab.experiments.planning import pretraining
from lesionlab.experiments.registry import find_model, models
from lesionlab.experiments.site_policies import purpose_of
from lesionlab.experiments.stored_plans import current_plan
from lesionlab.store.documents import read_document
from lesionlab.store.objects import Store
from storage_schemas import keys
from storage_schemas.base import Digest, Slug
from storage_schemas.experiments import ExperimentSpec, Source, TrainedIn
from storage_schemas.models import ModelCard
from storage_schemas.policies import Purpose
from storage_schemas.runs import RunSpec
from storage_schemas.versions import CURRENT, version_difference


def source_card(spec: ExperimentSpec, source: Source, depth: int, store: Store) -> ModelCard:
    """The card of a source's model at one network depth.

    A source with a cohort: the model that the current cohort, code and settings give. A source with `trained_in`: the
    model of that experiment's current plan. A source with a version: that one. Any other source: the champion of that
    name or, while none was promoted, its only version.

    Raises SpecError if the wanted version is not registered, InputError if the store holds no such cohort, experiment
    or model, or if a bare name could mean several versions: `version` says which.
    """
    version = source_version(spec, source, depth, store)
    if version is None:
        return find_model(store, source.model)
    if source.version is not None:
        return find_model(store, f"{source.model}@{version}")
    if not store.exists(keys.MODEL_CARD.build(name=source.model, version=version)):
        raise SpecError(
            f"source {source.model}: version {version} is not registered yet{_other_version(store, source.model)}; "
            f"train it first: lesionlab pretrain (with the experiment file of {spec.name})"
        )
    return find_model(store, f"{source.model}@{version}")


def source_version(spec: ExperimentSpec, source: Source, depth: int, store: Store) -> Digest | None:
    """The version that a source names, or the id of the run that trains, or trained, its model; None if the registry
    decides."""
    if source.version is not None:
        return source.version
    if source.cohort is not None:
        manifest = current_manifest(store, source.cohort, source_purpose(spec, source))
        return pretraining(spec, source, depth, manifest).run_id
    return finished_run(store, source.trained_in).run_id if source.trained_in else None


def source_purpose(spec: ExperimentSpec, source: Source) -> Purpose:
    """What the studies of a source's cohort are wanted for."""
    return purpose_of(source.model, (source.task or spec.task).name, tested=False)


def finished_run(store: Store, wanted: TrainedIn) -> RunSpec:
    """The one run of another experiment that trained such a model.

    Raises SpecError if no cell or several cells match, or the run is not finished; InputError if there is no such
    experiment.
    """
    plan = current_plan(store, wanted.experiment)
    runs = [run for run in plan.runs if run.cell and wanted.means(run.cell)]
    if len(runs) != 1:
        titles = "; ".join(run.cell.title() for run in runs if run.cell)
        raise SpecError(
            f"trained_in {wanted.experiment}: wanted one cell, found {len(runs)}{f' ({titles})' if titles else ''}; "
            "add source, depth, seed or another value that only one cell has"
        )
    if not is_complete(store, runs[0].run_id):
        raise SpecError(
            f"trained_in {wanted.experiment}: the cell is not trained yet; train it first: lesionlab sweep "
            f"{wanted.experiment}"
        )
    return runs[0]


def _other_version(store: Store, model: Slug) -> str:
    """Say so if a model of this name is registered but other result versions of the code made it."""
    for card in models(store):
        key = keys.RUN_SPEC.build(run_id=card.version)
        if card.name == model and store.exists(key):
            versions = read_document(store, key, RunSpec).versions
            if versions != CURRENT:
                return f" (the registered {card.version} was {version_difference(versions)})"
    return ""
