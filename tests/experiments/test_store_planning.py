"""A store with a preprocessed cohort in; plans whose primary endpoint stays the one that was planned first, out."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from lesionlab.errors import InputError
from lesionlab.experiments.champions import Person, promote
from lesionlab.experiments.store_planning import plan_experiment
from lesionlab.experiments.stored_plans import store_plan
from lesionlab.store.documents import create_document
from lesionlab.store.objects import Store, open_store
from storage_schemas import keys
from storage_schemas.experiments import ExperimentSpec
from storage_schemas.models import Architecture, InferenceConfig, ModelCard
from storage_schemas.tasks import TASKS
from tests.experiments.drawn import cohort_of
from tests.parts import contribute


def spec(**changes: object) -> ExperimentSpec:
    return ExperimentSpec.model_validate(
        {
            "name": "alone",
            "title": "de novo alone",
            "task": "flair-single",
            "cohorts": {"ms": {}},
            "target": {"cohort": "ms"},
            "training_sizes": [10, 20],
            **changes,
        }
    )


@pytest.fixture
def store() -> Store:
    place, cohort = open_store("memory://"), cohort_of(60)
    contribute(place, cohort)
    return place


def test_an_unchanged_experiment_keeps_its_plan(store: Store) -> None:
    first = plan_experiment(spec(), store)
    store_plan(store, first)
    assert plan_experiment(spec(), store) == first


def test_whatever_is_changed_later_the_first_endpoint_stays(store: Store) -> None:
    first = plan_experiment(spec(), store)
    store_plan(store, first)
    second = plan_experiment(spec(primary_endpoint="sensitivity"), store)
    store_plan(store, second)
    third = plan_experiment(spec(primary_endpoint="dice", folds=[1, 2, 3]), store)
    assert [plan.spec.endpoint.metric for plan in (first, second, third)] == ["ppv", "sensitivity", "dice"]
    assert {plan.first_endpoint.metric for plan in (first, second, third)} == {"ppv"}


def test_another_name_is_another_registration(store: Store) -> None:
    store_plan(store, plan_experiment(spec(), store))
    assert plan_experiment(spec(name="again", primary_endpoint="dice"), store).first_endpoint.metric == "dice"


FIRST, SECOND = "1" * 16, "2" * 16


def registered(store: Store, version: str) -> None:
    """A version of the model `elsewhere`, which fits the experiment."""
    card = ModelCard(
        name="elsewhere",
        version=version,
        task=TASKS["flair-single"],
        architecture=Architecture(),
        channels=("flair",),
        spacing_mm=1.0,
        patch_voxels=96,
        inference=InferenceConfig(),
        weights_sha256=version * 4,
        cohort="glioma",
        training_studies=7,
    )
    create_document(store, keys.MODEL_CARD.build(name="elsewhere", version=version), card)


def sources(store: Store, **changes: object) -> set[str]:
    """Versions that the experiment's networks start from; its plan is stored."""
    source = {"model": "elsewhere"} | changes
    plan = plan_experiment(spec(sources=[source]), store)
    store_plan(store, plan)
    return {run.parent.model.version for run in plan.runs if run.parent}


def test_a_bare_source_needs_no_champion_if_there_is_one_version_only(store: Store) -> None:
    registered(store, FIRST)
    assert sources(store) == {FIRST}


def test_a_plan_keeps_the_version_that_it_started_from_whatever_is_promoted(store: Store) -> None:
    registered(store, FIRST)
    sources(store)
    registered(store, SECOND)
    promote(store, f"elsewhere@{SECOND}", "better", Person("ann@north", datetime(2026, 1, 2, tzinfo=UTC)))
    assert sources(store) == {FIRST}
    assert sources(store, version=SECOND) == {SECOND}
    assert sources(store, version=FIRST) == {FIRST}


def test_among_several_versions_a_bare_source_is_the_champion_and_without_one_the_file_must_say_which(
    store: Store,
) -> None:
    registered(store, FIRST)
    registered(store, SECOND)
    with pytest.raises(InputError, match=f"name one of them: elsewhere@{FIRST}, elsewhere@{SECOND}"):
        sources(store)
    promote(store, f"elsewhere@{SECOND}", "better", Person("ann@north", datetime(2026, 1, 2, tzinfo=UTC)))
    assert sources(store) == {SECOND}


def test_a_version_beside_a_cohort_is_a_contradiction() -> None:
    with pytest.raises(ValueError, match="wanted a version, or a cohort or trained_in that gives it; found both"):
        spec(cohorts={"ms": {}, "glioma": {}}, sources=[{"model": "a", "cohort": "glioma", "version": FIRST}])
