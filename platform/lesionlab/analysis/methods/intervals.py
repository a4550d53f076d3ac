"""Means and differences with clustered 95 % confidence intervals. Ours, not the paper's.

All patients of a fold are tested by one network and share its training variability, so the fold is the cluster.
Intervals use Student's t over the clusters, on the logit scale for means of fractions, on the log scale for means of
counts. They cover the sampling of test patients and training variability (which studies, which random draws). They
ignore that the training sets of folds overlap, which makes their networks slightly alike. Several seeds are averaged
within a fold.

With fewer than LEAST_CLUSTERS folds, or a patient tested in several, the clusters are patients. Such intervals are
conditional on the trained networks: they exclude training variability, and every report of them must say so.
"""

# X any leading axes, N values, C clusters

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

Array = NDArray[np.float64]
Unit = Literal["fold", "patient"]

CONFIDENCE = 0.95

LEAST_CLUSTERS = 3
"""Two leave one degree of freedom, and an interval too wide to be of use."""

NO_SPREAD = 1e-12
"""A standard error below this is one of rounding: all clusters have the same mean."""


class Covers(Enum):
    """The chance that an interval holds, besides that of who was tested: how often it excludes a true value.

    Simulated (see test_type_one_error): intervals of the first kind exclude it far too often once networks differ by
    chance, those of the second once it matters which studies were trained on and folds share them (rotations: t over
    folds 0.13 to 0.25, mixed model 0.16 to 0.46, in place of 0.05).
    """

    THESE_NETWORKS = "these-networks"
    """No chance of training: another training of the same design may give another value."""
    INDEPENDENT_NETWORKS = "independent-networks"
    """That of training, were the training sets of the folds drawn apart."""
    TRAINING_STUDIES = "training-studies"
    """That of training, and of which studies were trained on, though folds share them."""


class Origin(NamedTuple):
    """The fold and the patient that a value comes from."""

    fold: int | None
    """None: the study is tested in several."""
    patient: str


ByOrigin = Mapping[Origin, Sequence[float]]


@dataclass(frozen=True)
class Interval:
    """A 95 % confidence interval."""

    low: float
    high: float

    def includes(self, value: float) -> bool:
        """Return whether the value lies inside."""
        return self.low <= value <= self.high


@dataclass(frozen=True)
class ClusteredMean:
    """The mean of all values, and how far each cluster shifts it."""

    mean: float
    n: int
    moves: Mapping[str, float]
    """By cluster, in the metric's unit; the root of the sum of their squares is the standard error."""

    @property
    def degrees(self) -> int:
        """Degrees of freedom."""
        return len(self.moves) - 1

    @cached_property
    def interval(self) -> Interval | None:
        """Student's t over the clusters; None with fewer than LEAST_CLUSTERS, and where no cluster shifts the mean:
        values that do not vary tell nothing of others."""
        error = float(np.linalg.norm(list(self.moves.values())))
        if len(self.moves) < LEAST_CLUSTERS or error < NO_SPREAD:
            return None
        reach = t_limit(self.degrees) * error
        return Interval(self.mean - reach, self.mean + reach)

    @cached_property
    def share_interval(self) -> Interval | None:
        """The same for a mean of values from 0 to 1, on the logit scale (delta method): it never leaves [0, 1]."""
        if self.interval is None or not 0 < self.mean < 1:
            return self.interval
        reach = (self.interval.high - self.mean) / (self.mean * (1 - self.mean))
        centre = special.logit(self.mean)
        return Interval(float(special.expit(centre - reach)), float(special.expit(centre + reach)))

    @cached_property
    def positive_interval(self) -> Interval | None:
        """The same for a mean of counts or distances, on the log scale (delta method): it never goes below 0."""
        if self.interval is None or self.mean <= 0:
            return self.interval
        reach = (self.interval.high - self.mean) / self.mean
        return Interval(float(self.mean * np.exp(-reach)), float(self.mean * np.exp(reach)))


