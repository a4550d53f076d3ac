"""Score stored predictions again: by other metric definitions, at other thresholds, or to fill older rows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from jobs.shared.audited import ANALYSING, TRAINING, audited, studies_of
from jobs.shared.console import console
from jobs.shared.definitions import load_definition
from jobs.shared.entry_points import run_as_module
from jobs.shared.options import ExperimentNameArgument, StoreOption, connect_to_read
from jobs.shared.rescore_output import (
    Scored,
    compared_sheets,
    experiment_statistics,
    show_challenge_scores,
    show_changes,
    show_means,
)
from jobs.shared.rescoring import fill_experiment, finished_runs, lesions_by_model, rescore_experiment
from jobs.shared.sheet_files import save_sheets
from lesionlab.analysis.pages.study_pages import models_on_pages
from lesionlab.analysis.sheets.sheet import as_markdown
from lesionlab.analysis.statistics.chosen_rates import as_planned, at_chosen_rates, choose_rates
from lesionlab.errors import InputError
from lesionlab.evaluation.rescoring import Scoring
from lesionlab.experiments.site_policies import refuse_showing, shared_instead
from lesionlab.experiments.stored_plans import current_plan
from storage_schemas.definitions import DEFINITIONS
from storage_schemas.probabilities import level_at


def rescore(
    experiment: ExperimentNameArgument,
    store: StoreOption,
    definition: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME|FILE",
            help=f"{', '.join(DEFINITIONS)}; or your own (YAML file); repeatable. "
            "Default with --threshold: the experiment's own.",
        ),
    ] = None,
    threshold: Annotated[
        list[float] | None,
        typer.Option(
            metavar="T",
            help="Threshold the stored probabilities here: any hundredth from 0.05 to 0.95, or 0.01 to 0.9999; "
            "repeatable.",
        ),
    ] = None,
    fill: Annotated[
        bool,
        typer.Option(
            "--fill", help="Add the surface distances that results of earlier versions lack; changes no other number."
        ),
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Also save all comparisons to this folder, as CSV, Markdown and HTML."),
    ] = None,
) -> None:
    """Score stored predictions by other metric definitions or thresholds; report which conclusions change.

    Trains and predicts nothing. A rater's masks have no threshold: they stay as they are. With
    --fill, results that were tested before surface distances were measured get them from the
    stored predictions.

    Example: lesionlab rescore demo --definition msseg-2 --definition one-to-one-iou --out ./msseg-2

    Example: lesionlab rescore demo --threshold 0.3 --threshold 0.9

    Example: lesionlab rescore demo --fill
    """
    if not definition and not threshold and not fill:
        raise typer.BadParameter("wanted --definition NAME|FILE, --threshold T or --fill")
    thresholds = _thresholds(threshold or ())
    definitions = [load_definition(name) for name in dict.fromkeys(definition or ())]
    place = connect_to_read(store)
    plan = current_plan(place, experiment)
    if definitions or thresholds:
        refuse_showing(place, plan.runs, "rows", shared_instead(experiment))
    runs = finished_runs(place, plan)
    read = studies_of(place, runs)
    if fill:
        with audited(place, TRAINING, experiment, read):
            added = fill_experiment(place, runs)
        console.print(f"surface distances added to {added} of {len(runs)} runs; the others have them")
    if not definitions and not thresholds:
        return
    others = [Scoring(by, at) for by in definitions or [plan.spec.metric] for at in thresholds or (None,)]
    with audited(place, ANALYSING, experiment, read):
        rows = rescore_experiment(place, plan, runs, others)
    own = Scoring(plan.spec.metric)
    plan = at_chosen_rates(plan, choose_rates(plan, rows[own]))
    rows = {by: as_planned(scored, plan) for by, scored in rows.items()}
    done = {run.run_id for run in runs}
    runs = [run for run in plan.runs if run.run_id in done]
    show_means(plan, rows)
    before = Scored(experiment_statistics(plan, rows[own]), lesions_by_model(place, plan, runs, own))
    models = models_on_pages(plan, rows[own])
    for by in others:
        now = Scored(experiment_statistics(plan, rows[by]), lesions_by_model(place, plan, runs, by))
        sheets = compared_sheets(before, now, models, f"{by.name} (now) and {own.name} (before)")
        show_changes(before, now, by)
        console.print(as_markdown(sheets["volumes"]))
        if by.definition == DEFINITIONS["isbi-2015"]:
            show_challenge_scores(plan, rows[by])
        if out:
            save_sheets({f"{by.definition.name}@{by.key}-{name}": sheet for name, sheet in sheets.items()}, out)
    if out:
        console.print(f"tables: {out}")


def _thresholds(wanted: Sequence[float]) -> list[float]:
    """Each threshold once. Raises InputError that names every one that is not on the stored scale."""
    faults = []
    for threshold in wanted:
        try:
            level_at(threshold)
        except ValueError as error:
            faults.append(f"--threshold: {error}")
    if faults:
        raise InputError(*faults)
    return list(dict.fromkeys(wanted))


if __name__ == "__main__":
    run_as_module(rescore)
