"""The chance that one-sided paired t tests all reject, when both models are truly equal: drawn, not approximated.

The tests share their patients, so their chances do not multiply. With normal differences the drawn share is that of the
noncentral t for a single test, within its Monte-Carlo error of 0.5 % at 10,000 draws.
"""

# D draws, N patients, M metrics

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from lesionlab.analysis.methods.intervals import LEAST_CLUSTERS, NO_SPREAD, Array

DRAWS = 10_000
_AT_ONCE = 1000


@dataclass(frozen=True)
class OneSided:
    """A test that the mean difference of one metric is above a bound, in some of the patients."""

    metric: int
    bound: float
    patients: NDArray[np.intp]


def rejections(differences_DNM: Array, tests: Sequence[OneSided], level: float) -> NDArray[np.bool_]:
    """Whether each test rejects in each draw (D × tests); with fewer than LEAST_CLUSTERS patients, or without any
    spread over them, none does, as in the gate."""
    draws = len(differences_DNM)
    found = np.zeros((draws, len(tests)), dtype=bool)
    for place, test in enumerate(tests):
        n = len(test.patients)
        if n < LEAST_CLUSTERS:
            continue
        own_DN = differences_DNM[:, test.patients, test.metric]
        error_D = own_DN.std(axis=1, ddof=1) / np.sqrt(n)
        above_D = own_DN.mean(axis=1) - test.bound >= stats.t.isf(level, n - 1) * error_D
        found[:, place] = above_D & (error_D >= NO_SPREAD)
    return found


def chances(
    covariance_MM: Array,
    patients: int,
    tests: Sequence[OneSided],
    parts: Sequence[Sequence[int]],
    level: float,
    rng: np.random.Generator,
) -> tuple[float, tuple[float, ...]]:
    """The chance that all tests reject, and that those of each part do, with normal differences of mean 0 and this
    covariance. A part lists the places of its tests; one without tests always rejects."""
    values, vectors = np.linalg.eigh(covariance_MM)
    root_MM = vectors * np.sqrt(np.maximum(values, 0.0))
    found = np.concatenate(
        [
            rejections(rng.standard_normal((_AT_ONCE, patients, len(root_MM))) @ root_MM.T, tests, level)
            for _ in range(DRAWS // _AT_ONCE)
        ]
    )
    each = tuple(float(found[:, list(part)].all(axis=1).mean()) for part in parts)
    return float(found.all(axis=1).mean()), each
