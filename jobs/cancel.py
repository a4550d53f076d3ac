"""End a submission's job."""

from __future__ import annotations

import time

from jobs.shared.cluster_options import AddressOption, ContextOption, NamespaceOption
from jobs.shared.console import console, notes
from jobs.shared.entry_points import run_as_module
from jobs.shared.options import StoreOption, connect
from jobs.shared.submission_names import SubmissionArgument
from jobs.shared.submitting import place_of
from lesionlab.errors import InputError
from lesionlab.experiments.publishing import finished
from lesionlab.experiments.stored_plans import find_sound_plan
from lesionlab.experiments.submissions import end_attempt, standing, stored_submission


def cancel(
    submission: SubmissionArgument,
    store: StoreOption,
    context: ContextOption = None,
    namespace: NamespaceOption = None,
    address: AddressOption = None,
) -> None:
    """End a submission's job, and wait until its nodes are free.

    Finished runs and checkpoints are kept: to go on, submit the same experiment
    again.

    Example: lesionlab cancel 0123456789abcdef
    """
    place = connect(store)
    wanted, now = stored_submission(place, submission), standing(place, submission)
    if now is None or now.over:
        ended = f"it ended as {now.outcome.ending}" if now and now.outcome else "no attempt was opened"
        raise InputError(f"submission {submission}: nothing to cancel, {ended}")
    where = place_of(now.attempt, wanted.device, store, context=context, namespace=namespace, address=address)
    # First the store: a retry that starts now ends by itself.
    end_attempt(place, now.attempt, "cancelled", ["cancelled"])
    notes.print(f"{submission}: its nodes have two minutes to write checkpoints")
    if not where.stop(submission, now.attempt.number, time.sleep):
        notes.print(f"{now.attempt.place}: no such job there any more")
    plan = find_sound_plan(place, wanted.spec.name)
    kept = (
        f"{len(finished(place, plan.runs))} of {len(plan.runs)} cells are finished and kept"
        if plan
        else "no cell began"
    )
    console.print(f"{submission}: cancelled; {kept}; to go on, submit the experiment again")


if __name__ == "__main__":
    run_as_module(cancel)
