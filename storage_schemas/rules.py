"""Declare, before any score is seen, what a candidate must show on a benchmark to replace the champion.

A rule is named by its digest, so it cannot change once a look was taken by it. What a look found is a GateOutcome.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from storage_schemas.base import Digest, Document, Fraction, Named, Sha256, Slug
from storage_schemas.experiments import Undefined
from storage_schemas.grading import CONTRASTS, DIAMETERS_MM
from storage_schemas.metrics import FractionMetric
from storage_schemas.retraining import Retraining

Margin = Annotated[float, Field(gt=0, lt=1)]
"""Absolute, in fractions such as sensitivity."""


class NonInferior(Document):
    """Over all patients, the candidate is not worse by the margin: one-sided limit of the paired difference."""

    kind: Literal["non-inferior"] = "non-inferior"
    metric: FractionMetric
    margin: Margin


class Superior(Document):
    """Over all patients, the candidate is better: the one-sided limit of the paired difference is above 0."""

    kind: Literal["superior"] = "superior"
    metric: FractionMetric


class NoSiteWorse(Document):
    """At every site, the candidate is not worse by the margin. A site of fewer than three patients cannot show it."""

    kind: Literal["no-site-worse"] = "no-site-worse"
    metric: FractionMetric
    margin: Margin


class LeastPatients(Document):
    """Each metric of the rule is defined under both models in so many patients."""

    kind: Literal["least-patients"] = "least-patients"
    patients: Annotated[int, Field(ge=3)]


class Detects(Document):
    """The candidate alone detects at least this fraction (one-sided limit) of the lesions of this diameter and contrast
    or more that are inserted into lesion-free regions of the benchmark."""

    kind: Literal["detects"] = "detects"
    diameter_mm: Annotated[float, Field(ge=0, le=max(DIAMETERS_MM))]
    contrast: Annotated[float, Field(ge=0, le=max(CONTRASTS))]
    """Brightness at a lesion's centre, in SDs of the image over the head."""
    least: Annotated[float, Field(gt=0, lt=1)]


RuleCondition = Annotated[NonInferior | Superior | NoSiteWorse | LeastPatients | Detects, Field(discriminator="kind")]


class Rule(Named):
    """What a candidate must show; all conditions hold together. Raises ValueError that lists every contradiction."""

    model: Slug
    """The name whose champion a candidate would replace."""
    benchmark: Digest
    """The frozen benchmark on which it is shown."""
    conditions: Annotated[tuple[RuleCondition, ...], Field(min_length=1)]
    undefined: Undefined = "worst"
    """As in an experiment; by default PPV counts as 0 where a model finds nothing, or finding nothing would pay."""
    alpha: Annotated[float, Field(gt=0, le=0.2)] = 0.05
    """Chance that any of all looks promotes a candidate that is exactly as bad as the conditions allow."""
    looks: Annotated[int, Field(ge=1, le=100)] = 3
    """Most candidates that may be looked at on this benchmark; each look spends alpha / looks."""
    retraining: Retraining | None = None
    """When and how a new candidate is trained; None: only people train."""

    @property
    def level(self) -> float:
        """Level of the one-sided tests of one look."""
        return self.alpha / self.looks

    @property
    def metrics(self) -> tuple[FractionMetric, ...]:
        """The metrics that its conditions test, each once."""
        return tuple(dict.fromkeys(c.metric for c in self.conditions if not isinstance(c, LeastPatients | Detects)))

    @model_validator(mode="after")
    def _check_consistency(self) -> Rule:
        faults = []
        told = [condition.model_dump_json() for condition in self.conditions]
        if len(set(told)) < len(told):
            faults.append("conditions: found one twice")
        if not self.metrics:
            faults.append("conditions: wanted at least one that tests a metric")
        if faults:
            raise ValueError("\n".join(faults))
        return self


Untested = Literal["few patients", "no spread"]
"""few patients: fewer than three; no spread: every patient differs by the same amount, so there is nothing to test
against. Neither passes."""


class ConditionOutcome(Document):
    """What one condition found. A condition over sites has the site that is nearest to failing."""

    condition: RuleCondition
    passed: bool
    patients: Annotated[int, Field(ge=0)]
    estimate: float | None = None
    """Mean paired difference, candidate − champion; of `detects`, the fraction of inserted lesions detected."""
    limit: float | None = None
    """Its one-sided lower limit at the level of the look."""
    p: Fraction | None = None
    """One-sided."""
    site: str | None = None
    untested: Untested | None = None


class GateOutcome(Document):
    """What a look found, with the sha256 of all that it rests on."""

    rule: Digest
    ticket: Annotated[int, Field(ge=1)]
    candidate: Digest
    """Version that was judged."""
    champion: Digest
    """Version that it was compared with."""
    level: Fraction
    conditions: tuple[ConditionOutcome, ...]
    champion_rows: Sha256
    candidate_rows: Sha256
    candidate_grades: Sha256 | None = None
    """Of the candidate's self-grading on the benchmark; None: no condition needs one."""

    @property
    def passed(self) -> bool:
        """Whether every condition holds."""
        return all(outcome.passed for outcome in self.conditions)
