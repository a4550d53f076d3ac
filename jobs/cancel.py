"""End a submission's job."""

from __future__ import annotations

import time

from jobs.shared.cluster_options import AddressOption, ContextOption, StoredNamespaceOption
from jobs.shared.console import console, notes
from jobs.shared.entry_points import run_as_module
from jobs.shared.options import StoreOption, connect
from jobs.shared.submission_names import SubmissionArgument
from jobs.shared.submitting import place_of
from lesionlab.errors import InputError
from lesionlab.experiments.publishing import finished
from lesionlab.experiments.submissions import end_attempt, plan_of, standing, stored_submission


def cancel(
    submission: SubmissionArgument,
    store: StoreOption,
    context: ContextOption = None,
    namespace: StoredNamespaceOption = None,
    address: AddressOption = None,
) -> None:
    """End a submission's job, and wait until its nodes are free.

    Finished runs and checkpoints are kept: to go on, submit the same experiment
    again. Safe to repeat: a job that is still there is ended.

    Example: lesionlab cancel 0123456789abcdef
    """
    place = connect(store)
    wanted, now = stored_submission(place, submission), standing(place, submission)
    ending = now.outcome.ending if now is not None and now.over and now.outcome else None
    if now is None or ending not in (None, "cancelled"):
        ended = f"it ended as {ending}" if ending else "no attempt was opened"
        raise InputError(f"submission {submission}: nothing to cancel, {ended}")
    number = now.attempt.number
    where = place_of(now.attempt, wanted.device, store, context=context, address=address)
    where.refuse_to_stop_if_forbidden()
    job = where.seen(submission, number)
    if ending is not None and job.ended:
        raise InputError(f"submission {submission}: nothing to cancel, it ended as {ending}")
    # First the store: a retry that starts now ends by itself.
    end_attempt(place, now.attempt, "cancelled", ["cancelled"])
    if job.state == "running":
        notes.print(f"{submission}: its nodes have two minutes to write checkpoints")
    if not where.stop(submission, number, time.sleep):
        notes.print(f"{where.name}: no such job there any more; if it was sent by another context: --context NAME")
    plan = plan_of(place, wanted)
    kept = (
        f"{len(finished(place, plan.runs))} of {len(plan.runs)} cells are finished and kept"
        if plan
        else "no cell began"
    )
    console.print(f"{submission}: cancelled; {kept}; to go on, submit the experiment again")


if __name__ == "__main__":
    run_as_module(cancel)
