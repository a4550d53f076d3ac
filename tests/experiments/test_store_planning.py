"""A store with a preprocessed cohort in; plans whose primary endpoint stays the one that was planned first, out."""

from __future__ import annotations

import pytest

from lesionlab.experiments.store_planning import plan_experiment
from lesionlab.experiments.stored_plans import store_plan
from lesionlab.store.objects import Store, open_store
from storage_schemas.experiments import ExperimentSpec
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
