"""Fetch what a submission made."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from jobs.shared.console import console
from jobs.shared.entry_points import run_as_module
from jobs.shared.options import StoreOption, connect_to_read
from jobs.shared.report_folder import PAGE_NAME, report_folder, save_files
from jobs.shared.stages import export_plan
from jobs.shared.submission_names import SubmissionArgument
from lesionlab.errors import InputError
from lesionlab.experiments.submissions import plan_of, standing, stored_submission


def fetch(
    submission: SubmissionArgument,
    store: StoreOption,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the report with its tables and figures.")],
    masks: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Also save every predicted mask, as a BIDS-derivatives dataset.")
    ] = None,
) -> None:
    """Fetch the report, the tables and, if wanted, the masks of a submission that is done.

    Example: lesionlab fetch 0123456789abcdef --out ./report --masks ./masks
    """
    place = connect_to_read(store)
    wanted, now = stored_submission(place, submission), standing(place, submission)
    outcome = now.outcome if now is not None else None
    if outcome is not None and outcome.ending == "done" and outcome.report is None:
        raise InputError(f"submission {submission}: done without the report of the hospitals", *outcome.faults)
    if outcome is None or outcome.report is None:
        raise InputError(f"submission {submission}: no report yet; how far it is: lesionlab status {submission}")
    plan = plan_of(place, wanted)
    if plan is None:
        raise InputError(f"submission {submission}: its plan is not in {place.uri} any more; see lesionlab fsck")
    root = outcome.report.removesuffix(PAGE_NAME)
    with report_folder(out):
        save_files({key.removeprefix(root): place.get(key) for key in place.list(root)}, out)
    export_plan(plan, place, masks)
    console.print(f"report: {out / PAGE_NAME}")


if __name__ == "__main__":
    run_as_module(fetch)
