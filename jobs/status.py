"""Show how far an experiment is, from the store alone."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from typing import Annotated

import typer

from jobs.shared.cluster_options import ContextOption, StoredNamespaceOption
from jobs.shared.console import console, notes
from jobs.shared.entry_points import run_as_module
from jobs.shared.following import follow, show_submission_state
from jobs.shared.options import JsonOption, StoreOption, connect_to_read, plain_name
from jobs.shared.status_output import show_status, show_sweeps
from jobs.shared.submission_names import is_submission_id
from jobs.shared.submitting import place_if_any
from lesionlab.experiments.status import run_states, sweep_states
from lesionlab.experiments.stored_plans import current_plan, find_sound_plan
from lesionlab.experiments.submissions import standing, stored_submission
from storage_schemas import keys

WATCH_S = 10.0
"""Interval of `--watch`: a run is heard of as often."""


def status(
    experiment: Annotated[
        str,
        typer.Argument(
            metavar="EXPERIMENT|ID",
            callback=plain_name,
            help="Name of an experiment in the store, such as demo; or the id of a submission.",
        ),
    ],
    store: StoreOption,
    watch: Annotated[
        bool, typer.Option("--watch", help="Show it again every 10 seconds until every run ended.")
    ] = False,
    for_programs: JsonOption = False,
    context: ContextOption = None,
    namespace: StoredNamespaceOption = None,
) -> None:
    """Show which runs of an experiment are done, running, interrupted or failed.

    It reads the store alone: anybody who can read the store can ask, from any
    machine, also while the cluster is gone. Says who executes a run, where, since
    when and how far it is, and why a run failed; which sweep goes on, and what it
    waits for. An interrupted run is executed by nobody now; a sweep continues it
    from its checkpoint.

    Of a submission, it also says what its cluster says, if this machine reaches it.

    Example: lesionlab status demo --watch
    """
    place = connect_to_read(store)
    if is_submission_id(experiment) and place.exists(keys.SUBMISSION.build(submission=experiment)):
        now, device = standing(place, experiment), stored_submission(place, experiment).device
        target = place_if_any(now.attempt, device, store, context=context) if now and not now.over else None
        if watch:
            follow(place, experiment, target)
            return
        experiment = show_submission_state(place, experiment, target, notes if for_programs else console)
        if find_sound_plan(place, experiment) is None:
            return  # it has not got so far
    while True:
        states, sweeps = run_states(place, current_plan(place, experiment)), sweep_states(place, experiment)
        if for_programs:
            console.print(json.dumps([asdict(run) for run in states], indent=2))
            show_sweeps(sweeps, notes)
        else:
            show_status(experiment, states, sweeps)
        if not watch or not any(run.state in ("running", "to do") for run in states):
            return
        time.sleep(WATCH_S)


if __name__ == "__main__":
    run_as_module(status)
