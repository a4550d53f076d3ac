"""Follow a submission: one line from the queue, the nodes and the command itself, until it ends."""

from __future__ import annotations

import time
from collections.abc import Callable

import typer
from rich.console import Console

from jobs.shared.console import console, notes
from jobs.shared.progress import Line
from jobs.shared.submitting import Place
from lesionlab.clusters.following import Seen
from lesionlab.errors import ClusterError, InputError, NotAllowed, StoreError
from lesionlab.experiments.submissions import Standing, progress_of, standing, stored_submission
from lesionlab.store.objects import Store
from storage_schemas.base import Digest
from storage_schemas.submissions import SubmissionOutcome

POLL_S = 5.0
"""Twelve small questions a minute."""

SILENT_POLLS = 60
"""A laptop may lose its network, and an API server be restarted: so many questions may remain without an answer."""


def line_of(store: Store, now: Standing, place: Place | None) -> tuple[str, Seen | None]:
    """What is happening, in one line, and what the cluster says."""
    found = place.seen(now.attempt.submission, now.attempt.number) if place is not None else None
    if found is not None and found.state not in ("running", "absent"):
        return found.line, found
    if now.outcome is not None and found is None:
        return f"{now.outcome.ending} ({'; '.join(now.outcome.faults)}); its cluster knows if it is tried again", None
    told = progress_of(store, now.attempt.submission)
    if told is None or told[0].number != now.attempt.number:
        return found.line if found else "the command has not begun yet, or its cluster is gone", found
    return f"{told[0].stage}: {told[0].text}", found


def follow(store: Store, submission: Digest, place: Place | None, sleep: Callable[[float], None] = time.sleep) -> None:
    """Show the line until the attempt ends; then how it ended. Raises typer.Exit(1) unless it is done.

    Ctrl-C ends only the following, and so does an error: the store or the cluster does not answer, or a token expired.
    """
    line, silent = Line(), 0
    try:
        while True:
            now = standing(store, submission)
            if now is None:
                raise InputError(f"submission {submission}: no attempt was opened; submit it again")
            if now.outcome is not None and now.over:
                break
            try:
                (text, found), silent = line_of(store, now, place), 0
            except ClusterError as error:
                silent += 1
                if isinstance(error, NotAllowed) or silent >= SILENT_POLLS:
                    raise
                text, found = f"{line_of(store, now, None)[0]} (the cluster does not answer)", None
            line.say(f"{submission}: {text}", event=text)
            if found is not None and found.ended:
                now = standing(store, submission) or now
                break
            sleep(POLL_S)
    except (KeyboardInterrupt, ClusterError, StoreError) as stopped:
        line.close()
        notes.print(f"the job goes on; to come back: lesionlab status {submission} --watch")
        if not isinstance(stopped, KeyboardInterrupt):
            raise
        raise typer.Exit(130) from stopped
    line.close()
    show_end(submission, now.outcome, found.line if now.outcome is None and found else "")


def show_submission_state(store: Store, submission: Digest, place: Place | None, out: Console = console) -> str:
    """Print where a submission stands; return the name of its experiment."""
    experiment, now = stored_submission(store, submission).spec.name, standing(store, submission)
    if now is None:
        out.print(f"{submission}: no attempt was opened")
        return experiment
    text, found = ("", None) if now.over else line_of(store, now, place)
    who = f"{submission}: attempt {now.attempt.number} by {now.attempt.by}"
    if now.outcome is None:
        out.print(f"{who} in {now.attempt.place}: {text}")
        return experiment
    out.print(f"{who}: {now.outcome.ending}")
    for fault in now.outcome.faults:
        out.print(f"  {fault}")
    if found is not None and not found.ended:
        out.print(f"  it is tried again in {now.attempt.place}: {text}")
    return experiment


def show_end(submission: Digest, outcome: SubmissionOutcome | None, line: str = "") -> None:
    """How an attempt ended, and what to do. Raises typer.Exit(1) unless it is done."""
    if outcome is not None and outcome.ending == "done":
        report = f"the report: lesionlab fetch {submission} --out ./report"
        console.print(f"{submission}: done; {report if outcome.report else 'no report of the hospitals'}")
        for fault in outcome.faults:
            console.print(fault)
        return
    for fault in outcome.faults if outcome else ():
        notes.print(f"error: {fault}", style="bold red")
    ending = outcome.ending if outcome else f"ended ({line})"
    notes.print(f"{submission}: {ending}; what it printed: lesionlab logs {submission}; to try again, submit it again")
    raise typer.Exit(1)
