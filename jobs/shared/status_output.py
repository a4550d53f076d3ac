"""Print how far an experiment is."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.table import Table

from jobs.shared.console import console, show_table
from jobs.shared.progress import minutes
from lesionlab.experiments.cells import count_of_runs
from lesionlab.experiments.status import RunState, counts


def show_status(experiment: str, states: Sequence[RunState]) -> None:
    """One line for each run that is neither done nor untouched, what made those that are done, the reasons of failures,
    and the counts."""
    told = [run for run in states if run.state not in ("done", "to do")]
    if told:
        table = Table(box=SIMPLE_HEAD, pad_edge=False)
        for column in ("cell", "state", "by", "on", "since"):
            table.add_column(column)
        for column in ("step", "loss", "last heard", "attempts"):
            table.add_column(column, justify="right")
        for run in told:
            table.add_row(run.cell, run.state, run.holder or "", run.node or "", run.since or "", *numbers(run))
        show_table(table)
    if any(run.state == "done" for run in states):
        console.print(f"done in {', '.join(made_by(states))}")
    for run in states:
        if run.reason:
            console.print(f"{run.cell} failed ({run.kind}): {run.reason}")
    found = ", ".join(f"{count} {state}" for state, count in counts(states).items() if count)
    console.print(f"{experiment}: {found} of {len(states)} runs")
    if any(run.state == "interrupted" for run in states):
        console.print(
            "interrupted: its process ended or is not heard of; started again, it continues from its checkpoint"
        )
    if states and all(run.state == "done" for run in states):
        console.print(f"next: lesionlab analyse {experiment}")
    elif not any(run.state == "running" for run in states):
        console.print(
            "no run is being executed (a sweep that waits for nodes is not seen here); to go on: lesionlab sweep with "
            "its experiment file, also beside another sweep: each run is executed once"
        )


def made_by(states: Sequence[RunState]) -> list[str]:
    """Time of the finished runs by what made them: `2:31 (12 runs) on cpu with lesionlab 0.2.0`."""
    runs: Counter[str] = Counter()
    seconds: defaultdict[str, float] = defaultdict(float)
    for run in states:
        if run.state == "done":
            runs[by := f"on {run.device} with lesionlab {run.lesionlab}"] += 1
            seconds[by] += run.seconds or 0
    return [f"{minutes(seconds[by])} ({count_of_runs(count)}) {by}" for by, count in runs.most_common()]


def numbers(run: RunState) -> tuple[str, str, str, str]:
    """Step, loss, time since the run was last heard of, attempts."""
    return (
        f"{run.step}/{run.steps}" if run.steps else "",
        "" if run.loss is None else f"{run.loss:.4f}",
        "" if run.heard_s is None else f"{run.heard_s:.0f} s ago",
        "" if run.attempts is None else str(run.attempts),
    )
