"""Rescore the finished runs of an experiment with progress, and read the rows of each scoring."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from jobs.shared.console import notes
from jobs.shared.progress import steps
from lesionlab.analysis.statistics.conditions import Condition, condition_of
from lesionlab.errors import InputError
from lesionlab.evaluation.rescoring import (
    Scoring,
    fill_run,
    own_rows,
    rescore_run,
    rescored_lesions,
    rescored_rows,
)
from lesionlab.experiments.cells import run_title
from lesionlab.experiments.publishing import finished, publish_missing
from lesionlab.store.objects import Store
from lesionlab.store.tables import read_rows
from storage_schemas import keys
from storage_schemas.experiments import Plan
from storage_schemas.results import LesionRow, StudyRow
from storage_schemas.runs import RunSpec


def finished_runs(store: Store, plan: Plan) -> list[RunSpec]:
    """The complete runs of the plan that tested studies; notes how many are missing.

    Raises InputError if no run is complete.
    """
    testing = [run for run in plan.runs if run.cell is not None]
    publish_missing(store, testing)
    done = finished(store, testing)
    if not done:
        raise InputError(f"experiment {plan.spec.name}: no cell is finished; start with: lesionlab sweep EXPERIMENT")
    if len(done) < len(testing):
        notes.print(f"{len(testing) - len(done)} of {len(testing)} cells are not finished yet")
    return [run for run in testing if run.run_id in done]


def rescore_experiment(
    store: Store, plan: Plan, runs: Sequence[RunSpec], scorings: Sequence[Scoring]
) -> dict[Scoring, list[StudyRow]]:
    """The study rows as the experiment was scored, and in each other way.

    Raises MissingObject if a prediction is missing, InputError if it has no probabilities and needs them.
    """
    with steps("rescoring") as step:
        for number, run in enumerate(runs):
            step(number, len(runs), run_title(run))
            rescore_run(store, run, scorings)
        step(len(runs), len(runs), "done")
    rows = {Scoring(plan.spec.metric): own_rows(store, runs)}
    return rows | {by: rescored_rows(store, runs, by) for by in scorings}


def fill_experiment(store: Store, runs: Sequence[RunSpec]) -> int:
    """Add the surface distances that older rows of these runs lack; return how many runs lacked them.

    Raises MissingObject if a prediction is missing.
    """
    added = 0
    with steps("filling") as step:
        for number, run in enumerate(runs):
            step(number, len(runs), run_title(run))
            added += fill_run(store, run)
        step(len(runs), len(runs), "done")
    return added


def lesions_by_model(
    store: Store, plan: Plan, runs: Sequence[RunSpec], by: Scoring
) -> dict[Condition, list[LesionRow]]:
    """All reference and predicted lesions of these runs by model, scored in one way."""
    own = by == Scoring(plan.spec.metric)
    found: dict[Condition, list[LesionRow]] = defaultdict(list)
    for run in runs:
        key = keys.LESION_ROWS.build(experiment=run.experiment, run_id=run.run_id)
        if run.cell:
            lesions = read_rows(store, [key], LesionRow) if own else rescored_lesions(store, run, by)
            found[condition_of(run.cell)] += lesions
    return found
