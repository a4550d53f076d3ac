"""Print how far an experiment is."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from jobs.shared.console import console, show_table
from jobs.shared.progress import minutes
from lesionlab.experiments.cells import count_of_runs
from lesionlab.experiments.status import RunState, SweepState, counts


def show_status(experiment: str, states: Sequence[RunState], sweeps: Sequence[SweepState]) -> None:
    """One line for each run that is neither done nor untouched, what made those that are done, the reasons of failures,
    the counts, and the sweeps that go on."""
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
        return
    show_sweeps(sweeps, console)
    if not any(run.state == "running" for run in states) and not any(state.alive for state in sweeps):
        console.print(
            "no run is being executed, and no sweep waits; to go on: lesionlab sweep with its experiment file, also "
            "beside another sweep: each run is executed once"
        )


def show_sweeps(sweeps: Sequence[SweepState], out: Console) -> None:
    """One line for each sweep that goes on; if none does, one for the last that was killed."""
    for state in [state for state in sweeps if state.alive] or sweeps[:1]:
        sweep, heard = state.sweep, f"last heard {state.heard_s:.0f} s ago"
        if not state.alive:
            waited = f" while it waited: {sweep.waiting}" if sweep.waiting else ""
            out.print(
                f"the sweep of {sweep.holder} since {sweep.since} is gone: not heard of for "
                f"{minutes(state.heard_s)}{waited}"
            )
            continue
        waits = f"; waits ({minutes(state.waiting_s)} so far): {sweep.waiting}" if sweep.waiting else ""
        out.print(
            f"swept by {sweep.holder} since {sweep.since}: {sweep.running} running, {sweep.left} left{waits} ({heard})"
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
