"""Bias and 95 % limits of agreement of two measurements, with several studies of a patient (Bland and Altman).

With repeated studies the spread of single differences has two parts: between patients and within them (one-way random
effects; Bland and Altman 2007, J Biopharm Stat 17:571, true value varies). The limits are bias ± 1.96 times the SD of
both together, so a patient with many studies does not narrow them.
"""

# N differences, P patients

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from scipy import stats

from lesionlab.analysis.methods.intervals import (
    LEAST_CLUSTERS,
    ByOrigin,
    Interval,
    Unit,
    clustered_mean,
    t_limit,
    unit_of,
)

_NORMAL = float(stats.norm.ppf(0.975))


@dataclass(frozen=True)
class Agreement:
    """How far two measurements differ, in their unit."""

    bias: float
    """Mean difference over studies."""
    bias_interval: Interval | None
    """95 % CI, over folds or patients; None with too few of them."""
    sd: float
    """Of a single difference: between and within patients."""
    limits: Interval
    """Bias ± 1.96 SD: 95 % of single differences."""
    reach: float | None
    """Half-width of the 95 % CI of either limit; None with too few patients."""
    studies: int
    patients: int
    unit: Unit

    @property
    def repeated(self) -> bool:
        """Whether a patient has several studies."""
        return self.studies > self.patients


def limits_of_agreement(differences: ByOrigin) -> Agreement | None:
    """Compute them from the differences of single studies; None below two patients."""
    given = {origin: list(values) for origin, values in differences.items() if len(values)}
    by_patient: dict[str, list[float]] = defaultdict(list)
    for origin, values in sorted(given.items(), key=str):
        by_patient[origin.patient] += values
    if len(by_patient) < 2:
        return None
    unit = unit_of(given)
    mean = clustered_mean(given, unit)
    sd = _sd_of_one(list(by_patient.values()))
    patients = len(by_patient)
    return Agreement(
        bias=mean.mean,
        bias_interval=mean.interval,
        sd=sd,
        limits=Interval(mean.mean - _NORMAL * sd, mean.mean + _NORMAL * sd),
        reach=_reach(mean.interval, sd, patients),
        studies=mean.n,
        patients=patients,
        unit=unit,
    )


def _reach(of_bias: Interval | None, sd: float, patients: int) -> float | None:
    """Half-width of the CI of a limit: that of the bias and that of 1.96 SD, which are independent, together.

    The SD of a normal sample has the standard error SD / √(2 (P − 1)). Each half-width has its own degrees of freedom,
    so a limit is never known better than the bias within it.
    """
    if of_bias is None or patients < LEAST_CLUSTERS:
        return None
    of_sd = t_limit(patients - 1) * _NORMAL * sd / np.sqrt(2 * (patients - 1))
    return float(np.hypot((of_bias.high - of_bias.low) / 2, of_sd))


def _sd_of_one(by_patient: list[list[float]]) -> float:
    """SD of a single difference, from a one-way analysis of variance with patients as groups."""
    counts_P = np.array([len(values) for values in by_patient])
    means_P = np.array([np.mean(values) for values in by_patient])
    every_N = np.concatenate([np.asarray(values, dtype=float) for values in by_patient])
    patients, studies = len(by_patient), len(every_N)
    between = float((counts_P * (means_P - every_N.mean()) ** 2).sum() / (patients - 1))
    if studies == patients:
        return float(np.sqrt(between))
    within = float(((every_N - np.repeat(means_P, counts_P)) ** 2).sum() / (studies - patients))
    typical = (studies - (counts_P**2).sum() / studies) / (patients - 1)
    return float(np.sqrt(max(0.0, (between - within) / typical) + within))
