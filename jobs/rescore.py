"""A finished study in; its stored predictions scored by other definitions, and which conclusions change, out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from jobs.cohort import save_tables
from jobs.shared.command_line import StoreOption, connect, console, notes, plain_name, run_alone
from jobs.shared.definitions import load_definition
from jobs.shared.progress import steps
from jobs.shared.rescore_output import Scored, compared_sheets, judged, show_challenge_scores, show_changes, show_means
from lesionlab.analysis.pages.study_pages import models_on_pages
from lesionlab.analysis.sheets.sheet import as_markdown
from lesionlab.analysis.statistics.conditions import Condition, condition_of
from lesionlab.errors import InputError
from lesionlab.evaluation.rescoring import own_rows, rescore_run, rescored_rows
from lesionlab.experiments.ledger import completed
from lesionlab.experiments.stored_plans import current_plan
from lesionlab.store.objects import Store
from lesionlab.store.tables import read_rows
from storage_schemas import keys
from storage_schemas.definitions import DEFINITIONS, MetricDefinition
from storage_schemas.experiments import Plan
from storage_schemas.results import LesionRow, StudyRow
from storage_schemas.runs import RunSpec
from storage_schemas.versions import CURRENT


def rescore_experiment(
    store: Store, plan: Plan, runs: Sequence[RunSpec], definitions: Sequence[MetricDefinition]
) -> dict[str, list[StudyRow]]:
    """The rows of these runs by the study's own definition and, scored now where they were not yet, by the others; by
    label.

    Raises MissingObject where a prediction is missing.
    """
    with steps("rescoring") as step:
        for number, run in enumerate(runs):
            step(number, len(runs), run.cell.title() if run.cell else run.run_id)
            rescore_run(store, run, definitions)
        step(len(runs), len(runs), "done")
    rows = {plan.spec.metric.label(): own_rows(store, runs)}
    return rows | {by.label(): rescored_rows(store, runs, by) for by in definitions}


def finished(store: Store, plan: Plan) -> list[RunSpec]:
    """The runs of the plan that tested something and are complete; says how many are not.

    Raises InputError where none is.
    """
    testing = [run for run in plan.runs if run.cell is not None]
    done = completed(store, (run.run_id for run in testing))
    if not done:
        raise InputError(f"study {plan.spec.name}: no cell is finished; start with: lesionlab sweep")
    if len(done) < len(testing):
        notes.print(f"{len(testing) - len(done)} of {len(testing)} cells are not finished yet")
    return [run for run in testing if run.run_id in done]


def lesions_of(
    store: Store, plan: Plan, runs: Sequence[RunSpec], by: MetricDefinition
) -> dict[Condition, list[LesionRow]]:
    """Every lesion that these runs were tested on or predicted, by model; scored by this definition."""
    own = by == plan.spec.metric
    found: dict[Condition, list[LesionRow]] = defaultdict(list)
    for run in runs:
        place = {"experiment": run.experiment, "run_id": run.run_id}
        rescored = {"definition": by.version(), "version": str(CURRENT.evaluation)}
        key = keys.LESION_ROWS.build(**place) if own else keys.RESCORED_LESION_ROWS.build(**place, **rescored)
        if run.cell:
            found[condition_of(run.cell)] += read_rows(store, [key], LesionRow)
    return found


def rescore(
    study: Annotated[
        str, typer.Argument(metavar="STUDY", callback=plain_name, help="Name of a study that was swept, such as demo.")
    ],
    store: StoreOption,
    definition: Annotated[
        list[str],
        typer.Option(metavar="NAME|FILE", help=f"{', '.join(DEFINITIONS)}; or your own, as a YAML file. Repeatable."),
    ],
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Also save here all that is compared, as CSV, Markdown and HTML."),
    ] = None,
) -> None:
    """Score a study's stored predictions by other definitions, and say which conclusions change. Trains nothing.

    Example: lesionlab rescore demo --definition msseg-2 --definition one-to-one-iou --out ./msseg-2
    """
    others = [load_definition(name) for name in dict.fromkeys(definition)]
    place = connect(store)
    plan = current_plan(place, study)
    runs = finished(place, plan)
    rows = rescore_experiment(place, plan, runs, others)
    show_means(plan, rows)
    own = plan.spec.metric
    before = Scored(judged(plan, rows[own.label()]), lesions_of(place, plan, runs, own))
    models = models_on_pages(plan, rows[own.label()])
    for by in others:
        now = Scored(judged(plan, rows[by.label()]), lesions_of(place, plan, runs, by))
        sheets = compared_sheets(before, now, models, f"{by.name} (now) beside {own.name} (before)")
        show_changes(before, now, by, own)
        console.print(as_markdown(sheets["volumes"]))
        if by == DEFINITIONS["isbi-2015"]:
            show_challenge_scores(plan, rows[by.label()])
        if out:
            save_tables({f"{by.label()}-{name}": sheet for name, sheet in sheets.items()}, out)
    if out:
        console.print(f"tables: {out}")


if __name__ == "__main__":
    run_alone(rescore)
