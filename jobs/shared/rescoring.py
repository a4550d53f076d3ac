"""Rescore the finished runs of an experiment with progress, and read the rows by each definition."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from jobs.shared.console import notes
from jobs.shared.progress import steps
from lesionlab.analysis.statistics.conditions import Condition, condition_of
from lesionlab.errors import InputError
from lesionlab.evaluation.rescoring import fill_run, own_rows, rescore_run, rescored_rows
from lesionlab.experiments.cells import run_title
from lesionlab.experiments.ledger import completed
from lesionlab.experiments.publishing import publish_missing
from lesionlab.store.objects import Store
from lesionlab.store.tables import read_rows
from storage_schemas import keys
from storage_schemas.definitions import MetricDefinition
from storage_schemas.experiments import Plan
from storage_schemas.results import LesionRow, StudyRow
from storage_schemas.runs import RunSpec
from storage_schemas.versions import CURRENT


def finished_runs(store: Store, plan: Plan) -> list[RunSpec]:
    """The complete runs of the plan that tested studies; notes how many are missing.

    Raises InputError if no run is complete.
    """
    testing = [run for run in plan.runs if run.cell is not None]
    publish_missing(store, testing)
    done = completed(store, (run.run_id for run in testing))
    if not done:
        raise InputError(f"experiment {plan.spec.name}: no cell is finished; start with: lesionlab sweep EXPERIMENT")
    if len(done) < len(testing):
        notes.print(f"{len(testing) - len(done)} of {len(testing)} cells are not finished yet")
    return [run for run in testing if run.run_id in done]


def rescore_experiment(
    store: Store, plan: Plan, runs: Sequence[RunSpec], definitions: Sequence[MetricDefinition]
) -> dict[str, list[StudyRow]]:
    """The study rows by the experiment's own definition and by each other one; by the definition's label.

    Raises MissingObject if a prediction is missing.
    """
    with steps("rescoring") as step:
        for number, run in enumerate(runs):
            step(number, len(runs), run_title(run))
            rescore_run(store, run, definitions)
        step(len(runs), len(runs), "done")
    rows = {plan.spec.metric.label(): own_rows(store, runs)}
    return rows | {by.label(): rescored_rows(store, runs, by) for by in definitions}


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
    store: Store, plan: Plan, runs: Sequence[RunSpec], by: MetricDefinition
) -> dict[Condition, list[LesionRow]]:
    """All reference and predicted lesions of these runs by model, scored by one definition."""
    own = by == plan.spec.metric
    found: dict[Condition, list[LesionRow]] = defaultdict(list)
    for run in runs:
        place = {"experiment": run.experiment, "run_id": run.run_id}
        rescored = {"definition": by.version(), "version": str(CURRENT.evaluation)}
        key = keys.LESION_ROWS.build(**place) if own else keys.RESCORED_LESION_ROWS.build(**place, **rescored)
        if run.cell:
            found[condition_of(run.cell)] += read_rows(store, [key], LesionRow)
    return found
