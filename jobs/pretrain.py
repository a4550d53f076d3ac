"""A study file in; the default models that its arms start from, trained and registered, out."""

from __future__ import annotations

from pathlib import Path

from jobs.cohorts import manifest_of
from jobs.door import CacheOption, PlainOption, SpecArgument, StoreOption, connect, console, load_spec, run_alone
from jobs.execute import execute
from lesionlab.store.objects import Store
from lesionlab.studies.plan import pretraining
from lesionlab.studies.registry import register
from storage_schemas.models import ModelCard
from storage_schemas.runs import StudySpec


def pretrain_sources(spec: StudySpec, store: Store, cache: Path, *, plain: bool) -> tuple[ModelCard, ...]:
    """Train and register every source model that the study file describes; what is trained already is only registered.

    Raises TrainingError where a training failed, SpecError where a cohort does not fit.
    """
    runs = [
        pretraining(spec, source, manifest_of(store, source.cohort))
        for source in spec.sources
        if source.cohort is not None
    ]
    execute(runs, store, cache, plain=plain, what="default models")
    return tuple(register(store, run.run_id) for run in runs)


def pretrain(spec: SpecArgument, store: StoreOption, cache: CacheOption, plain: PlainOption = False) -> None:
    """Train and register the default models of a study file.

    Example: lesionlab pretrain demo
    """
    study, place = load_spec(spec), connect(store)
    for card in pretrain_sources(study, place, cache, plain=plain):
        console.print(
            f"registered {card.name}@{card.version}: {card.training_studies} studies of {card.cohort}, {card.task}",
            markup=False,
        )


if __name__ == "__main__":
    run_alone(pretrain)
