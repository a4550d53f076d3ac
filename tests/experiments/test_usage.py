"""Runs and their ledger entries in; hours and studies by month and site out, whose sum is the total."""

from __future__ import annotations

import pytest

from lesionlab.experiments.usage import UNKNOWN, hours_of, summed, usage
from lesionlab.store.objects import open_store
from storage_schemas.runs import RunSpec
from tests.experiments.drawn import entry, ledger_entry
from tests.experiments.finished import finish_experiment
from tests.training.drawn import draw_study, make_run


@pytest.fixture(scope="module")
def run() -> RunSpec:
    """Three studies of north and one of south to train on, one of south to test."""
    train = tuple(entry(number, site="north" if number < 3 else "south") for number in range(4))
    return make_run([draw_study(1)]).changed(train=train, test=(entry(9, site="south"),))


def test_the_hours_of_a_run_are_divided_among_its_sites_by_their_studies(run: RunSpec) -> None:
    told = {"device": "NVIDIA H100", "training_s": 3000.0, "evaluation_s": 600.0, "workers": 4}
    done = ledger_entry(run.run_id, finished_at="2026-11-28T10:00:00+00:00", **told)
    north, south = summed([(run, done)])
    assert (north.month, north.site, north.runs, north.trained, north.tested) == ("2026-11", "north", 1, 3, 0)
    assert (south.trained, south.tested) == (1, 1)
    assert north.gpu_hours == pytest.approx(4.0 * 3 / 5)
    assert north.gpu_hours + south.gpu_hours == pytest.approx(hours_of(done))
    assert north.cpu_hours == 0


def test_months_are_apart_and_a_study_that_is_used_twice_counts_once(run: RunSpec) -> None:
    again = [ledger_entry(run.run_id, finished_at=f"2026-{month}-01T00:00:00+00:00") for month in (10, 10, 11)]
    found = summed((run, one) for one in again)
    assert [(one.month, one.site, one.runs, one.trained) for one in found] == [
        ("2026-10", "north", 2, 3),
        ("2026-10", "south", 2, 1),
        ("2026-11", "north", 1, 3),
        ("2026-11", "south", 1, 1),
    ]
    assert found[0].gpu_hours == 0 < found[0].cpu_hours


def test_every_complete_run_of_a_store_counts_and_entries_without_a_time_say_so() -> None:
    store = open_store("memory://")
    plan = finish_experiment(store)
    (found,) = usage(store)
    assert (found.month, found.site, found.runs) == (UNKNOWN, "a", len(plan.runs))
    assert found.trained == 6
