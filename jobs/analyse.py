"""The rows of a study, or of a table that was made elsewhere, in; statistics, tables, figures and one report, out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from jobs.shared.command_line import StoreOption, connect, console, plain_name, run_alone
from jobs.shared.report_folder import make_folder, save_files
from jobs.shared.table_analysis import UndefinedOption, UnitOption, analyse_table, goal_of
from lesionlab.analysis.report import PAGE, ReportResult, write_report
from lesionlab.analysis.statistics.external import OPTIONAL
from lesionlab.analysis.statistics.supplementary import NULL_REPETITIONS, Options
from lesionlab.experiments.stored_plans import current_plan
from lesionlab.store.objects import Store


def save_report(store: Store, result: ReportResult, out: Path) -> Path:
    """Copy a report with its tables and figures out of the store; returns the page to open."""
    root = result.key.removesuffix(PAGE)
    save_files({key.removeprefix(root): store.get(key) for key in store.list(root)}, out)
    return out / PAGE


def analyse_experiment(study: str, uri: str, out: Path | None, null_repetitions: int) -> None:
    """Analyse a study that was swept, and write its report into the store."""
    place = connect(uri)
    result = write_report(place, current_plan(place, study), null_repetitions)
    console.print(result.table_text)
    console.print(result.answer)
    console.print(f"report: {save_report(place, result, out) if out else f'{uri}/{result.key}'}")


def analyse(
    store: StoreOption,
    study: Annotated[
        str | None,
        typer.Argument(metavar="STUDY", callback=plain_name, help="Name of a study that was swept, such as demo."),
    ] = None,
    rows: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Analyse this table (CSV) in place of a study; its columns stand above. "
            f"Optional columns: {', '.join(OPTIONAL)}.",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Also copy report, tables and figures to this folder.")
    ] = None,
    unit: UnitOption = None,
    undefined: UndefinedOption = "exclude",
    target: Annotated[
        str | None,
        typer.Option(metavar="METRIC=MEAN", help="With --rows: what the arms are to reach, such as sensitivity=0.63."),
    ] = None,
    annotation_minutes: Annotated[
        float | None, typer.Option(help="With --rows: a person's minutes for one study, to count hours saved.")
    ] = None,
    null_repetitions: Annotated[
        int,
        typer.Option(min=0, help="Simulated studies without an effect, to see how often each method finds one."),
    ] = NULL_REPETITIONS,
) -> None:
    """Compare the arms of a study and write the report; or analyse a table of results that were made elsewhere.

    Example: lesionlab analyse demo --out ./demo-report

    Example: lesionlab analyse --rows results.csv --out ./results

    The table has one line for each study that a model was tested on. Columns, in any order: study, patient, site,
    arm (fine-tuned or FT, de-novo or DN, default, rater or Grader 2), training_size, fold (from 1), sensitivity, ppv
    (from 0 to 1, empty where undefined). Optional ones, listed below under --rows, say what else the models differ in,
    such as source (the default model) or budget (`30 epochs`, `2000 steps`). Of a rotation, position: the place in the
    test subset, from 1 in each fold, drawn by chance. With it the unpaired tests average each position over the folds,
    as in the paper; without it they count studies.

    First lines of such a table:

    study,patient,site,arm,training_size,fold,sensitivity,ppv

    sub-01,p01,north,Default,0,1,0.35,0.95

    sub-01,p01,north,FT,10,1,0.55,0.66

    sub-01,p01,north,DN,10,1,0.48,
    """
    if (study is None) == (rows is None):
        raise typer.BadParameter("wanted the name of a study, or a table: --rows FILE")
    if out is not None:
        make_folder(out, rows)
    if rows is not None:
        options = Options(undefined, goal_of(target, annotation_minutes), null_repetitions)
        analyse_table(rows, unit, options, out)
    elif study is not None:
        if target or annotation_minutes is not None or unit or undefined != "exclude":
            raise typer.BadParameter("what a study declares in its file is not said here; these options go with --rows")
        analyse_experiment(study, store, out, null_repetitions)


if __name__ == "__main__":
    run_alone(analyse)