@dataclass(frozen=True)
class EffectSize:
    """A mean difference, raw and standardised."""

    difference: float
    interval: Interval | None
    """None with fewer than LEAST_CLUSTERS."""
    unit: Unit
    """What the interval is over."""
    clusters: int
    standardised: float | None
    """Mean difference / SD of the differences (Cohen's d_z); None without spread."""
    patients: int

    @property
    def covers(self) -> Covers:
        """What the interval is an interval for."""
        return Covers.INDEPENDENT_NETWORKS if self.unit == "fold" else Covers.THESE_NETWORKS


def paired_effect(differences: ByOrigin) -> EffectSize | None:
    """Compute the effect size of paired differences; None without any difference."""
    given = {origin: values for origin, values in sorted(differences.items(), key=str) if len(values)}
    if not given:
        return None
    unit = unit_of(given)
    mean = clustered_mean(given, unit)
    every = np.concatenate([np.asarray(values, dtype=float) for values in given.values()])
    sd = float(every.std(ddof=1)) if len(every) > 1 else 0.0
    return EffectSize(
        difference=mean.mean,
        interval=mean.interval,
        unit=unit,
        clusters=len(mean.moves),
        standardised=mean.mean / sd if sd > 1e-9 else None,
        patients=len({origin.patient for origin in given}),
    )


def origins_of(tested: Iterable[tuple[str, int, str]]) -> dict[str, Origin]:
    """Return the origin of each study, from (study, fold, patient) of every test."""
    patient_of: dict[str, str] = {}
    folds_of = defaultdict(set)
    for study, fold, patient in tested:
        patient_of[study] = patient
        folds_of[study].add(fold)
    return {study: Origin(min(own) if len(own) == 1 else None, patient_of[study]) for study, own in folds_of.items()}


def unit_of(origins: Iterable[Origin]) -> Unit:
    """Choose folds, if there are enough and each patient is tested in one only; else patients."""
    folds_of = defaultdict(set)
    for origin in origins:
        folds_of[origin.patient].add(origin.fold)
    folds = set[int | None]().union(*folds_of.values())
    nested = None not in folds and all(len(own) == 1 for own in folds_of.values())
    return "fold" if nested and len(folds) >= LEAST_CLUSTERS else "patient"


def clustered_mean(values: ByOrigin, unit: Unit) -> ClusteredMean:
    """Compute the mean of all values, of which there must be one, with the shift of each cluster."""
    ordered = sorted(values.items(), key=str)
    labels_N = np.array([f"{unit} {getattr(origin, unit)}" for origin, own in ordered for _ in own])
    every_N = np.array([value for _, own in ordered for value in own], dtype=np.float64)
    labels, cluster_N = np.unique(labels_N, return_inverse=True)
    mean, moves_C = moves_of(every_N, cluster_N)
    return ClusteredMean(float(mean), len(every_N), dict(zip(labels.tolist(), moves_C.tolist(), strict=True)))


def moves_of(values_XN: Array, cluster_N: NDArray[np.intp]) -> tuple[Array, Array]:
    """Compute means (X) and how far each cluster shifts them (X, C); clusters are numbered from 0.

    For clusters of equal size the resulting standard error is that of the mean of cluster means; for unequal sizes it
    is the cluster-robust standard error of a mean.
    """
    counts_C = np.bincount(cluster_N)
    sums_XC = values_XN @ (cluster_N[:, None] == np.arange(len(counts_C))).astype(np.float64)
    mean_X = values_XN.mean(axis=-1)
    few = np.sqrt(len(counts_C) / max(len(counts_C) - 1, 1))
    return mean_X, (sums_XC - mean_X[..., None] * counts_C) * (few / len(cluster_N))


def t_limit(degrees: float) -> float:
    """Return the half-width of a 95 % interval in standard errors (Student's t)."""
    return float(stats.t.ppf((1 + CONFIDENCE) / 2, degrees))
