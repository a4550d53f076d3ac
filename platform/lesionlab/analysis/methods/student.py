"""The paper's three tests of plain values: paired t, pooled two-sample t, one-way repeated-measures ANOVA.

A test that cannot be computed has no p and a reason (Untestable): never NaN, never a warning.
"""

# S study (subject), M model (condition)

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats
from statsmodels.stats.anova import AnovaRM

ALPHA = 0.05

LEAST_PATIENTS = 6
"""For a statement on patients. With fewer, not even a sign test could find a difference at 5 % when every patient
favours one arm (2 · 0.5⁵ = 0.06): a significant t test would rest on the normal distribution alone."""

_NO_SPREAD = 1e-9
"""Values that differ by less differ by rounding only; metrics are fractions of whole lesions or voxels."""


class Untestable(Enum):
    """Why a test has no p."""

    NO_PAIR = auto()
    ONE_PAIR = auto()
    CONSTANT_DIFFERENCE = auto()
    """Every pair differs by the same amount: no variance to test against."""
    EMPTY_GROUP = auto()
    ONE_VALUE = auto()
    """A group has one value only."""
    CONSTANT_GROUPS = auto()
    """All values of each group are equal."""
    MISSING_VALUE = auto()
    """A study lacks a value under one of the models."""
    FEWER_THAN_TWO_MODELS = auto()
    FEWER_THAN_TWO_STUDIES = auto()
    CONSTANT_CONTRASTS = auto()
    """Every study differs between the models by the same amounts."""


@dataclass(frozen=True)
class AnovaSize:
    """What a repeated-measures ANOVA compared, and its degrees of freedom."""

    models: int
    between: int
    within: int
    epsilon: float = 1.0
    """After Greenhouse and Geisser (1959): 1 under sphericity, 1 / between at least."""
    p_corrected: float | None = None
    """With the degrees of freedom multiplied by epsilon. Supplements the paper's p, which assumes sphericity."""


@dataclass(frozen=True)
class StatisticalTest:
    """What one test found. `p` is two-tailed; None where the test cannot be computed, and `untestable` says why."""

    statistic: float | None
    p: float | None
    difference: float | None
    """First mean − second mean; None where a group is empty, and for the ANOVA."""
    untestable: Untestable | None = None
    anova: AnovaSize | None = None
    """Of an ANOVA that could be computed."""


def significant(p: float | None, family: int) -> bool:
    """Return whether p is significant after Bonferroni over m = `family` comparisons: p ≤ 0.05/m, as in the paper."""
    return p is not None and p <= ALPHA / family


def holm(ps: Sequence[float | None], family: int) -> tuple[float | None, ...]:
    """Adjust p values after Holm (1979) over m = `family` comparisons; never above Bonferroni's.

    A comparison without a p counts in m and gets none: it ranks as the least significant.
    """
    known = sorted((p, place) for place, p in enumerate(ps) if p is not None)
    adjusted: list[float | None] = [None] * len(ps)
    highest = 0.0
    for rank, (p, place) in enumerate(known):
        highest = max(highest, min(1.0, (family - rank) * p))
        adjusted[place] = highest
    return tuple(adjusted)


def paired_t(values: Sequence[float], others: Sequence[float]) -> StatisticalTest:
    """Compute the two-tailed paired t test of values − others, pair by pair."""
    differences = np.asarray(values, dtype=float) - np.asarray(others, dtype=float)
    if len(differences) == 0:
        return _untestable(Untestable.NO_PAIR)
    mean = float(differences.mean())
    if len(differences) < 2:
        return _untestable(Untestable.ONE_PAIR, mean)
    if np.ptp(differences) < _NO_SPREAD:
        return _untestable(Untestable.CONSTANT_DIFFERENCE, mean)
    test = stats.ttest_1samp(differences, 0.0)
    return StatisticalTest(float(test.statistic), float(test.pvalue), mean)


def unpaired_t(values: Sequence[float], others: Sequence[float], *, pooled: bool = True) -> StatisticalTest:
    """Compute the two-tailed t test of two groups: Student's with pooled variance, as in the paper, or Welch's."""
    first, second = np.asarray(values, dtype=float), np.asarray(others, dtype=float)
    if not len(first) or not len(second):
        return _untestable(Untestable.EMPTY_GROUP)
    difference = float(first.mean() - second.mean())
    if len(first) < 2 or len(second) < 2:
        return _untestable(Untestable.ONE_VALUE, difference)
    if np.ptp(first) < _NO_SPREAD and np.ptp(second) < _NO_SPREAD:
        return _untestable(Untestable.CONSTANT_GROUPS, difference)
    # From means and SDs: ttest_ind warns where one group is constant, though the pooled variance is sound.
    one, other = ((group.mean(), group.std(ddof=1), len(group)) for group in (first, second))
    test = stats.ttest_ind_from_stats(*one, *other, equal_var=pooled)
    return StatisticalTest(float(test.statistic), float(test.pvalue), difference)


def repeated_measures(values_SM: NDArray[np.float64]) -> StatisticalTest:
    """Compute a one-way repeated-measures ANOVA: does the mean differ between models, each study its own control?

    `values_SM` holds one row per study and one column per model. With a missing value (NaN) there is no test; AnovaRM
    would silently return NaN. Its p assumes sphericity, as in the paper; `anova` has the corrected one.
    """
    studies, models = values_SM.shape
    if np.isnan(values_SM).any():
        return _untestable(Untestable.MISSING_VALUE)
    if models < 2:
        return _untestable(Untestable.FEWER_THAN_TWO_MODELS)
    if studies < 2:
        return _untestable(Untestable.FEWER_THAN_TWO_STUDIES)
    by_study_S1, by_model_1M = values_SM.mean(axis=1, keepdims=True), values_SM.mean(axis=0, keepdims=True)
    residual_SM = values_SM - by_study_S1 - by_model_1M + values_SM.mean()
    if np.abs(residual_SM).max() < _NO_SPREAD:
        # AnovaRM would divide rounding errors by each other here, and report a negative F.
        return _untestable(Untestable.CONSTANT_CONTRASTS)
    table = pd.DataFrame(
        {
            "value": values_SM.ravel(),
            "study": np.repeat(np.arange(studies), models),
            "model": np.tile(np.arange(models), studies),
        }
    )
    row = AnovaRM(table, depvar="value", subject="study", within=["model"]).fit().anova_table.iloc[0]
    between, within, statistic = int(row["Num DF"]), int(row["Den DF"]), float(row["F Value"])
    epsilon = greenhouse_geisser(values_SM)
    corrected = float(stats.f.sf(statistic, epsilon * between, epsilon * within))
    size = AnovaSize(models, between, within, epsilon, corrected)
    return StatisticalTest(statistic, float(row["Pr > F"]), None, anova=size)


def greenhouse_geisser(values_SM: NDArray[np.float64]) -> float:
    """Return how far the covariances between models are from sphericity (Box's epsilon, estimated from the sample).

    With C the double-centred covariance matrix, epsilon = trace(C)² / ((M − 1) · ΣC²); AnovaRM does not report it.
    """
    by_study_S1, by_model_1M = values_SM.mean(axis=1, keepdims=True), values_SM.mean(axis=0, keepdims=True)
    residual_SM = values_SM - by_study_S1 - by_model_1M + values_SM.mean()
    covariance_MM = residual_SM.T @ residual_SM
    return float(np.trace(covariance_MM) ** 2 / ((values_SM.shape[1] - 1) * (covariance_MM**2).sum()))


def _untestable(why: Untestable, difference: float | None = None) -> StatisticalTest:
    return StatisticalTest(None, None, difference, why)
