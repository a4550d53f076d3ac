"""Plain values in; the paper's three tests out: paired t, pooled two-sample t, one-way repeated-measures ANOVA.

A test that cannot be computed says so in its note and has no p: never NaN, never a warning.
"""

# S study (subject), M model (condition)

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats
from statsmodels.stats.anova import AnovaRM

ALPHA = 0.05

_NO_SPREAD = 1e-9
"""Values that differ by less differ by rounding only; metrics are fractions of whole lesions or voxels."""


@dataclass(frozen=True)
class Outcome:
    """What one test found. `p` is two-tailed; None with the reason in `note`."""

    statistic: float | None
    p: float | None
    difference: float | None
    """First mean − second mean; None where a group is empty, and for the ANOVA."""
    note: str = ""


def significant(p: float | None, family: int) -> bool:
    """Whether p passes Bonferroni over m = `family` comparisons: p ≤ 0.05/m, the limit included as in the paper."""
    return p is not None and p <= ALPHA / family


def holm(ps: Sequence[float | None], family: int) -> tuple[float | None, ...]:
    """Adjusted p values after Holm (1979) over m = `family` comparisons, never above Bonferroni's.

    A comparison without a p counts in m and gets none: it is taken for the least significant.
    """
    known = sorted((p, place) for place, p in enumerate(ps) if p is not None)
    adjusted: list[float | None] = [None] * len(ps)
    highest = 0.0
    for rank, (p, place) in enumerate(known):
        highest = max(highest, min(1.0, (family - rank) * p))
        adjusted[place] = highest
    return tuple(adjusted)


def paired_t(values: Sequence[float], others: Sequence[float]) -> Outcome:
    """Two-tailed paired t test of values − others, pair by pair."""
    differences = np.asarray(values, dtype=float) - np.asarray(others, dtype=float)
    if len(differences) == 0:
        return Outcome(None, None, None, "no pair to test")
    mean = float(differences.mean())
    if len(differences) < 2:
        return Outcome(None, None, mean, "one pair only")
    if np.ptp(differences) < _NO_SPREAD:
        return Outcome(None, None, mean, "the difference is the same in every pair: no variance to test against")
    test = stats.ttest_1samp(differences, 0.0)
    return Outcome(float(test.statistic), float(test.pvalue), mean)


def unpaired_t(values: Sequence[float], others: Sequence[float], *, pooled: bool = True) -> Outcome:
    """Two-tailed Student t test of two groups, variances pooled (as the paper's printed p values are), or Welch's."""
    first, second = np.asarray(values, dtype=float), np.asarray(others, dtype=float)
    if not len(first) or not len(second):
        return Outcome(None, None, None, "a group without values")
    difference = float(first.mean() - second.mean())
    if len(first) < 2 or len(second) < 2:
        return Outcome(None, None, difference, "a group with one value only")
    if np.ptp(first) < _NO_SPREAD and np.ptp(second) < _NO_SPREAD:
        return Outcome(None, None, difference, "all values of each group are equal: no variance to test against")
    # From means and SDs: ttest_ind warns where one group is constant, though the pooled variance is sound.
    one, other = ((group.mean(), group.std(ddof=1), len(group)) for group in (first, second))
    test = stats.ttest_ind_from_stats(*one, *other, equal_var=pooled)
    return Outcome(float(test.statistic), float(test.pvalue), difference)


def repeated_measures(values_SM: NDArray[np.float64]) -> Outcome:
    """One-way repeated-measures ANOVA: does the mean differ between the models, each study its own control?

    `values_SM` holds one row per study and one column per model; with a value missing (NaN) there is no test, where
    AnovaRM would return NaN in silence. Sphericity is not corrected for.
    """
    studies, models = values_SM.shape
    if np.isnan(values_SM).any():
        return Outcome(None, None, None, "a study lacks a value under one of the models")
    if models < 2:
        return Outcome(None, None, None, "fewer than two models to compare")
    if studies < 2:
        return Outcome(None, None, None, f"{studies} studies with a value under every model; two are needed")
    by_study_S1, by_model_1M = values_SM.mean(axis=1, keepdims=True), values_SM.mean(axis=0, keepdims=True)
    residual_SM = values_SM - by_study_S1 - by_model_1M + values_SM.mean()
    if np.abs(residual_SM).max() < _NO_SPREAD:
        # AnovaRM would divide rounding errors by each other here, and report a negative F.
        return Outcome(None, None, None, "every study differs between the models in the same way: no variance")
    table = pd.DataFrame(
        {
            "value": values_SM.ravel(),
            "study": np.repeat(np.arange(studies), models),
            "model": np.tile(np.arange(models), studies),
        }
    )
    row = AnovaRM(table, depvar="value", subject="study", within=["model"]).fit().anova_table.iloc[0]
    note = f"{models} models, {int(row['Num DF'])} and {int(row['Den DF'])} degrees of freedom"
    return Outcome(float(row["F Value"]), float(row["Pr > F"]), None, note)
