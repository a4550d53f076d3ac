"""Claim a run for a group of workers, renew the claim while they execute it, and store why an attempt failed."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass

from lesionlab.errors import RunHeld, RunYielded, StoreError
from lesionlab.experiments.leases import Claim, claim_run, record_failure
from lesionlab.experiments.ledger import is_complete
from lesionlab.orchestration.failures import error_text, failure_kind
from lesionlab.store.objects import Store
from lesionlab.training.loop import Worker, WorkerAround
from storage_schemas.base import Digest, Slug

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Attempt:
    """One attempt at a run: the name of its folder, and, on rank 0, the claim that is renewed meanwhile."""

    name: Slug
    number: int
    claim: Claim | None

    def watched(self, worker: Worker) -> Worker:
        """The worker; its reports also go into the claim."""
        return _ClaimedWorker(worker, self.claim) if self.claim else worker


@contextmanager
def claimed(
    worker: Worker, run_id: Digest, store: Store, *, submission: Digest, holder: str
) -> Iterator[Attempt | None]:
    """Claim the run for this group of workers; None if it is complete. A failure is stored for others to read.

    Raises RunHeld on every worker if another submission executes the run, and on rank 0 for an error after another
    attempt took the run over or completed it: what it removed meanwhile is no failure of the run.
    """
    with ExitStack() as stack:
        claim, held = None, ""
        if worker.rank == 0 and not is_complete(store, run_id):
            try:
                claim = stack.enter_context(claim_run(store, run_id, submission, holder))
                if is_complete(store, run_id):  # since it was asked above: whoever held the run has just ended
                    claim = None
            except RunHeld as error:
                held = str(error)
        name, number, held = worker.gather((claim.attempt if claim else "", claim.number if claim else 0, held))[0]
        if held:
            raise RunHeld(held)
        if not name:
            yield None
            return
        try:
            yield Attempt(name, number, claim)
        except (RunYielded, RunHeld):
            raise  # it is no failure
        except Exception as error:
            if claim is None:
                raise
            with suppress(StoreError):  # the error itself matters more
                if claim.lost or is_complete(store, run_id):
                    _LOG.warning("run %s: taken over or completed meanwhile; %s", run_id, error_text(error))
                    raise RunHeld("taken over or completed meanwhile") from None
                record_failure(store, claim.lease, failure_kind(error), error_text(error))
            raise


@dataclass(frozen=True)
class _ClaimedWorker(WorkerAround):
    """A worker whose reports are also written into the claim."""

    worker: Worker
    claim: Claim

    def report(self, metrics: dict[str, float]) -> None:
        self.claim.progress(metrics)
        self.worker.report(metrics)

    def leaving(self) -> bool:
        self.claim.refuse_if_lost()
        return self.worker.leaving()
