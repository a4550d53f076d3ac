"""A study file in; the default models that its arms start from, trained and registered, out."""

from __future__ import annotations

from itertools import product
from pathlib import Path

from jobs.shared.command_line import CacheOption, PlainOption, SpecArgument, StoreOption, connect, console, run_alone
from jobs.shared.datasets import BidsOption, WorkOption, bring_in, cohort_origins, dataset_of
from jobs.shared.execution import execute_with_progress
from jobs.shared.intake import ExcludeFaultyOption
from jobs.shared.specs import load_spec
from lesionlab.experiments.manifests import current_manifest
from lesionlab.experiments.planning import pretraining
from lesionlab.experiments.registry import register
from lesionlab.experiments.source_models import finished_run
from lesionlab.store.documents import read_pointer
from lesionlab.store.objects import Store
from storage_schemas import keys
from storage_schemas.experiments import ExperimentSpec
from storage_schemas.models import ModelCard


def pretrain_sources(spec: ExperimentSpec, store: Store, cache: Path, *, plain: bool) -> tuple[ModelCard, ...]:
    """Train and register every source model that the study file describes, at each depth of the study; what is trained
    already is only registered. A bare name then means the model of the study's main depth.

    Raises TrainingError where a training failed, SpecError where a cohort does not fit, or the study that a model is to
    be taken from has not trained it.
    """
    trained = [
        (depth, pretraining(spec, source, depth, current_manifest(store, source.cohort)))
        for source, depth in product(spec.sources, spec.network_depths)
        if source.cohort is not None
    ]
    taken = [(s.model, finished_run(store, s.trained_in)) for s in spec.sources if s.trained_in is not None]
    execute_with_progress([run for _, run in trained], store, cache, plain=plain, what="default models")
    return (
        *(register(store, run.run_id, champion=depth == spec.main_depth) for depth, run in trained),
        *(register(store, run.run_id, model) for model, run in taken),
    )


def bring_in_sources(
    spec: ExperimentSpec, store: Store, work: Path, bids: list[str], *, exclude_faulty: bool, plain: bool
) -> None:
    """Preprocess the source cohorts that are given, and those that the store lacks and that can be simulated."""
    cohorts = dict.fromkeys(source.cohort for source in spec.sources if source.cohort)
    lacking = [name for name in cohorts if read_pointer(store, keys.CURRENT_MANIFEST.build(cohort=name)) is None]
    for name, origin in cohort_origins(spec, bids, lacking).items():
        bring_in(spec, name, dataset_of(name, origin, work), store, exclude_faulty=exclude_faulty, plain=plain)


def pretrain(
    spec: SpecArgument,
    store: StoreOption,
    cache: CacheOption,
    work: WorkOption,
    bids: BidsOption = None,
    exclude_faulty: ExcludeFaultyOption = False,
    plain: PlainOption = False,
) -> None:
    """Train and register the default models of a study file.

    Their cohorts are those of the store, else the datasets that are given, else simulated as the study file says.

    Example: lesionlab pretrain wahlig2023-enhancing --bids metastases=./metastases
    """
    study, place = load_spec(spec), connect(store)
    bring_in_sources(study, place, work, bids or [], exclude_faulty=exclude_faulty, plain=plain)
    for card in pretrain_sources(study, place, cache, plain=plain):
        console.print(
            f"registered {card.name}@{card.version}: depth {card.architecture.depth}, "
            f"{card.training_studies} studies of {card.cohort}, {card.task.name}",
            markup=False,
        )


if __name__ == "__main__":
    run_alone(pretrain)
