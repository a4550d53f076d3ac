"""Compute every number and outcome of an experiment from the rows in the store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lesionlab.analysis.statistics.chosen_rates import RateChoice, as_planned, at_chosen_rates, choose_rates
from lesionlab.analysis.statistics.compute import Statistics, statistics
from lesionlab.analysis.statistics.conditions import Condition, condition_of
from lesionlab.analysis.statistics.supplementary import NULL_REPETITIONS, Options
from lesionlab.experiments.publishing import study_rows
from lesionlab.store.objects import Store
from lesionlab.store.tables import read_parts
from storage_schemas import keys
from storage_schemas.experiments import Plan
from storage_schemas.results import StudyRow
from storage_schemas.runs import Cell, TrainingConfig


@dataclass(frozen=True)
class Analysis(Statistics):
    """The statistics of one plan, with the rows that they rest on."""

    rows: tuple[StudyRow, ...]
    """In the order of the plan's runs, then by position."""
    planned: tuple[Cell, ...]
    missing: tuple[Cell, ...]


def choose(store: Store, plan: Plan) -> tuple[Plan, tuple[RateChoice, ...]]:
    """Choose learning rates within the training studies, if the experiment says so, and leave the plan of the chosen
    networks alone. The other functions of the analysis take that plan. Raises StoreError if rows cannot be read."""
    listed = any(run.cell and run.cell.learning_rate is not None for run in plan.runs)
    if plan.spec.learning_rate_choice == "every" or not listed:  # without a listed rate it is chosen already
        return plan, ()
    choices = choose_rates(plan, study_rows(store, plan))
    return at_chosen_rates(plan, choices), choices


def analyse(store: Store, plan: Plan, null_repetitions: int = NULL_REPETITIONS) -> Analysis:
    """Analyse the rows that the plan's runs have so far. Raises StoreError if they cannot be read."""
    plan, _ = choose(store, plan)
    rows, missing = planned_rows(store, plan)
    planned = tuple(run.cell for run in plan.runs if run.cell)
    trainings = {condition_of(run.cell): run.training for run in plan.runs if run.cell}
    options = options_of(plan, null_repetitions, trainings)
    found = statistics(rows, planned, plan.spec.unit_of_analysis, options, is_simulated(plan))
    return Analysis(**vars(found), rows=rows, planned=planned, missing=missing)


def planned_rows(store: Store, plan: Plan) -> tuple[tuple[StudyRow, ...], tuple[Cell, ...]]:
    """Return the rows that the plan's runs have so far, and the cells without. Raises StoreError if they cannot be
    read."""
    runs = [run for run in plan.runs if run.cell is not None]
    parts = {run.run_id: keys.STUDY_ROWS.build(experiment=plan.spec.name, run_id=run.run_id) for run in runs}
    there = set(store.list(keys.STUDY_ROWS.prefix(experiment=plan.spec.name)))
    done = [part for part in parts.values() if part in there]
    rows = tuple(
        row
        for own in read_parts(store, done, StudyRow)
        for row in sorted(as_planned(own, plan), key=lambda row: row.position)
    )
    return rows, tuple(run.cell for run in runs if run.cell and parts[run.run_id] not in there)


def options_of(
    plan: Plan, null_repetitions: int, trainings: Mapping[Condition, TrainingConfig] | None = None
) -> Options:
    """Return what the experiment declares for its analysis."""
    spec = plan.spec
    return Options(
        spec.undefined,
        spec.goal,
        null_repetitions,
        trainings or {},
        endpoint=spec.endpoint,
        first_endpoint=plan.first_endpoint,
        target=spec.target,
        margin=spec.margin,
    )


def is_simulated(plan: Plan) -> bool:
    """Return whether the labelled studies are simulated."""
    return plan.spec.cohorts[plan.spec.target.cohort].simulate is not None
