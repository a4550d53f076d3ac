"""Declare when a champion is trained again, and describe what each scheduled decision found.

Retraining is part of a rule, so it is declared before the data too. A decision is a function of the store and a date.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from storage_schemas.base import Digest, Document, Fraction, NonNegative, Slug
from storage_schemas.metrics import FractionMetric
from storage_schemas.models import Adaptation, ModelName

Day = Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$")]
"""A date, ISO 8601."""

Verdict = Literal["train", "wait", "hold"]
"""wait: nothing to gain yet, too early, or no means. hold: what came in differs from what was trained on; look."""


class Retraining(Document):
    """From what, on what, and when a candidate is trained."""

    experiment: Slug
    """Its stored plan gives task, architecture and training settings, and its results the learning curve."""
    cohort: Slug
    """Trained on all its patients, except those of any benchmark."""
    source: ModelName | None = None
    """The model that every candidate starts from, never the champion; None: de novo."""
    adaptation: Adaptation | None = None
    """How its weights are adapted; None: they must fit unchanged."""
    least_new_patients: Annotated[int, Field(ge=1)] = 10
    """Since the last training, whether its candidate was promoted or not."""
    gain_metric: FractionMetric = "sensitivity"
    """The metric whose learning curve must promise more than networks differ by chance."""
    cool_down_days: Annotated[int, Field(ge=0)] = 30
    gpu_hours: NonNegative
    """For all retrainings by this rule together."""
    most_quarantined: Fraction = 0.2
    """Share of the cohort's studies that may fail quality control."""
    drift_level: Annotated[float, Field(gt=0, lt=1)] = 0.01
    """Level of all tests for drift together."""


class Shift(Document):
    """How one property of the new patients' studies compares with those that were trained on."""

    name: str
    """`lesion load, ml`, `noise of flair`, `scanner`."""
    before: int
    """Number of studies."""
    now: int
    median_before: float | None = None
    median_now: float | None = None
    p: Fraction | None = None
    """Two-sample Kolmogorov-Smirnov, two-sided; null for words, where what is new is named instead."""
    new: tuple[str, ...] = ()
    drifted: bool


class Gain(Document):
    """What the learning curve promises; `expected` is null beyond its largest size, where nobody knows."""

    size_before: int
    size_now: int
    largest: int | None
    """Largest training size of the experiment's results; null: there are none."""
    expected: float | None = None
    noise: float | None = None
    """SD over networks of one training size, of their mean over the test studies."""


class RetrainDecision(Document):
    """Whether to train again on this date, and every number that decided."""

    rule: Digest
    model: Slug
    date: Day
    manifest: Digest
    """Of the cohort."""
    champion: Digest | None
    last_training: Day | None
    """By this rule."""
    patients_before: int
    """Patients that the last training had, or the champion's."""
    patients_now: int
    """Patients of the cohort outside all benchmarks."""
    new_patients: int
    set_aside: int
    """Studies of the cohort that a benchmark holds."""
    quarantined: Fraction
    gain: Gain | None
    """Null if there are too few new patients anyway."""
    shifts: tuple[Shift, ...]
    spent_gpu_hours: NonNegative
    expected_gpu_hours: NonNegative | None
    """Null: no run of the experiment says what one costs."""
    looks_left: int | None
    """Null: who decided may not read the looks."""
    accepted: str = ""
    """Why somebody accepted the drift."""
    verdict: Verdict
    reasons: Annotated[tuple[str, ...], Field(min_length=1)]
    next_date: Day
    """The earliest one on which it can be otherwise."""
    run: Digest | None = None
    """The training that was decided."""


class RetrainOutcome(Document):
    """What became of a training that was decided."""

    rule: Digest
    date: Day
    candidate: Digest
    promoted: bool
    ticket: int | None
    """The look that was taken; null: none was."""
    note: str
