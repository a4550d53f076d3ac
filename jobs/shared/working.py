"""Execute a submission on the cluster: its stages, its progress and log in the store, and how it ended."""

from __future__ import annotations

import io
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO, cast

from jobs.shared.audited import ANALYSING, audited, studies_of, submitted_by
from jobs.shared.console import notes
from jobs.shared.execution import execute_with_progress
from jobs.shared.stages import pretrain_sources, sweep_experiment
from lesionlab.analysis.report import write_report
from lesionlab.errors import (
    ClusterError,
    DamagedObject,
    InputError,
    LesionlabError,
    LimitReached,
    StoreError,
    TransferError,
)
from lesionlab.experiments.ledger import ledger_entries
from lesionlab.experiments.publishing import finished
from lesionlab.experiments.rehearsal import rehearse
from lesionlab.experiments.site_policies import without_report
from lesionlab.experiments.status import run_states
from lesionlab.experiments.stored_plans import store_plan
from lesionlab.experiments.submissions import (
    Standing,
    begin_again,
    end_attempt,
    number_text,
    plan_of,
    standing,
    stored_submission,
)
from lesionlab.orchestration.room import Room
from lesionlab.store.documents import by_another_version, write_document
from lesionlab.store.objects import Store
from storage_schemas import keys
from storage_schemas.experiments import Plan
from storage_schemas.runs import RunSpec
from storage_schemas.submissions import Ending, Stage, Submission, SubmissionOutcome, SubmissionProgress
from storage_schemas.versions import CURRENT, version_difference

WAIT_S = 3600.0
"""A gang of pods starts together; nodes that are lost later come back within this time, or the job ends."""

TELL_S = 5.0
"""Interval at which progress and log are written to the store."""

PART_CHARACTERS = 256 * 1024
"""A log is written in parts: an object cannot be appended to, and the last part is written again and again."""


def work_on(store: Store, submission_id: str, cache: Path, *, plain: bool = False) -> str:
    """Do what is missing, store how it ended, and return one line for people.

    Raises InputError at once if this attempt was refused, reached its limit or was cancelled before, and the error that
    ended it otherwise.
    """
    submission = _readable(store, submission_id)
    now = standing(store, submission.id)
    if now is None:
        raise InputError(f"submission {submission.id}: no attempt was opened; start it with lesionlab submit")
    if now.outcome is not None and now.over:
        if now.outcome.ending == "done":
            return f"submission {submission.id}: done before; {_end_text(now.outcome)}"
        raise InputError(
            *now.outcome.faults,
            f"submission {submission.id}: attempt {now.attempt.number} ended as {now.outcome.ending}; mend "
            "what is named above and submit the experiment again",
        )
    begin_again(store, now)
    with submitted_by(now.attempt.by), _told(store, now, submission) as tell:
        try:
            plan = _stages(store, submission, cache, tell, plain=plain)
            told = without_report(store, plan.runs)
            report = None if told else _report(store, plan, tell)
        except LesionlabError as error:
            ending = _ending(error, store, submission)
            end_attempt(store, now.attempt, ending, [str(fault) for fault in error.args])
            raise
        except Exception as error:
            end_attempt(store, now.attempt, "failed", [f"{type(error).__name__}: {error}"])
            raise
        outcome = end_attempt(store, now.attempt, "done", told, report)
    return f"submission {submission.id}: done; {_end_text(outcome)}"


def _readable(store: Store, submission_id: str) -> Submission:
    """The submission. Raises InputError, stored as a refusal, if this version of lesionlab cannot read it."""
    try:
        return stored_submission(store, submission_id)
    except StoreError as error:
        if not (by_another_version(error) or isinstance(error, DamagedObject)):
            raise
        from importlib.metadata import version

        refused = (
            f"submission {submission_id}: lesionlab {version('lesionlab')} of the cluster's image cannot read it "
            f"({error}); submit it with the version of the image, or ask the administrator for an image of yours"
        )
        now = standing(store, submission_id)
        if now is not None and not now.over:
            end_attempt(store, now.attempt, "refused", [refused])
        raise InputError(refused) from error


def _stages(
    store: Store, submission: Submission, cache: Path, tell: Callable[[Stage, str], None], *, plain: bool
) -> Plan:
    """Train and test; the plan, all of whose runs are complete."""
    spec = submission.spec
    if submission.versions != CURRENT:
        raise InputError(f"submission {submission.id}: {version_difference(submission.versions)}")
    rehearsal = rehearse(spec, store)
    found = {spec.target.cohort: rehearsal.plan.manifest} | {r.cohort: r.manifest for r in rehearsal.pretrainings}
    changed = [name for name, digest in submission.manifests.items() if found.get(name) != digest]
    if changed:
        raise InputError(
            *(f"cohort {name}: it changed since the experiment was submitted; submit it again" for name in changed)
        )
    room = Room(submission.device, submission.gpus_per_worker, submission.slots, WAIT_S)
    tell("pretraining", f"default models: {len(rehearsal.pretrainings)}")
    pretrain_sources(spec, store, cache, plain=plain, room=room)
    tell("sweep", f"cells: {len(rehearsal.plan.runs)}")
    if submission.max_gpu_hours is not None:
        _sweep_within(submission.max_gpu_hours, rehearse(spec, store).plan, store, cache, room, plain=plain)
    # As it was rehearsed when it was submitted, whatever was planned before.
    return sweep_experiment(spec, store, cache, plain=plain, replan=True, room=room)


