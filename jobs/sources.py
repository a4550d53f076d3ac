"""A source of a study file in; the registered model that it means, out."""

from __future__ import annotations

from jobs.cohorts import manifest_of
from lesionlab.errors import SpecError
from lesionlab.store.objects import Store
from lesionlab.studies.ledger import completed
from lesionlab.studies.plan import pretraining
from lesionlab.studies.plans import current_plan
from lesionlab.studies.registry import find_model
from storage_schemas import keys
from storage_schemas.base import Digest
from storage_schemas.models import ModelCard
from storage_schemas.runs import RunSpec
from storage_schemas.studies import Source, StudySpec, TrainedIn


def card_of(spec: StudySpec, source: Source, depth: int, store: Store) -> ModelCard:
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


def version_of(spec: StudySpec, source: Source, depth: int, store: Store) -> Digest | None:
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
