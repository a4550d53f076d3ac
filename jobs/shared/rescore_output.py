"""Compare an experiment under several metric definitions; print and tabulate what changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.table import Table

from jobs.shared.console import console
from jobs.shared.definitions import in_words
from lesionlab.analysis.sheets.rescored import comparisons_sheet, conclusions_sheet, rescored_volumes_sheet
from lesionlab.analysis.sheets.sheet import Sheet
from lesionlab.analysis.statistics.changes import changes, compared
from lesionlab.analysis.statistics.compute import Statistics, statistics
from lesionlab.analysis.statistics.conclusions import conclusions
from lesionlab.analysis.statistics.conditions import Condition, conditions, rows_of
from lesionlab.analysis.statistics.summary import summarise
from lesionlab.analysis.statistics.supplementary import Options
from lesionlab.analysis.statistics.tables import mean_se, p_text
from lesionlab.analysis.statistics.volumes import sensitivity_by_volume
from lesionlab.evaluation.isbi import challenge_score
from storage_schemas.definitions import MetricDefinition
from storage_schemas.experiments import Plan
from storage_schemas.results import EffectRow, LesionRow, StudyRow

Rows = Sequence[StudyRow]


@dataclass(frozen=True)
class Scored:
    """An experiment scored by one definition."""

    found: Statistics
    lesions: Mapping[Condition, Sequence[LesionRow]]


def experiment_statistics(plan: Plan, rows: Rows) -> Statistics:
    """All statistics of the experiment's report, without the simulated null test."""
    cells = [run.cell for run in plan.runs if run.cell]
    options = Options(plan.spec.undefined, plan.spec.goal, null_repetitions=0)
    return statistics(rows, cells, plan.spec.unit_of_analysis, options)


def compared_sheets(before: Scored, now: Scored, models: Sequence[Condition], about: str) -> dict[str, Sheet]:
    """Comparisons, conclusions and, for these models, sensitivity by lesion volume; changed or not."""
    own, other = (
        sensitivity_by_volume({model: scored.lesions[model] for model in models if model in scored.lesions})
        for scored in (before, now)
    )
    return {
        "comparisons": comparisons_sheet(compared(before.found.effects, now.found.effects), f"Comparisons: {about}"),
        "conclusions": conclusions_sheet(conclusions(before.found, now.found), f"Conclusions: {about}"),
        "volumes": rescored_volumes_sheet(own, other, f"Sensitivity by lesion volume: {about}"),
    }


def show_means(plan: Plan, rows: Mapping[str, Rows]) -> None:
    """Print sensitivity and PPV of every condition by every definition, the experiment's own first."""
    table = Table(title="mean ± standard error over test studies", title_justify="left")
    for column in ("model", "definition", "sensitivity", "PPV"):
        table.add_column(column, justify="left" if column in ("model", "definition") else "right")
    for condition in planned_conditions(plan):
        for number, (label, scored) in enumerate(rows.items(), start=1):
            means = {
                summary.metric: mean_se(summary) for summary in summarise(scored, [condition], plan.spec.undefined)
            }
            who = condition.title() if number == 1 else ""
            name = label.partition("@")[0]
            table.add_row(who, name, means["sensitivity"], means["ppv"], end_section=number == len(rows))
    console.print(table)


def show_challenge_scores(plan: Plan, rows: Rows) -> None:
    """Print the ISBI 2015 score of every condition and its parts, over the studies that the condition tested."""
    table = Table(title="ISBI 2015 score, not rescaled to its raters", title_justify="left")
    table.add_column("model")
    for column in ("DSC", "PPV voxelwise", "LFPR", "LTPR", "Corr", "score"):
        table.add_column(column, justify="right")
    for condition in planned_conditions(plan):
        parts = challenge_score(rows_of(condition, rows))
        values = (parts.dsc, parts.ppv, parts.lfpr, parts.ltpr, parts.corr, parts.score)
        table.add_row(condition.title(), *("–" if value is None else f"{value:.3f}" for value in values))
    console.print(table)


def show_changes(before: Scored, now: Scored, by: MetricDefinition) -> None:
    """Print which comparisons and conclusions differ from the experiment's own definition."""
    console.print(f"\n{by.label()}: {in_words(by)}")
    changed = changes(before.found.effects, now.found.effects)
    console.print(
        f"{len(changed)} of {len(before.found.effects)} comparisons change direction or significance under {by.name}"
    )
    if changed:
        table = Table()
        for column in ("metric", "comparison", "N", "difference, p before", "now", "what changes"):
            table.add_column(column)
        for change in changed:
            effect = change.before
            who = effect.comparison + (f", {effect.stratum}" if effect.stratum else "")
            size = "" if effect.training_size is None else str(effect.training_size)
            cells = (found_text(effect), found_text(change.after), "; ".join(change.what))
            table.add_row(effect.metric, who, size, *cells)
        console.print(table)
    every = conclusions(before.found, now.found)
    others = [one for one in every if one.what]
    console.print(
        f"{len(others)} of {len(every)} conclusions (verdicts, training sizes that reach the target, savings) change"
    )
    for one in others:
        stratum = f"{one.stratum}: " if one.stratum else ""
        console.print(f"  {stratum}{one.about}: {one.what}")
        console.print(f"    before: {one.before}\n    now:    {one.after}")


def planned_conditions(plan: Plan) -> Sequence[Condition]:
    """The conditions that the experiment compares, in the paper's order."""
    return conditions(run.cell for run in plan.runs if run.cell)


def found_text(effect: EffectRow) -> str:
    """Difference and p value: `+0.12, p 0.003*`."""
    difference = "" if effect.difference is None else f"{effect.difference:+.2f}, "
    return f"{difference}p {p_text(effect)}"
