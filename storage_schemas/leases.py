"""Define who executes a run or a sweep at present, and why a run failed: small documents beside the ledger."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from storage_schemas.base import Digest, Document, Seconds, Slug

FailureKind = Literal["refused", "memory", "lost", "hardware", "error"]
"""refused: the code refused the input, and would again; memory: host or GPU memory did not suffice; lost: its workers
disappeared, or could not reach each other; hardware: an error of CUDA, NCCL or a GPU's memory; error: any other
exception."""


class Lease(Document):
    """The claim of one submission on one run; only one that is renewed counts.

    Whether it is renewed is judged by the store's clock: the clocks of two nodes may differ.
    """

    run_id: Digest
    submission: Digest
    """Names one execution of one command; a lost worker of the same submission is replaced at once."""
    attempt: Slug
    """Name of the folder of this attempt, see `KeyPattern.of`."""
    number: Annotated[int, Field(ge=1)]
    """How many times the run was started, this attempt included."""
    holder: str
    """`user@host` of the command that submitted the run."""
    node: str
    """Host that executes the run."""
    since: str
    """When the attempt began by the node's clock, ISO 8601 in UTC; for people, nothing is decided by it."""
    beat: Annotated[int, Field(ge=0)] = 0
    """Number of renewals."""
    epoch: Annotated[int, Field(ge=0)] = 0
    step: Annotated[int, Field(ge=0)] = 0
    steps: Annotated[int, Field(ge=0)] = 0
    """Steps in total; 0: not known yet, or nothing is trained."""
    loss: float | None = None
    """Mean loss of the last finished epoch."""
    released: bool = False
    """The attempt ended without a result; anybody may take the run."""


class ActiveSweep(Document):
    """A command that executes runs of an experiment, and what it waits for; only one that is renewed counts."""

    experiment: Slug
    submission: Digest
    """Names this execution of the command, as in its claims."""
    holder: str
    """`user@host` of the command."""
    since: str
    """When it began by its host's clock, ISO 8601 in UTC; for people, nothing is decided by it."""
    running: Annotated[int, Field(ge=0)] = 0
    left: Annotated[int, Field(ge=0)] = 0
    """Runs that have not started."""
    waiting: str = ""
    """What it waits for, such as `2 GPUs a run, 1 there`; empty: for nothing."""
    waiting_s: Seconds = 0.0
    """For how long it had waited when this was written."""


class Failure(Document):
    """Why the last attempt at a run failed; it is removed when the run begins again."""

    run_id: Digest
    kind: FailureKind
    message: str
    holder: str
    node: str
    number: Annotated[int, Field(ge=1)]
    """How many times the run was started."""
