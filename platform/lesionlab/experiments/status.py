"""Say how far an experiment is from what the store holds: ledger entries, claims, failures, sweeps that go on.

Ray is not asked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from lesionlab.errors import DamagedObject, MissingObject
from lesionlab.experiments.cells import run_title
from lesionlab.experiments.leases import STALE_S, stored_lease
from lesionlab.experiments.ledger import ledger_entries
from lesionlab.experiments.publishing import finished
from lesionlab.store.at_once import at_once
from lesionlab.store.documents import parse_document, read_document
from lesionlab.store.objects import Store
from storage_schemas import keys
from storage_schemas.base import Digest, Slug
from storage_schemas.experiments import Plan
from storage_schemas.leases import ActiveSweep, Failure, FailureKind, Lease
from storage_schemas.runs import RunSpec

State = Literal["done", "running", "interrupted", "failed", "to do"]
STATES: tuple[State, ...] = ("done", "running", "interrupted", "failed", "to do")


@dataclass(frozen=True)
class RunState:
    """Where one run stands. Fields that do not apply are None."""

    run_id: Digest
    cell: str
    state: State
    holder: str | None = None
    """`user@host` of the command that submitted it."""
    node: str | None = None
    """Host that executes it, or that did last."""
    since: str | None = None
    """When this attempt began, ISO 8601 in UTC."""
    heard_s: float | None = None
    """Seconds since the executing process was last heard of."""
    step: int | None = None
    steps: int | None = None
    loss: float | None = None
    attempts: int | None = None
    reason: str | None = None
    """Why it failed."""
    kind: FailureKind | None = None
    """Of a failed run: whether another try can help."""
    device: str | None = None
    """Of a finished run: `cpu`, or the name of the GPU."""
    seconds: float | None = None
    """Of a finished run: training and testing of the attempt that counts."""
    lesionlab: str | None = None
    """Of a finished run: the version that made it."""


@dataclass(frozen=True)
class SweepState:
    """A sweep that has begun and not ended by itself."""

    sweep: ActiveSweep
    heard_s: float
    """Seconds since it was last heard of."""

    @property
    def alive(self) -> bool:
        """Whether it goes on; if not, it was killed, or its machine was lost."""
        return self.heard_s <= STALE_S

    @property
    def waiting_s(self) -> float:
        """For how long it has waited."""
        return self.sweep.waiting_s + self.heard_s


def sweep_states(store: Store, experiment: Slug) -> list[SweepState]:
    """The sweeps that execute runs of an experiment, or did until they were killed; the last heard of comes first."""
    names = [key for key in store.list(keys.ACTIVE_SWEEP.prefix(experiment=experiment)) if keys.ACTIVE_SWEEP.parse(key)]
    now = store.now_for_readers() if names else None
    found = []
    for key in names:
        with suppress(MissingObject, DamagedObject):  # it has just ended; a damaged one is written again if it goes on
            stored = store.get_tagged(key)
            sweep = parse_document(store, key, ActiveSweep, stored.data)
            assert now is not None
            found.append(SweepState(sweep, max(0.0, (now - stored.modified).total_seconds())))
    return sorted(found, key=lambda state: state.heard_s)


def run_states(store: Store, plan: Plan) -> list[RunState]:
    """The state of each run of the plan, in the plan's order.

    interrupted: it began, and nobody executes it; the next sweep resumes it from its checkpoint. failed: it will be
    tried again by the next sweep, and fails again unless the reason is mended.
    """
    done = ledger_entries(store, finished(store, plan.runs))
    failed = {values["run_id"] for key in store.list(keys.FAILURE.prefix()) if (values := keys.FAILURE.parse(key))}
    now = store.now_for_readers() if len(done) < len(plan.runs) else None

    def state(run: RunSpec) -> RunState:
        title = run_title(run)
        if now is None or run.run_id in done:
            entry = done[run.run_id]
            return RunState(
                run.run_id,
                title,
                "done",
                attempts=entry.attempts,
                device=entry.device,
                seconds=entry.training_s + entry.evaluation_s,
                lesionlab=entry.lesionlab,
            )
        found = stored_lease(store, run.run_id)
        failure = _failure(store, run.run_id, found[0] if found else None) if run.run_id in failed else None
        if failure and (found is None or found[0].released or found[0].number <= failure.number):
            return RunState(
                run.run_id,
                title,
                "failed",
                holder=failure.holder,
                node=failure.node,
                attempts=failure.number,
                reason=failure.message,
                kind=failure.kind,
            )
        if found is None:
            return RunState(run.run_id, title, "to do")
        lease, stored = found
        heard_s = max(0.0, (now - stored.modified).total_seconds())
        return RunState(
            run.run_id,
            title,
            "interrupted" if lease.released or heard_s > STALE_S else "running",
            holder=lease.holder,
            node=lease.node,
            since=lease.since,
            heard_s=heard_s,
            step=lease.step,
            steps=lease.steps,
            loss=lease.loss,
            attempts=lease.number,
        )

    return at_once(state, plan.runs)


def _failure(store: Store, run_id: Digest, lease: Lease | None) -> Failure | None:
    """Why the last attempt failed; None if the run has begun again since it was listed."""
    try:
        return read_document(store, keys.FAILURE.build(run_id=run_id), Failure)
    except MissingObject:
        return None
    except DamagedObject as error:
        if lease is not None and not lease.released:
            return None
        holder, node, number = (lease.holder, lease.node, lease.number) if lease else ("", "", 1)
        message = f"it failed, and why cannot be read: {error}"
        return Failure(run_id=run_id, kind="error", message=message, holder=holder, node=node, number=number)


def counts(states: Sequence[RunState]) -> dict[State, int]:
    """How many runs are in each state, also where none is."""
    found = Counter(run.state for run in states)
    return {state: found[state] for state in STATES}
