"""Print what a submission's command printed, from the store."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Annotated

import typer

from jobs.shared.cluster_options import ContextOption
from jobs.shared.console import console, notes
from jobs.shared.entry_points import run_as_module
from jobs.shared.options import StoreOption, connect_to_read
from jobs.shared.submission_names import SubmissionArgument
from jobs.shared.submitting import Place, place_if_any
from lesionlab.errors import ClusterError, InputError
from lesionlab.experiments.submissions import Standing, log_text, standing, stored_submission

POLL_S = 5.0


def logs(
    submission: SubmissionArgument,
    store: StoreOption,
    follow: Annotated[bool, typer.Option("--follow", help="Go on until the attempt ends.")] = False,
    context: ContextOption = None,
) -> None:
    """Print what a submission's command printed on the cluster.

    It reads the store: logs outlive the cluster, retries and suspension. --follow
    also asks the cluster, if this machine reaches it, whether the job has ended.

    Example: lesionlab logs 0123456789abcdef --follow
    """
    place = connect_to_read(store)
    device, shown, number = stored_submission(place, submission).device, 0, 0
    while True:
        now = standing(place, submission)
        if now is None:
            raise InputError(f"submission {submission}: no attempt was opened")
        if now.attempt.number != number:  # submitted again meanwhile
            number, shown = now.attempt.number, 0
            ask = follow and not now.over
            cluster = place_if_any(now.attempt, device, store, context=context) if ask else None
        ended = not follow or now.over or has_ended(now, cluster)
        text = log_text(place, now.attempt)
        console.print(text[shown:], end="")
        shown = len(text)
        if ended:
            if not text:
                notes.print(f"its command printed nothing; where it stands: lesionlab status {submission}")
            return
        time.sleep(POLL_S)


def has_ended(now: Standing, cluster: Place | None) -> bool:
    """Whether nobody prints for an attempt any more: its job failed for good, or ended before the command could say so.

    Without a cluster to ask, a failure is the end: whether it is tried again is not known.
    """
    if cluster is None:
        return now.outcome is not None
    with suppress(ClusterError):  # it is asked again
        return cluster.seen(now.attempt.submission, now.attempt.number).ended
    return False


if __name__ == "__main__":
    run_as_module(logs)
