"""Declare a promotion rule, or check whether an equal candidate could pass it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from jobs.shared.console import console, notes
from jobs.shared.entry_points import run_as_module
from jobs.shared.options import CacheOption, StoreOption, connect
from jobs.shared.rule_output import show_chance, show_rule
from lesionlab.analysis.statistics.rule_power import SAME_PATIENTS, chance_when_equal
from lesionlab.errors import InputError
from lesionlab.experiments.benchmarks import find_benchmark
from lesionlab.experiments.registry import champion, find_model
from lesionlab.experiments.rules import declare, find_rule, read_rule
from lesionlab.experiments.site_policies import refuse_few
from lesionlab.orchestration.gate import benchmark_rows, needs_grades, refuse_if_forbidden
from lesionlab.orchestration.self_grading import benchmark_grades


def rule(
    action: Annotated[
        Literal["declare", "check"], typer.Argument(help="declare: store a rule file. check: compute its power.")
    ],
    what: Annotated[
        str, typer.Argument(metavar="FILE|MODEL", help="declare: a YAML file. check: MODEL or MODEL@RULE.")
    ],
    store: StoreOption,
    cache: CacheOption,
    correlation: Annotated[
        float,
        typer.Option(
            min=0.0,
            max=0.99,
            help="check: correlation over patients between two equal models' results. At 0.5 their differences vary "
            "as much as the champion's results.",
        ),
    ] = SAME_PATIENTS,
) -> None:
    """Declare what a candidate must show on a benchmark to replace the champion, before anybody has seen it.

    A rule is named by its digest and never changes. Once a model has a rule and a
    champion, `lesionlab promote` goes by the rule. check tests the champion on the
    benchmark and says how often a candidate that truly equals it would pass, unless
    that told of fewer patients than the consortium agreed on or a policy asks for.

    Example: lesionlab rule declare rule.yaml

    Example: lesionlab rule check ms-flair
    """
    place = connect(store)
    if action == "declare":
        found = read_rule(place, Path(what))
        new = declare(place, found)
        console.print(f"rule {found.model}@{found.id} {'is declared' if new else 'was declared before'}")
        show_rule(found)
        return
    found = find_rule(place, what)
    version = champion(place, found.model)
    if version is None:
        raise InputError(f"model {found.model}: wanted a champion, whose SDs the power depends on; found none")
    frozen = find_benchmark(place, found.benchmark)
    card = find_model(place, f"{found.model}@{version}")
    refuse_if_forbidden(place, frozen, card)
    notes.print(f"testing {found.model}@{version} on benchmark {frozen.name}, unless that was done before")
    rows = benchmark_rows(place, frozen, card, cache).rows
    grades = benchmark_grades(place, frozen, card, cache) if needs_grades(found) else ()
    chance = chance_when_equal(found, rows, correlation, grades=grades)
    told: dict[str, int] = {metric: count for metric, count in chance.patients.items()}
    if needs_grades(found):
        told["inserted lesions"] = len({(row.site, row.patient) for row in grades})
    refuse_few(place, f"benchmark {frozen.name}", {entry.site for entry in frozen.manifest.studies}, told)
    show_chance(found, chance)


if __name__ == "__main__":
    run_as_module(rule)
