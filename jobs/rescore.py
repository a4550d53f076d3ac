"""A finished study in; its stored predictions scored by other definitions, and which conclusions change, out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

import typer
from rich.table import Table

from jobs.definitions import load_definition, told
from jobs.door import StoreOption, connect, console, notes, plain_name, run_alone
from jobs.progress import steps
from lesionlab.analysis.statistics.changes import changes
from lesionlab.analysis.statistics.comparisons import compare
from lesionlab.analysis.statistics.conditions import Condition, conditions, rows_of
from lesionlab.analysis.statistics.summary import summarise
from lesionlab.analysis.statistics.tables import mean_se, p_text
from lesionlab.errors import InputError
from lesionlab.evaluation.isbi import challenge_score
from lesionlab.evaluation.rescoring import own_rows, rescore_run, rescored_rows
from lesionlab.store.objects import Store
from lesionlab.studies.code import SCORES, code_version
from lesionlab.studies.ledger import completed
from lesionlab.studies.plans import current_plan
from storage_schemas.definitions import DEFINITIONS, MetricDefinition
from storage_schemas.results import EffectRow, StudyRow
from storage_schemas.runs import RunSpec
from storage_schemas.studies import Plan

Rows = Sequence[StudyRow]


def rescore_study(store: Store, plan: Plan, definitions: Sequence[MetricDefinition]) -> dict[str, list[StudyRow]]:
    """The study's rows by its own definition and, scored now where they were not yet, by the others; by label.

    Raises InputError where no run of the plan is finished, MissingObject where a prediction is missing.
    """
    runs = finished(store, plan)
    code = code_version(SCORES)
    with steps("rescoring") as step:
        for number, run in enumerate(runs):
            step(number, len(runs), run.cell.title() if run.cell else run.run_id)
            rescore_run(store, run, definitions, code)
        step(len(runs), len(runs), "done")
    rows = {plan.spec.metric.label(): own_rows(store, runs)}
    return rows | {by.label(): rescored_rows(store, runs, by, code) for by in definitions}


def finished(store: Store, plan: Plan) -> list[RunSpec]:
    """The runs of the plan that tested something and are complete; says how many are not."""
    testing = [run for run in plan.runs if run.cell is not None]
    done = completed(store, (run.run_id for run in testing))
    if not done:
        raise InputError(f"study {plan.spec.name}: no cell is finished; start with: lesionlab sweep")
    if len(done) < len(testing):
        notes.print(f"{len(testing) - len(done)} of {len(testing)} cells are not finished yet", markup=False)
    return [run for run in testing if run.run_id in done]


def show_means(plan: Plan, rows: Mapping[str, Rows]) -> None:
    """Print sensitivity and PPV of every condition by every definition, the study's own first."""
    table = Table(title="mean ± standard error over the tested studies", title_justify="left")
    for column in ("model", "definition", "sensitivity", "PPV"):
        table.add_column(column, justify="left" if column in ("model", "definition") else "right")
    for condition in planned_conditions(plan):
        for number, (label, judged) in enumerate(rows.items(), start=1):
            means = {
                summary.metric: mean_se(summary) for summary in summarise(judged, [condition], plan.spec.undefined)
            }
            who = condition.title() if number == 1 else ""
            name = label.partition("@")[0]
            table.add_row(who, name, means["sensitivity"], means["ppv"], end_section=number == len(rows))
    console.print(table)


def show_challenge_scores(plan: Plan, rows: Rows) -> None:
    """Print the ISBI 2015 score of every condition, with its parts; all over the studies that the condition tested."""
    table = Table(title="ISBI 2015 score, not scaled to its raters", title_justify="left")
    table.add_column("model")
    for column in ("DSC", "PPV voxelwise", "LFPR", "LTPR", "Corr", "score"):
        table.add_column(column, justify="right")
    for condition in planned_conditions(plan):
        parts = challenge_score(rows_of(condition, rows))
        values = (parts.dsc, parts.ppv, parts.lfpr, parts.ltpr, parts.corr, parts.score)
        table.add_row(condition.title(), *("–" if value is None else f"{value:.3f}" for value in values))
    console.print(table)


def show_changes(plan: Plan, own: Rows, other: Rows, by: MetricDefinition) -> None:
    """Print which comparisons end otherwise by this definition than by the study's own."""
    before, after = effects(plan, own), effects(plan, other)
    changed = changes(before, after)
    console.print(f"\n{told(by)}")
    console.print(f"{len(changed)} of {len(before)} comparisons end otherwise than by {plan.spec.metric.name}")
    if not changed:
        return
    table = Table()
    for column in ("metric", "comparison", "N", "difference, p before", "now", "what changes"):
        table.add_column(column)
    for change in changed:
        effect = change.before
        compared = effect.comparison + (f", {effect.setting}" if effect.setting else "")
        size = "" if effect.training_size is None else str(effect.training_size)
        table.add_row(
            effect.metric, compared, size, found_text(effect), found_text(change.after), "; ".join(change.what)
        )
    console.print(table)


def effects(plan: Plan, rows: Rows) -> tuple[EffectRow, ...]:
    """Every comparison of the study."""
    return compare(rows, (run.cell for run in plan.runs if run.cell), plan.spec.unit_of_analysis, plan.spec.undefined)


def planned_conditions(plan: Plan) -> Sequence[Condition]:
    """What the study compares, in the paper's order."""
    return conditions(run.cell for run in plan.runs if run.cell)


def found_text(effect: EffectRow) -> str:
    """`+0.12, p 0.003*`."""
    difference = "" if effect.difference is None else f"{effect.difference:+.2f}, "
    return f"{difference}p {p_text(effect)}"


def rescore(
    study: Annotated[
        str, typer.Argument(metavar="STUDY", callback=plain_name, help="Name of a study that was swept, such as demo.")
    ],
    store: StoreOption,
    definition: Annotated[
        list[str],
        typer.Option(metavar="NAME|FILE", help=f"{', '.join(DEFINITIONS)}; or your own, as a YAML file. Repeatable."),
    ],
) -> None:
    """Score a study's stored predictions by other definitions, and say which conclusions change. Trains nothing.

    Example: lesionlab rescore demo --definition msseg-2 --definition one-to-one-iou
    """
    others = [load_definition(name) for name in dict.fromkeys(definition)]
    place = connect(store)
    plan = current_plan(place, study)
    rows = rescore_study(place, plan, others)
    show_means(plan, rows)
    own = rows[plan.spec.metric.label()]
    for by in others:
        show_changes(plan, own, rows[by.label()], by)
        if by == DEFINITIONS["isbi-2015"]:
            show_challenge_scores(plan, rows[by.label()])


if __name__ == "__main__":
    run_alone(rescore)
