"""Paired values by patient in; effect sizes with bootstrap intervals out. Ours, not the paper's.

The bootstrap draws patients, not studies: several studies of one patient are one piece of evidence.
"""

# R resamples, P patients

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 4000
"""Enough for two stable digits of a 95 % limit."""

CONFIDENCE = 0.95

LEAST_PATIENTS = 5
"""Below this a bootstrap has hardly any different resamples, so no interval is given."""


@dataclass(frozen=True)
class Interval:
    """Limits at 95 %."""

    low: float
    high: float


@dataclass(frozen=True)
class EffectSize:
    """A mean difference and how large it is beside its spread."""

    difference: float
    interval: Interval | None
    """Percentile bootstrap over patients; None with fewer than LEAST_PATIENTS."""
    standardised: float | None
    """Mean difference / SD of the differences (Cohen's d_z); None without spread."""
    patients: int


def paired_effect(differences: Mapping[str, Sequence[float]], rng: np.random.Generator) -> EffectSize | None:
    """Effect size of the differences of each patient's studies; None where there is no difference at all."""
    by_patient = [list(values) for _, values in sorted(differences.items()) if values]
    if not by_patient:
        return None
    every = np.concatenate([np.asarray(values, dtype=float) for values in by_patient])
    sd = float(every.std(ddof=1)) if len(every) > 1 else 0.0
    return EffectSize(
        difference=float(every.mean()),
        interval=mean_interval(by_patient, rng),
        standardised=float(every.mean()) / sd if sd > 1e-9 else None,
        patients=len(by_patient),
    )


def mean_interval(by_patient: Sequence[Sequence[float]], rng: np.random.Generator) -> Interval | None:
    """Percentile interval of the mean of all values, patients drawn with replacement; None where they are too few."""
    if len(by_patient) < LEAST_PATIENTS:
        return None
    sums_P = np.array([sum(values) for values in by_patient], dtype=float)
    counts_P = np.array([len(values) for values in by_patient], dtype=float)
    weights_RP = resampled_weights(len(by_patient), rng)
    return percentiles((weights_RP @ sums_P) / (weights_RP @ counts_P))


def resampled_weights(patients: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """How often each patient is drawn, (R, P)."""
    return rng.multinomial(patients, np.full(patients, 1 / patients), size=RESAMPLES)


def percentiles(values_R: NDArray[np.floating]) -> Interval:
    """The central 95 % of the resampled values."""
    low, high = np.quantile(values_R, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Interval(float(low), float(high))
