"""List what was submitted to a cluster."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.table import Table

from jobs.shared.console import console, show_table
from jobs.shared.entry_points import run_as_module
from jobs.shared.options import StoreOption, connect_to_read
from lesionlab.experiments.submissions import progress_of, standing, stored_submission, submission_ids
from lesionlab.store.at_once import at_once


def jobs(store: StoreOption) -> None:
    """List what was submitted: who, when, where, and how it stands.

    It reads the store; for the cluster's own view of one: lesionlab status ID.

    Example: lesionlab jobs --store s3://consortium/studies
    """
    place = connect_to_read(store)

    def row(name: str) -> tuple[str, ...] | None:
        now = standing(place, name)
        if now is None:
            return None
        told = progress_of(place, name)
        begun = told is not None and told[0].number == now.attempt.number
        state = now.outcome.ending if now.outcome else (told[0].stage if told and begun else "waits for its cluster")
        experiment = stored_submission(place, name).spec.name
        attempt = now.attempt
        return name, experiment, state, str(attempt.number), attempt.by, attempt.at, attempt.place

    rows = [found for found in at_once(row, submission_ids(place)) if found]
    if not rows:
        console.print(f"nothing was submitted to {place.uri}")
        return
    table = Table("id", "experiment", "state", "attempt", "by", "since", "where", box=SIMPLE_HEAD, pad_edge=False)
    for found in sorted(rows, key=lambda found: found[5]):
        table.add_row(*found)
    show_table(table)


if __name__ == "__main__":
    run_as_module(jobs)
