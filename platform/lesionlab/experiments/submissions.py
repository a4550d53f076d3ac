"""Store what was submitted to a cluster, its attempts, and how they end.

An attempt ends for good with a refusal: KubeRay starts every failed job again, and without the stored outcome a missing
cohort would cost as many GPU clusters as there are retries.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple, Protocol

from lesionlab.errors import DamagedObject, InputError, MissingObject, ObjectExists
from lesionlab.experiments.leases import this_user
from lesionlab.experiments.rehearsal import Rehearsal
from lesionlab.experiments.stored_plans import find_sound_plan, sound_plans
from lesionlab.store.documents import create_document, create_named, read_document, write_document
from lesionlab.store.objects import Store
from storage_schemas import keys
from storage_schemas.base import Digest
from storage_schemas.experiments import Plan
from storage_schemas.submissions import (
    FINAL,
    Device,
    Ending,
    Submission,
    SubmissionAttempt,
    SubmissionOutcome,
    SubmissionProgress,
)
from storage_schemas.versions import CURRENT


class Standing(NamedTuple):
    """The newest attempt at a submission, and how its last execution ended (None: it waits or runs)."""

    attempt: SubmissionAttempt
    outcome: SubmissionOutcome | None

    @property
    def over(self) -> bool:
        """Whether nothing more happens for this attempt."""
        return self.outcome is not None and self.outcome.ending in FINAL


def new_submission(
    rehearsal: Rehearsal,
    *,
    device: Device,
    gpus_per_worker: float = 1.0,
    slots: int | None = None,
    max_gpu_hours: float | None = None,
) -> Submission:
    """The submission of an experiment that was rehearsed; it is not stored."""
    plan = rehearsal.plan
    return Submission.named(
        spec=plan.spec,
        manifests={plan.spec.target.cohort: plan.manifest} | {r.cohort: r.manifest for r in rehearsal.pretrainings},
        versions=CURRENT,
        device=device,
        gpus_per_worker=gpus_per_worker,
        slots=slots,
        max_gpu_hours=max_gpu_hours,
    )


def stored_submission(store: Store, submission: Digest) -> Submission:
    """A submission by its id. Raises InputError that lists those in the store."""
    try:
        return read_document(store, keys.SUBMISSION.build(submission=submission), Submission)
    except MissingObject as error:
        known = ", ".join(submission_ids(store)) or "none yet"
        raise InputError(f"submission {submission}: not in {store.uri}; submissions there: {known}") from error


def submission_ids(store: Store) -> list[Digest]:
    """All submissions in the store."""
    found = (keys.SUBMISSION.parse(key) for key in store.list(keys.SUBMISSION.prefix()))
    return [values["submission"] for values in found if values]


def plan_of(store: Store, submission: Submission) -> Plan | None:
    """The plan that was made for a submission, also if the experiment was planned otherwise since; None before."""
    spec, current = submission.spec, find_sound_plan(store, submission.spec.name)
    wanted = spec, submission.manifests.get(spec.target.cohort), submission.versions
    for plan in (*([current] if current else []), *sound_plans(store, spec.name)):
        if (plan.spec, plan.manifest, plan.versions) == wanted:
            return plan
    return None


def standing(store: Store, submission: Digest) -> Standing | None:
    """The newest attempt and its outcome; None before the first."""
    prefix = keys.SUBMISSION_ATTEMPT.prefix(submission=submission)
    numbers = sorted(values["attempt"] for key in store.list(prefix) if (values := keys.SUBMISSION_ATTEMPT.parse(key)))
    if not numbers:
        return None
    attempt = read_document(
        store, keys.SUBMISSION_ATTEMPT.build(submission=submission, attempt=numbers[-1]), SubmissionAttempt
    )
    return Standing(attempt, _outcome(store, attempt))


class Ended(Protocol):
    """What a cluster says of a job."""

    @property
    def ended(self) -> bool: ...

    @property
    def state(self) -> str: ...


def attempt_to_join(store: Store, submission: Submission, look: Callable[[int], Ended], *, missing: int) -> int:
    """Number of the attempt that submitting now joins or opens, when so many runs are missing.

    The newest one, unless it ended without a result, or its result is not in the store any more: also one whose job
    ended before the command could say why, by a deadline for example. `look` asks the cluster for the job of an
    attempt.
    """
    now = standing(store, submission.id)
    if now is None:
        return 1
    number = now.attempt.number
    if now.over:
        return number if is_done(store, now) and not missing else number + 1
    job = look(number)
    return number + 1 if job.ended and (now.outcome is not None or job.state != "absent") else number


def is_done(store: Store, now: Standing) -> bool:
    """Whether the attempt is done and its report, if it made one, is in the store."""
    if now.outcome is None or now.outcome.ending != "done":
        return False
    return now.outcome.report is None or store.exists(now.outcome.report)


def open_attempt(store: Store, submission: Submission, number: int, *, place: str, by: str = "") -> bool:
    """Store the submission and open this attempt; False if it is open already."""
    create_named(store, keys.SUBMISSION.build(submission=submission.id), submission)
    attempt = SubmissionAttempt(submission=submission.id, number=number, by=by or this_user(), at=_now(), place=place)
    key = keys.SUBMISSION_ATTEMPT.build(submission=submission.id, attempt=number_text(number))
    try:
        return create_document(store, key, attempt)
    except ObjectExists:  # opened by somebody else, perhaps this very second
        return False


def begin_again(store: Store, now: Standing) -> None:
    """Forget how an earlier execution of an attempt failed: a retry has begun, and without an outcome it runs."""
    if now.outcome is not None and not now.over:
        store.delete(_outcome_key(now.attempt))


def end_attempt(
    store: Store, attempt: SubmissionAttempt, ending: Ending, faults: Sequence[str] = (), report: str | None = None
) -> SubmissionOutcome:
    """Store how an execution of the attempt ended, and return that.

    What was cancelled does not become a failure: the command's nodes are gone, which is why it failed.
    """
    if ending == "failed" and (before := _outcome(store, attempt)) is not None and before.ending == "cancelled":
        return before
    outcome = SubmissionOutcome(
        submission=attempt.submission,
        number=attempt.number,
        ending=ending,
        faults=tuple(faults),
        report=report,
        at=_now(),
    )
    write_document(store, _outcome_key(attempt), outcome)
    return outcome


def progress_of(store: Store, submission: Digest) -> tuple[SubmissionProgress, datetime] | None:
    """What the command on the cluster last said, and when by the store's clock."""
    key = keys.SUBMISSION_PROGRESS.build(submission=submission)
    try:
        return read_document(store, key, SubmissionProgress), store.get_tagged(key).modified
    except (MissingObject, DamagedObject):
        return None


def log_text(store: Store, attempt: SubmissionAttempt) -> str:
    """What the command printed in all executions of an attempt."""
    prefix = keys.SUBMISSION_LOG.prefix(submission=attempt.submission, attempt=number_text(attempt.number))
    return "".join(store.get(key).decode(errors="replace") for key in store.list(prefix))


def number_text(number: int) -> str:
    """An attempt's number as a part of a key, which sorts as the numbers do."""
    return f"{number:03d}"


def _outcome(store: Store, attempt: SubmissionAttempt) -> SubmissionOutcome | None:
    try:
        return read_document(store, _outcome_key(attempt), SubmissionOutcome)
    except (MissingObject, DamagedObject):
        return None


def _outcome_key(attempt: SubmissionAttempt) -> str:
    return keys.SUBMISSION_OUTCOME.build(submission=attempt.submission, attempt=number_text(attempt.number))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
