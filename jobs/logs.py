"""Print what a submission's command printed, from the store."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from jobs.shared.console import console
from jobs.shared.entry_points import run_as_module
from jobs.shared.options import StoreOption, connect_to_read
from jobs.shared.submission_names import SubmissionArgument
from lesionlab.errors import InputError
from lesionlab.experiments.submissions import log_text, standing, stored_submission

POLL_S = 5.0


def logs(
    submission: SubmissionArgument,
    store: StoreOption,
    follow: Annotated[bool, typer.Option("--follow", help="Go on until the attempt ends.")] = False,
) -> None:
    """Print what a submission's command printed on the cluster.

    It reads the store: logs outlive the cluster, retries and suspension.

    Example: lesionlab logs 0123456789abcdef --follow
    """
    place = connect_to_read(store)
    shown = 0
    while True:
        now = standing(place, stored_submission(place, submission).id)
        if now is None:
            raise InputError(f"submission {submission}: no attempt was opened")
        text = log_text(place, now.attempt)
        console.print(text[shown:], end="")
        shown = len(text)
        if not follow or now.over:
            return
        time.sleep(POLL_S)


if __name__ == "__main__":
    run_as_module(logs)
