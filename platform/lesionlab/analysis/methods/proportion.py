"""A fraction of things that come in clusters, with exact limits: Clopper-Pearson at the effective sample size.

Korn and Graubard 1998, Survey Methodology 24:193: the effective size is what a simple random sample would need for the
same standard error, reduced for the few clusters by which that error is known, and never above the number of things.
Where nothing varies over clusters (all detected, or none), each cluster counts as one thing, which is conservative.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special

from lesionlab.analysis.methods.intervals import CONFIDENCE, LEAST_CLUSTERS, ByOrigin, Interval, clustered_mean, t_limit


@dataclass(frozen=True)
class Proportion:
    """A fraction with what its limits need."""

    share: float
    n: int
    clusters: int
    effective: float
    """Effective sample size."""

    def lower(self, level: float) -> float:
        """One-sided lower confidence limit; it reaches a bound exactly where `p_below` is at most the level."""
        hits = self.share * self.effective
        return float(special.betaincinv(hits, self.effective - hits + 1, level)) if hits > 0 else 0.0

    def upper(self, level: float) -> float:
        """One-sided upper confidence limit."""
        hits = self.share * self.effective
        missed = self.effective - hits
        return float(special.betaincinv(hits + 1, missed, 1 - level)) if missed > 0 else 1.0

    def p_below(self, bound: float) -> float:
        """One-sided p of: the true fraction is `bound` or less."""
        hits = self.share * self.effective
        return float(special.betainc(hits, self.effective - hits + 1, bound)) if hits > 0 else 1.0

    @property
    def interval(self) -> Interval:
        """95 % confidence interval."""
        level = (1 - CONFIDENCE) / 2
        return Interval(self.lower(level), self.upper(level))


def clustered_proportion(hits: ByOrigin) -> Proportion | None:
    """The fraction of ones among zeros and ones by patient; None with fewer than LEAST_CLUSTERS patients."""
    given = {origin: values for origin, values in hits.items() if len(values)}
    if len({origin.patient for origin in given}) < LEAST_CLUSTERS:
        return None
    mean = clustered_mean(given, "patient")
    clusters, share = len(mean.moves), mean.mean
    variance = float(np.square(list(mean.moves.values())).sum())
    effective = float(clusters)
    if variance > 0 and 0 < share < 1:
        few = (t_limit(mean.n - 1) / t_limit(clusters - 1)) ** 2
        effective = min(share * (1 - share) / variance * few, float(mean.n))
    return Proportion(share, mean.n, clusters, effective)
