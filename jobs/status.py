"""Show how far an experiment is, from the store alone."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from typing import Annotated

import typer

from jobs.shared.console import console
from jobs.shared.entry_points import run_as_module
from jobs.shared.options import ExperimentNameArgument, JsonOption, StoreOption, connect_to_read
from jobs.shared.status_output import show_status
from lesionlab.experiments.status import run_states
from lesionlab.experiments.stored_plans import current_plan

WATCH_S = 10.0
"""Interval of `--watch`: a run is heard of as often."""


def status(
    experiment: ExperimentNameArgument,
    store: StoreOption,
    watch: Annotated[
        bool, typer.Option("--watch", help="Show it again every 10 seconds until every run ended.")
    ] = False,
    for_programs: JsonOption = False,
) -> None:
    """Show which runs of an experiment are done, running, interrupted or failed.

    It reads the store alone: anybody who can read the store can ask, from any
    machine, also while the cluster is gone. Says who executes a run, where, since
    when and how far it is, and why a run failed.

    Example: lesionlab status demo --watch
    """
    place = connect_to_read(store)
    while True:
        states = run_states(place, current_plan(place, experiment))
        if for_programs:
            console.print(json.dumps([asdict(run) for run in states], indent=2))
        else:
            show_status(experiment, states)
        if not watch or not any(run.state in ("running", "to do") for run in states):
            return
        time.sleep(WATCH_S)


if __name__ == "__main__":
    run_as_module(status)
