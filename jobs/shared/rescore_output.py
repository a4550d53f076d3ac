"""Compare an experiment under several metric definitions; print and tabulate what changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.table import Table

from jobs.shared.console import console, show_table
from jobs.shared.definitions import in_words
from lesionlab.analysis.experiment_analysis import options_of
from lesionlab.analysis.sheets.sheet import Sheet
from lesionlab.analysis.sheets.two_definitions import comparisons_sheet, conclusions_sheet, volumes_sheet
from lesionlab.analysis.statistics.changes import changes, compared
from lesionlab.analysis.statistics.compute import Statistics, statistics
from lesionlab.analysis.statistics.conclusions import conclusions
from lesionlab.analysis.statistics.conditions import Condition, conditions, rows_of
from lesionlab.analysis.statistics.effects import Effect
from lesionlab.analysis.statistics.summary import summarise
from lesionlab.analysis.statistics.volumes import sensitivity_by_volume
from lesionlab.analysis.words import definitions as words
from lesionlab.analysis.words import tables as table_words
from lesionlab.analysis.words.models import effect_name, model_title, stratum_name
from lesionlab.analysis.words.numbers import fixed, mean_se, or_dash, signed, starred
from lesionlab.evaluation.isbi import challenge_score
from lesionlab.evaluation.rescoring import Scoring
from storage_schemas.experiments import Plan
from storage_schemas.results import LesionRow, StudyRow

Rows = Sequence[StudyRow]


@dataclass(frozen=True)
class Scored:
    """An experiment scored by one definition."""

    found: Statistics
    lesions: Mapping[Condition, Sequence[LesionRow]]


def experiment_statistics(plan: Plan, rows: Rows) -> Statistics:
    """All statistics of the experiment's report, without the simulated null test."""
    cells = [run.cell for run in plan.runs if run.cell]
    return statistics(rows, cells, plan.spec.unit_of_analysis, options_of(plan, null_repetitions=0))


def compared_sheets(before: Scored, now: Scored, models: Sequence[Condition], about: str) -> dict[str, Sheet]:
    """Lay out comparisons, conclusions, and sensitivity by volume of these models, whether they change or not."""
    own, other = (
        sensitivity_by_volume({model: scored.lesions[model] for model in models if model in scored.lesions})
        for scored in (before, now)
    )
    return {
        "comparisons": comparisons_sheet(
            compared(before.found.effects, now.found.effects), table_words.comparisons_title(about)
        ),
        "conclusions": conclusions_sheet(conclusions(before.found, now.found), table_words.conclusions_title(about)),
        "volumes": volumes_sheet(own, other, table_words.definition_volumes_title(about)),
    }


def show_means(plan: Plan, rows: Mapping[Scoring, Rows]) -> None:
    """Print sensitivity and PPV of every condition in every scoring, the experiment's own first."""
    table = Table(title="mean ± standard error over test studies", title_justify="left")
    for column in ("model", "definition", "sensitivity", "PPV"):
        table.add_column(column, justify="left" if column in ("model", "definition") else "right")
    for condition in planned_conditions(plan):
        for number, (by, scored) in enumerate(rows.items(), start=1):
            means = {
                summary.metric: mean_se(summary) for summary in summarise(scored, [condition], plan.spec.undefined)
            }
            who = model_title(condition) if number == 1 else ""
            name = by.name
            table.add_row(who, name, means["sensitivity"], means["ppv"], end_section=number == len(rows))
    show_table(table)


def show_challenge_scores(plan: Plan, rows: Rows) -> None:
    """Print the ISBI 2015 score of every condition with its components, over the studies tested under it."""
    table = Table(title="ISBI 2015 score, not rescaled to its raters", title_justify="left")
    table.add_column("model")
    for column in ("DSC", "PPV voxelwise", "LFPR", "LTPR", "Corr", "score"):
        table.add_column(column, justify="right")
    for condition in planned_conditions(plan):
        parts = challenge_score(rows_of(condition, rows))
        values = (parts.dsc, parts.ppv, parts.lfpr, parts.ltpr, parts.corr, parts.score)
        table.add_row(model_title(condition), *(fixed(value, 3) for value in values))
    show_table(table)


def show_changes(before: Scored, now: Scored, by: Scoring) -> None:
    """Print which comparisons and conclusions differ from the experiment's own definition."""
    console.print(f"\n{by.label}: {in_words(by.definition)}")
    changed = changes(before.found.effects, now.found.effects)
    console.print(words.summary(len(changed), len(before.found.effects), by.name))
    if changed:
        table = Table()
        for column in ("metric", "comparison", "N", "difference, p before", "now", "change"):
            table.add_column(column)
        for change in changed:
            effect = change.before
            who = ", ".join(filter(None, [effect_name(effect), stratum_name(effect.stratum)]))
            numbers = (found_text(effect), found_text(change.after), words.changed(change))
            table.add_row(effect.metric, who, or_dash(effect.training_size), *numbers)
        show_table(table)
    every = conclusions(before.found, now.found)
    others = [one for one in every if one.changed]
    console.print(words.conclusions_summary(len(others), len(every), by.name))
    for one in others:
        stratum = f"{stratum_name(one.stratum)}: " if one.stratum else ""
        earlier, later = words.before_and_after(one)
        console.print(f"  {stratum}{words.about(one)}: {words.conclusion_change(one)}")
        console.print(f"    before: {earlier}\n    now:    {later}")


def planned_conditions(plan: Plan) -> Sequence[Condition]:
    """The conditions that the experiment compares, in the paper's order."""
    return conditions(run.cell for run in plan.runs if run.cell)


def found_text(effect: Effect) -> str:
    """Difference and p value: `+0.12, p 0.003*`."""
    difference = "" if effect.difference is None else f"{signed(effect.difference, 2)}, "
    return f"{difference}p {starred(effect)}"