def _report(store: Store, plan: Plan, tell: Callable[[Stage, str], None]) -> str:
    """Key of the report's page."""
    tell("report", "statistics and report")
    with audited(store, ANALYSING, plan.spec.name, studies_of(store, plan.runs)):
        return write_report(store, plan).key


def _end_text(outcome: SubmissionOutcome) -> str:
    return f"report {outcome.report}" if outcome.report else "; ".join(("no report of the hospitals", *outcome.faults))


def _sweep_within(hours: float, plan: Plan, store: Store, cache: Path, room: Room, *, plain: bool) -> None:
    """Execute as many runs at a time as the room has slots, and count before each. Raises LimitReached."""
    store_plan(store, plan)
    left = [run for run in plan.runs if run.run_id not in finished(store, plan.runs)]
    at_once = room.slots or 1
    for begin in range(0, len(left), at_once):
        used = gpu_hours(store, plan.runs, room)
        if used >= hours:
            done = len(finished(store, plan.runs))
            raise LimitReached(
                f"max_gpu_hours: {done} of {len(plan.runs)} cells are done, {used:.2f} of {hours:g} GPU hours used; "
                "to go on, submit it with more"
            )
        execute_with_progress(left[begin : begin + at_once], store, cache, plain=plain, what="cells", room=room)


def gpu_hours(store: Store, runs: Sequence[RunSpec], room: Room) -> float:
    """GPU hours (on a CPU: hours of workers) of the attempts that count; lost ones are in no ledger entry."""
    share = room.gpus_per_worker if room.device == "cuda" else 1.0
    workers = {run.run_id: run.training.workers for run in runs}
    entries = ledger_entries(store, workers)
    seconds = sum((e.training_s + e.evaluation_s) * workers[run_id] for run_id, e in entries.items())
    return seconds * share / 3600


def _ending(error: LesionlabError, store: Store, submission: Submission) -> Ending:
    """Whether another try can help. A sweep was refused if each of its failed runs was."""
    if isinstance(error, LimitReached):
        return "limit"
    if isinstance(error, (InputError, TransferError, ClusterError)) or by_another_version(error):
        return "refused"
    if isinstance(error, StoreError):
        return "failed"
    plan = plan_of(store, submission)
    with suppress(StoreError):
        states = run_states(store, plan) if plan is not None else []
        kinds = {run.kind for run in states if run.state == "failed"}
        if kinds == {"refused"}:
            return "refused"
    return "failed"


@contextmanager
def _told(store: Store, now: Standing, submission: Submission) -> Iterator[Callable[[Stage, str], None]]:
    """Write what is printed, and the stage and the newest line of it, to the store every TELL_S; then the rest."""
    stage: list[tuple[Stage, str]] = [("waiting for nodes", "")]
    log = _Log(store, now)
    ended = threading.Event()

    def write() -> None:
        name, text = stage[0]
        progress = SubmissionProgress(
            submission=submission.id, number=now.attempt.number, stage=name, text=log.newest or text
        )
        with suppress(StoreError):  # the next one may succeed
            write_document(store, keys.SUBMISSION_PROGRESS.build(submission=submission.id), progress)
            log.save()

    def tell(name: Stage, text: str) -> None:
        stage[0] = name, text
        notes.print(f"{name}: {text}")
        log.newest = ""  # which that line has become
        write()

    def repeat() -> None:
        while not ended.wait(TELL_S):
            write()

    thread = threading.Thread(target=repeat, daemon=True, name="progress")
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = log.beside(sys.stdout), log.beside(sys.stderr)
    thread.start()
    try:
        yield tell
    except BaseException as error:
        for fault in error.args:
            log.add(f"error: {fault}\n")
        raise
    finally:
        ended.set()
        thread.join()
        sys.stdout, sys.stderr = before
        write()


class _Log:
    """What one execution of an attempt prints, kept in the store: it outlives the cluster, retries and suspension."""

    def __init__(self, store: Store, now: Standing) -> None:
        self._store = store
        self._attempt = {"submission": now.attempt.submission, "attempt": number_text(now.attempt.number)}
        self._part = len(store.list(keys.SUBMISSION_LOG.prefix(**self._attempt))) + 1
        self._text, self._saved, self._lock = "", "", threading.Lock()
        self.newest = ""
        """The last line that was printed."""

    def beside(self, stream: TextIO) -> TextIO:
        """A stream that writes to this one and to the log."""
        return cast(TextIO, _Both(stream, self))

    def add(self, text: str) -> None:
        with self._lock:
            self._text += text
            lines = [line for line in text.splitlines() if line.strip()]
            self.newest = lines[-1].strip() if lines else self.newest

    def save(self) -> None:
        """Write the part that grows; begin the next one if it is long enough. Raises StoreError."""
        with self._lock:
            text = self._text
        if text != self._saved:
            self._store.put(keys.SUBMISSION_LOG.build(**self._attempt, part=f"{self._part:05d}"), text.encode())
            self._saved = text
        if len(text) >= PART_CHARACTERS:
            with self._lock:
                self._text, self._saved = self._text[len(text) :], ""
            self._part += 1


class _Both(io.TextIOBase):
    def __init__(self, stream: TextIO, log: _Log) -> None:
        self._stream, self._log = stream, log

    def write(self, text: str) -> int:
        self._log.add(text)
        return self._stream.write(text)

    def flush(self) -> None:
        self._stream.flush()

    def isatty(self) -> bool:
        return False

    def fileno(self) -> int:
        return self._stream.fileno()
