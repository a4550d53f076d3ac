"""Print rules, the chance to pass them, and what a look found."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from jobs.shared.console import console, notes, show_table
from lesionlab.analysis.statistics.rule_power import ENOUGH, Chance
from storage_schemas.rules import (
    ConditionOutcome,
    Detects,
    GateOutcome,
    LeastPatients,
    NonInferior,
    NoSiteWorse,
    Rule,
    RuleCondition,
    Superior,
)


def condition_text(condition: RuleCondition) -> str:
    """One condition in words."""
    if isinstance(condition, NonInferior):
        return f"{condition.metric} not worse by {condition.margin:g}"
    if isinstance(condition, NoSiteWorse):
        return f"{condition.metric} at no site worse by {condition.margin:g}"
    if isinstance(condition, Superior):
        return f"{condition.metric} better"
    if isinstance(condition, Detects):
        return (
            f"detects {condition.least:.0%} of inserted lesions from {condition.diameter_mm:g} mm and contrast "
            f"{condition.contrast:g} SD"
        )
    return f"at least {condition.patients} patients"


def show_rule(rule: Rule) -> None:
    """Print the conditions, the level and the looks."""
    for condition in rule.conditions:
        console.print(f"  {condition_text(condition)}")
    looks = "1 look" if rule.looks == 1 else f"{rule.looks} looks"
    console.print(
        f"  on benchmark {rule.benchmark}, {looks} at {rule.level:.3g} each (alpha {rule.alpha:g}); undefined values: "
        f"{rule.undefined}"
    )


def show_chance(rule: Rule, chance: Chance) -> None:
    """Print the chance that an equal candidate passes; warn if it is low."""
    table = Table(title=f"an equal candidate passes rule {rule.model}@{rule.id}", title_justify="left")
    for column in ("condition", "patients", "SD of the champion", "chance"):
        table.add_column(column, justify="left" if column == "condition" else "right")
    for condition, alone in zip(rule.conditions, chance.each, strict=True):
        metric = None if isinstance(condition, LeastPatients | Detects) else condition.metric
        patients = chance.patients[metric] if metric else min(chance.patients.values())
        sd = f"{chance.sd[metric]:.3f}" if metric and metric in chance.sd else ""
        table.add_row(condition_text(condition), str(patients), sd, f"{alone:.2f}")
    table.add_row("all together", "", "", f"{chance.passes:.2f}")
    show_table(table)
    if chance.passes < ENOUGH:
        notes.print(
            f"an equal candidate passes with a chance of {chance.passes:.2f}, below {ENOUGH:g}: take more patients, "
            "wider margins, fewer looks or fewer conditions, and declare another rule before the first look",
            style="yellow",
        )


def show_outcome(outcome: GateOutcome) -> None:
    """Print pass or fail of each condition; the numbers only if the candidate passed: they would guide the next."""
    for found in outcome.conditions:
        console.print(
            f"  {_passed(found)}  {condition_text(found.condition)}{_numbers(found) if outcome.passed else ''}"
        )


def outcome_lines(outcomes: Sequence[ConditionOutcome]) -> list[str]:
    """Every condition with its numbers, for the history of a model in use."""
    return [f"{_passed(found)}  {condition_text(found.condition)}{_numbers(found)}" for found in outcomes]


def _passed(found: ConditionOutcome) -> str:
    return "pass" if found.passed else "fail"


def _numbers(found: ConditionOutcome) -> str:
    where = f" (site {found.site})" if found.site else ""
    if found.estimate is None or found.limit is None:
        return f": {found.patients} patients{where}"
    return f": {found.estimate:+.3f}, lower limit {found.limit:+.3f}, {found.patients} patients{where}"
