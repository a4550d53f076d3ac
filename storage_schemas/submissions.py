"""Define an experiment that was submitted to a cluster: what is to be done, who tried it, how far it is, how it ended.

A submission is named by what is to be done, so whoever submits the same again gets the same one. The command on the
cluster is given its id and nothing else.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from storage_schemas.base import Digest, Document, Named, Positive, Slug
from storage_schemas.experiments import ExperimentSpec
from storage_schemas.versions import ResultVersions

Stage = Literal["waiting for nodes", "pretraining", "sweep", "report"]

Ending = Literal["done", "refused", "limit", "cancelled", "failed"]
"""refused: the code refused the input, and would again; limit: `max_gpu_hours` was reached; failed: try again."""

Device = Literal["cpu", "cuda"]

FINAL: tuple[Ending, ...] = ("done", "refused", "limit", "cancelled")
"""After these an attempt is over: a cluster that is started again for it ends within seconds."""


class Submission(Named):
    """What is to be done on a cluster."""

    spec: ExperimentSpec
    manifests: dict[Slug, Digest]
    """The current manifest of each cohort of the experiment that the store held when it was submitted."""
    versions: ResultVersions
    """Result versions of the code that submitted it; the image must have the same."""
    device: Device
    gpus_per_worker: Annotated[float, Field(gt=0, le=1)] = 1.0
    slots: Annotated[int, Field(ge=1)] | None = None
    """Runs at once; None: as many as fit."""
    max_gpu_hours: Positive | None = None
    """No run begins once the runs of this experiment have taken so many GPU hours; `slots` runs begin at a time."""


class SubmissionAttempt(Document):
    """One try at a submission: after a refusal and its mend, the next."""

    submission: Digest
    number: Annotated[int, Field(ge=1)]
    by: str
    """Who submitted it, as the cluster knows them, else `user@host`."""
    at: str
    """When, ISO 8601 in UTC, by the clock of the submitting machine; for people, nothing is decided by it."""
    place: str
    """Where it runs: `namespace/job`, or the address of a Ray cluster."""


class SubmissionOutcome(Document):
    """How the last execution of an attempt ended. Without one, the attempt waits or runs."""

    submission: Digest
    number: Annotated[int, Field(ge=1)]
    ending: Ending
    faults: tuple[str, ...] = ()
    """What was refused, or failed, one sentence each; of a done one, why it has no report."""
    report: str | None = None
    """Key of the report's page; None too if a site's policy lets it not be written."""
    at: str


class SubmissionProgress(Document):
    """How far the command on the cluster is; written every few seconds while it runs."""

    submission: Digest
    number: Annotated[int, Field(ge=1)]
    stage: Stage
    text: str = ""
    """One line for people, such as `cells: 12/60 done, 4 running`."""
    done: Annotated[int, Field(ge=0)] = 0
    total: Annotated[int, Field(ge=0)] = 0
