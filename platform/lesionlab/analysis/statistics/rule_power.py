"""The chance that a candidate passes a rule when it truly equals the champion: the champion's own results in."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lesionlab.analysis.methods.gate_power import OneSided, chances
from lesionlab.analysis.methods.intervals import Array
from lesionlab.analysis.statistics.conditions import value_of
from lesionlab.analysis.statistics.gate import Patient, detects_outcome
from lesionlab.analysis.statistics.rows import Row
from storage_schemas.grading import InsertedLesion
from storage_schemas.metrics import FractionMetric
from storage_schemas.rules import Detects, LeastPatients, NonInferior, NoSiteWorse, Rule, RuleCondition

ENOUGH = 0.8
"""A rule that an equal candidate passes less often wastes looks."""

SAME_PATIENTS = 0.5
"""Correlation over patients of two models' results, by default: differences then vary as much as the champion's results
do. Two networks that fail on the same patients have more, and the chance is higher."""


RESAMPLED = 400
"""Bootstrap samples for a condition about inserted lesions: its chance is known within 5 %."""


@dataclass(frozen=True)
class Chance:
    """The chance that a candidate which truly equals the champion passes, within 0.5 % (drawn)."""

    passes: float
    """All conditions together."""
    each: tuple[float, ...]
    """Each condition alone, in the order of the rule."""
    patients: Mapping[FractionMetric, int]
    sd: Mapping[FractionMetric, float]
    """Of the champion's results over patients."""


def chance_when_equal(
    rule: Rule,
    champion: Iterable[Row],
    correlation: float = SAME_PATIENTS,
    seed: int = 0,
    grades: Sequence[InsertedLesion] = (),
) -> Chance:
    """The chance to pass one look, from the champion's results on the benchmark and, for conditions about inserted
    lesions, its self-grading there.

    Differences between two equal models are drawn from normal distributions with 2(1 − correlation) times the variance
    of the champion's results over patients, and their covariance between metrics. For inserted lesions, patients are
    drawn with replacement from the champion's; these chances are multiplied, as if they were independent of the rest.
    """
    rows = tuple(champion)
    values = {metric: patients_of(rows, metric, rule) for metric in rule.metrics}
    everybody = sorted(set[Patient]().union(*values.values()))
    place = {patient: number for number, patient in enumerate(everybody)}
    own = {m: [place[patient] for patient in found] for m, found in values.items()}
    tests: list[OneSided] = []
    parts: list[Sequence[int]] = []
    for condition in rule.conditions:
        new = [] if isinstance(condition, LeastPatients | Detects) else list(_tests(condition, rule, own, everybody))
        parts.append(range(len(tests), len(tests) + len(new)))
        tests += new
    covariance_MM = 2 * (1 - correlation) * _covariance(list(values.values()))
    rng = np.random.default_rng(seed)
    counted = {metric: len(found) for metric, found in values.items()}
    enough = all(
        min(counted.values()) >= condition.patients
        for condition in rule.conditions
        if isinstance(condition, LeastPatients)
    )
    together, each = chances(covariance_MM, len(everybody), tests, parts, rule.level, rng)
    alone = tuple(
        float(min(counted.values()) >= condition.patients)
        if isinstance(condition, LeastPatients)
        else _detects(condition, grades, rule.level, rng)
        if isinstance(condition, Detects)
        else drawn
        for condition, drawn in zip(rule.conditions, each, strict=True)
    )
    inserted = math.prod(chance for c, chance in zip(rule.conditions, alone, strict=True) if isinstance(c, Detects))
    sd = {metric: float(np.std(list(found.values()), ddof=1)) for metric, found in values.items() if len(found) > 1}
    return Chance(together * inserted if enough else 0.0, alone, counted, sd)


def _detects(condition: Detects, grades: Sequence[InsertedLesion], level: float, rng: np.random.Generator) -> float:
    """Share of bootstrap samples of the champion's patients in which the condition holds."""
    of: dict[Patient, list[InsertedLesion]] = defaultdict(list)
    for row in grades:
        of[row.site, row.patient].append(row)
    people = sorted(of)
    passed = 0
    for _ in range(RESAMPLED if people else 0):
        drawn = rng.integers(len(people), size=len(people))
        rows = [
            row.model_copy(update={"patient": str(number)})
            for number, place in enumerate(drawn)
            for row in of[people[place]]
        ]
        passed += detects_outcome(condition, rows, level).passed
    return passed / RESAMPLED


def patients_of(rows: Iterable[Row], metric: FractionMetric, rule: Rule) -> dict[Patient, float]:
    """The mean of a metric over the studies of each patient in which it is defined."""
    found: dict[Patient, list[float]] = defaultdict(list)
    for row in rows:
        if (value := value_of(row, metric, rule.undefined)) is not None:
            found[row.site, row.patient].append(value)
    return {patient: sum(own) / len(own) for patient, own in sorted(found.items())}


def _tests(
    condition: RuleCondition, rule: Rule, own: Mapping[FractionMetric, Sequence[int]], everybody: Sequence[Patient]
) -> Iterable[OneSided]:
    """The tests of one condition: one, or one for each site."""
    assert not isinstance(condition, LeastPatients | Detects)
    metric, patients = rule.metrics.index(condition.metric), np.array(own[condition.metric], dtype=np.intp)
    bound = -condition.margin if isinstance(condition, NonInferior | NoSiteWorse) else 0.0
    if not isinstance(condition, NoSiteWorse):
        yield OneSided(metric, bound, patients)
        return
    sites = np.array([everybody[number][0] for number in patients])
    for site in np.unique(sites):
        yield OneSided(metric, bound, patients[sites == site])


def _covariance(values: Sequence[Mapping[Patient, float]]) -> Array:
    """Covariance of the metrics over patients: each variance from all patients with the metric, each correlation from
    those with both."""
    sd = [float(np.std(list(own.values()), ddof=1)) if len(own) > 1 else 0.0 for own in values]
    covariance_MM: Array = np.diag(np.square(sd)).astype(np.float64)
    for one in range(len(values)):
        for other in range(one):
            both = sorted(values[one].keys() & values[other].keys())
            pair = np.array([[values[m][patient] for patient in both] for m in (one, other)])
            if len(both) > 2 and pair.std(axis=1).min() > 0:
                r = float(np.corrcoef(pair)[0, 1])
                covariance_MM[one, other] = covariance_MM[other, one] = r * sd[one] * sd[other]
    return covariance_MM
