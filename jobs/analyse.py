"""Analyse an experiment, or a table of results from elsewhere: statistics, tables, figures and one report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from jobs.shared.audited import ANALYSING, audited, studies_of
from jobs.shared.console import console
from jobs.shared.declarations import TrainedOnOption, declarations
from jobs.shared.entry_points import run_as_module
from jobs.shared.options import StoreOption, connect_to_read, plain_name
from jobs.shared.report_folder import report_folder, save_report
from jobs.shared.sharing import ShareOption, SmallestOption, agreed_share, chosen_share, save_shared
from jobs.shared.table_analysis import UndefinedOption, UnitOption, analyse_table, goal_of, valid_margin
from lesionlab.analysis.report import write_report
from lesionlab.analysis.shared_report import shared_experiment
from lesionlab.analysis.statistics.external import OPTIONAL
from lesionlab.analysis.statistics.sharing import Share
from lesionlab.analysis.statistics.supplementary import NULL_REPETITIONS, Options
from lesionlab.experiments.publishing import publish_missing
from lesionlab.experiments.stored_plans import current_plan


def analyse_experiment(
    experiment: str,
    uri: str,
    out: Path | None,
    null_repetitions: int,
    shared: Share | None = None,
    smallest: int | None = None,
) -> None:
    """Analyse an experiment that was swept and write its report to the store; a shared one to the folder alone."""
    place = connect_to_read(uri)
    plan = current_plan(place, experiment)
    publish_missing(place, plan.runs)
    read = studies_of(place, plan.runs)
    with audited(place, ANALYSING, experiment, read):
        if shared is not None and out is not None:
            shared = agreed_share(shared, place, {one.site for one in read}, smallest)
            save_shared(shared_experiment(place, plan, shared, null_repetitions), out)
            return
        result = write_report(place, plan, null_repetitions)
    console.print(result.table_text)
    console.print(result.answer)
    console.print(f"report: {save_report(place, result, out) if out else f'{uri}/{result.key}'}")


def analyse(
    store: StoreOption,
    experiment: Annotated[
        str | None,
        typer.Argument(
            metavar="EXPERIMENT", callback=plain_name, help="Name of an experiment in the store, e.g. demo."
        ),
    ] = None,
    rows: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Analyse this table (CSV) instead; its columns are described above. "
            f"Optional columns: {', '.join(OPTIONAL)}.",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Also save report, tables and figures to this folder.")
    ] = None,
    unit: UnitOption = None,
    undefined: UndefinedOption = "exclude",
    target: Annotated[
        str | None,
        typer.Option(metavar="METRIC=MEAN", help="With --rows: target mean of the arms, e.g. sensitivity=0.63."),
    ] = None,
    annotation_minutes: Annotated[
        float | None, typer.Option(help="With --rows: minutes to annotate one study, to estimate hours saved.")
    ] = None,
    margin: Annotated[
        float | None,
        typer.Option(
            metavar="FRACTION",
            help="With --rows: margin of equivalence and non-inferiority, declared beforehand, e.g. 0.10.",
        ),
    ] = None,
    trained_on: TrainedOnOption = None,
    null_repetitions: Annotated[
        int,
        typer.Option(min=0, help="Simulated experiments without an effect, to estimate false-positive rates."),
    ] = NULL_REPETITIONS,
    share: ShareOption = "site",
    smallest_count: SmallestOption = None,
) -> None:
    """Compare the arms of an experiment and write the report; or analyse a table of results from elsewhere.

    Example: lesionlab analyse demo --out ./demo-report

    Example: lesionlab analyse --rows results.csv --out ./results

    Example: lesionlab analyse ms --share public --out ./to-publish

    With `--share consortium` or `public` no number describes fewer patients than
    the smallest count, nor can one be worked out from others; there are no slices
    and no page, row or lesion of a study; public reports have letters for sites.

    The table has one line per tested study and model. Required columns, in any
    order: study, patient, site, arm (fine-tuned or FT, de-novo or DN, default,
    rater or Grader 2, or the name of any other model), training_size (0 if there
    is none), fold (from 1), sensitivity and ppv (0 to 1, empty if undefined).
    Optional columns, listed under --rows, hold what else distinguishes the models,
    such as source (default model) or budget (`30 epochs`).
    For a rotation, position is the place in the randomised test subset, from 1 in
    each fold: with it, the unpaired tests average each position over the folds,
    as in the paper; without it they count studies.

    First lines of such a table:

    study,patient,site,arm,training_size,fold,sensitivity,ppv

    sub-01,p01,north,Default,0,1,0.35,0.95

    sub-01,p01,north,FT,10,1,0.55,0.66

    sub-01,p01,north,DN,10,1,0.48,
    """
    if (experiment is None) == (rows is None):
        raise typer.BadParameter("wanted either the name of an experiment or a table: --rows FILE")
    shared = chosen_share(share, smallest_count, out)
    with report_folder(out, rows):
        if rows is not None:
            goal, declared = goal_of(target, annotation_minutes), declarations(trained_on or ())
            options = Options(undefined, goal, null_repetitions, margin=valid_margin(margin), declared=declared)
            analyse_table(rows, unit, options, out, shared)
        elif experiment is not None:
            given = (target, annotation_minutes, unit, margin)
            if any(option is not None for option in given) or undefined != "exclude":
                raise typer.BadParameter(
                    "--target, --annotation-minutes, --unit, --undefined and --margin go with --rows; the experiment "
                    "file sets them"
                )
            if trained_on:
                raise typer.BadParameter("--trained-on goes with --rows; for masks of other models: lesionlab compare")
            analyse_experiment(experiment, store, out, null_repetitions, shared, smallest_count)


if __name__ == "__main__":
    run_as_module(analyse)
