"""Show that a difference is small, or not worse, by a margin declared beforehand: two one-sided t tests (TOST).

Schuirmann 1987, J Pharmacokinet Biopharm 15:657. Each one-sided test is at 5 %, so equivalence is shown where the 90 %
confidence interval lies within the margins. A difference that is not significant shows no equivalence.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

import numpy as np
from scipy import stats

from lesionlab.analysis.methods.intervals import (
    CONFIDENCE,
    LEAST_CLUSTERS,
    NO_SPREAD,
    ByOrigin,
    Covers,
    Interval,
    Unit,
    clustered_mean,
    unit_of,
)
from lesionlab.analysis.methods.mixed import FixedEffect, MixedModel
from lesionlab.analysis.methods.student import ALPHA


class Shown(Enum):
    """What the interval and the margin show together, for a metric of which more is better."""

    EQUIVALENT = auto()
    """The 90 % CI lies within the margins."""
    NON_INFERIOR = auto()
    """It lies above the lower margin, and reaches beyond the upper one."""
    INFERIOR = auto()
    """It lies below the lower margin."""
    INCONCLUSIVE = auto()
    """It includes the lower margin."""


@dataclass(frozen=True)
class Difference:
    """A difference of two means with what its intervals need."""

    estimate: float
    error: float
    """Standard error."""
    degrees: int
    """Degrees of freedom of Student's t."""
    covers: Covers
    unit: Unit | None = None
    """What the standard error is over; None: it is that of a mixed model."""

    def interval(self, confidence: float = CONFIDENCE) -> Interval:
        """Confidence interval, two-sided."""
        reach = float(stats.t.ppf((1 + confidence) / 2, self.degrees)) * self.error
        return Interval(self.estimate - reach, self.estimate + reach)

    @property
    def p(self) -> float:
        """Two-tailed, of no difference."""
        return float(2 * stats.t.sf(abs(self.estimate) / self.error, self.degrees))


@dataclass(frozen=True)
class Equivalence:
    """Two one-sided tests of a difference by a margin."""

    margin: float
    p_lower: float
    """One-sided: the difference is −margin or less. Small: not inferior."""
    p_upper: float
    """One-sided: the difference is margin or more."""
    interval: Interval
    """90 %."""
    shown: Shown

    @property
    def p(self) -> float:
        """Of equivalence: the larger one of both."""
        return max(self.p_lower, self.p_upper)


def paired_difference(differences: ByOrigin) -> Difference | None:
    """Average paired differences, with a standard error over folds or patients (see intervals); a patient with several
    studies is one cluster.

    None with fewer than LEAST_CLUSTERS clusters, and where all of them have the same difference: nothing varies.
    """
    given = {origin: values for origin, values in differences.items() if len(values)}
    if not given:
        return None
    unit = unit_of(given)
    mean = clustered_mean(given, unit)
    error = float(np.linalg.norm(list(mean.moves.values())))
    if len(mean.moves) < LEAST_CLUSTERS or error < NO_SPREAD:
        return None
    covers = Covers.INDEPENDENT_NETWORKS if unit == "fold" else Covers.THESE_NETWORKS
    return Difference(mean.mean, error, mean.degrees, covers, unit)


def difference_of_arms(model: MixedModel) -> Difference | None:
    """The arm's term of a mixed model: fine-tuned − de novo over all training sizes; None without one."""
    for term in model.terms:
        if term.effect is FixedEffect.ARM and term.high > term.low:
            reach = float(stats.t.ppf((1 + CONFIDENCE) / 2, model.degrees))
            return Difference(term.estimate, (term.high - term.low) / 2 / reach, model.degrees, model.covers)
    return None


def p_above(difference: Difference, bound: float) -> float:
    """One-sided p of: the difference is `bound` or less. Non-inferior by a margin: bound −margin; superior: bound 0."""
    return float(stats.t.sf((difference.estimate - bound) / difference.error, difference.degrees))


def lower_limit(difference: Difference, level: float) -> float:
    """One-sided lower confidence limit; it is above a bound exactly where `p_above` is below the level."""
    return difference.estimate - float(stats.t.isf(level, difference.degrees)) * difference.error


def equivalence(difference: Difference, margin: float) -> Equivalence:
    """Test it against both margins; `margin` is above 0, in the unit of the difference."""
    p_lower = p_above(difference, -margin)
    p_upper = float(stats.t.cdf((difference.estimate - margin) / difference.error, difference.degrees))
    interval = difference.interval(1 - 2 * ALPHA)
    return Equivalence(margin, p_lower, p_upper, interval, _shown(interval, margin))


def _shown(interval: Interval, margin: float) -> Shown:
    if interval.high < -margin:
        return Shown.INFERIOR
    if interval.low <= -margin:
        return Shown.INCONCLUSIVE
    return Shown.EQUIVALENT if interval.high < margin else Shown.NON_INFERIOR
