"""Describe a benchmark: a frozen cohort on which candidates are judged, and which no training may ever hold."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from storage_schemas.base import Digest, Document, Fraction, Named, Sha256, Slug
from storage_schemas.definitions import MetricDefinition


class Benchmark(Named):
    """A manifest that was set aside: its studies are tested through the gate alone, and never trained on."""

    name: Slug
    cohort: Slug
    manifest: Digest
    same_patients: tuple[Slug, ...] = ()
    """Cohorts whose patient labels mean the same people as the benchmark's own; its own cohort always does."""
    patient_register: Slug | None = None
    """Register of its patient labels: a cohort of the same register in an experiment file has the same people."""
    metric: MetricDefinition = MetricDefinition()
    """By which lesions and hits are counted."""


class Ticket(Document):
    """The right to look at one candidate, taken before any of its scores exists."""

    benchmark: Digest
    number: Annotated[int, Field(ge=1)]
    """From 1, over all rules and models of the benchmark."""
    rule: Digest
    model: Slug
    candidate: Digest
    """Version of the model."""
    champion: Digest
    """Version that it is compared with."""
    weights_sha256: Sha256
    """Of the candidate."""
    spent: Fraction
    """Level of its tests."""
    by: str
    at: str
    decision: Digest | None = None
    """The decision by which the champion was in use; None: an earlier version of lesionlab took the ticket."""
