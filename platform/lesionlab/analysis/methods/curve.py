"""One metric by training size, fold and patient in; a learning curve, and how many studies a target needs, out.

No formula is fitted: between the sizes that were trained the curve is straight over log2 N, and more studies are taken
never to harm (isotonic regression), so that one unlucky size does not decide. Beyond the largest size nothing is
claimed. Limits are over folds, or patients (see intervals): all means of both arms and the target are drawn together,
each cluster moving those that it is in, from Student's t. So the limits of one mean are its t interval, and those of
a crossing or a saving follow from curves that chance could have drawn.
"""

# R draws, N training sizes

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from scipy import stats

from lesionlab.analysis.methods.intervals import (
    CONFIDENCE,
    LEAST_CLUSTERS,
    Array,
    ByOrigin,
    ClusteredMean,
    Interval,
    Unit,
    clustered_mean,
    unit_of,
)

DRAWS = 4000
"""Enough for two stable digits of a 95 % limit."""


@dataclass(frozen=True)
class CurvePoint:
    """Mean of the metric at one training size."""

    training_size: int
    mean: float
    interval: Interval | None
    n: int
    """Values, of all patients together."""


@dataclass(frozen=True)
class Crossing:
    """Where a curve reaches the target: so many labelled studies.

    `studies` is the smallest size that was trained where the target is reached there already, and infinite where it is
    not reached at the largest; so are the limits of the interval.
    """

    studies: float
    interval: Interval | None
    smallest: int
    largest: int

    def text(self) -> str:
        """`14 [10, 22]`, `≤ 10 [≤ 10, 22]`, `31 [24, not reached]`, `not reached with 50`."""
        shown = self._words(self.studies) if np.isfinite(self.studies) else f"not reached with {self.largest}"
        if self.interval is None:
            return shown
        return f"{shown} [{self._words(self.interval.low)}, {self._words(self.interval.high)}]"

    def _words(self, studies: float) -> str:
        if not np.isfinite(studies):
            return "not reached"
        return f"≤ {self.smallest}" if studies <= self.smallest else f"{studies:.0f}"


@dataclass(frozen=True)
class Saving:
    """How many studies fewer one arm needs than another; negative where it needs more.

    A crossing at the smallest size is somewhere from 0 to there, one that is not reached somewhere beyond the largest.
    So a saving is known up to limits of its own, and so is that of each draw: none is left out.
    """

    least: float
    most: float
    """Equal to `least` where both arms cross between the trained sizes; else one of them may be infinite."""
    interval: Interval | None
    neither: float
    """Part of the draws in which neither arm reaches the target, so that the saving may be anything."""

    @property
    def shown(self) -> bool:
        """Whether the interval excludes that both arms need the same."""
        return self.interval is not None and not self.interval.includes(0)


@dataclass(frozen=True)
class Curves:
    """The learning curves of several arms over the same patients, drawn together.

    `values` holds by arm, training size and origin every defined value of the metric.
    """

    values: Mapping[str, Mapping[int, ByOrigin]]
    seed: int = 0

    @cached_property
    def unit(self) -> Unit:
        """What the limits are over."""
        return unit_of(origin for sizes in self.values.values() for size in sizes.values() for origin in size)

    @cached_property
    def clusters(self) -> int:
        """How many of them."""
        return len({name for sizes in self._means.values() for mean in sizes.values() for name in mean.moves})

    def points(self, arm: str) -> tuple[CurvePoint, ...]:
        """Mean and interval at each size, smallest first; sizes without any value are left out."""
        return tuple(CurvePoint(size, mean.mean, mean.interval, mean.n) for size, mean in self._means[arm].items())

    def crossing(self, arm: str, target: float | ByOrigin) -> Crossing | None:
        """Where the arm reaches the target: a number, or the mean of values by origin.

        Values of fewer folds than limits need (a second rater's) are drawn by their patients, on their own. None where
        the arm has no value at any size, or the target has none.
        """
        crossings_R = self._crossings(arm, target)
        if crossings_R is None:
            return None
        sizes = tuple(self._means[arm])
        return Crossing(float(crossings_R[0]), _limits(crossings_R[1:], crossings_R[1:]), sizes[0], sizes[-1])

    def saving(self, fewer: str, more: str, target: float | ByOrigin) -> Saving | None:
        """How many studies less `fewer` needs than `more`; None where either has no crossing at all."""
        few_R, many_R = (self._crossings(arm, target) for arm in (fewer, more))
        if few_R is None or many_R is None:
            return None
        (few_low_R, few_high_R), (many_low_R, many_high_R) = self._bounds(fewer, few_R), self._bounds(more, many_R)
        least_R, most_R = many_low_R - few_high_R, many_high_R - few_low_R
        neither_R = np.isinf(few_R) & np.isinf(many_R)
        return Saving(
            least=float(least_R[0]),
            most=float(most_R[0]),
            interval=_limits(least_R[1:], most_R[1:]),
            neither=float(neither_R[1:].mean()) if len(neither_R) > 1 else 0.0,
        )

    @cached_property
    def _means(self) -> dict[str, dict[int, ClusteredMean]]:
        return {
            arm: {size: clustered_mean(own, self.unit) for size, own in sorted(sizes.items()) if any(own.values())}
            for arm, sizes in self.values.items()
        }

    def _crossings(self, arm: str, target: float | ByOrigin) -> Array | None:
        """First the crossing of the means, then those of the draws; these are absent where a mean has no limits."""
        means = self._means[arm]
        aim = self._aim(target) if isinstance(target, Mapping) else ClusteredMean(target, 0, {})
        if not means or aim is None:
            return None
        uncertain = [*means.values(), *([aim] if isinstance(target, Mapping) else [])]
        draws = 1 + (DRAWS if all(len(mean.moves) >= LEAST_CLUSTERS for mean in uncertain) else 0)
        means_RN = np.column_stack([self._drawn(mean) for mean in means.values()])
        return crossings_of(tuple(means), means_RN[:draws], self._drawn(aim)[:draws])

    def _aim(self, target: ByOrigin) -> ClusteredMean | None:
        if not any(target.values()):
            return None
        alike = self.unit == unit_of(origin for origin, own in target.items() if own)
        return clustered_mean(target, self.unit if alike else "patient")

    def _drawn(self, mean: ClusteredMean) -> Array:
        """The mean itself, then its draws, moved by the same chance of each cluster as all others."""
        moved_R = np.zeros(DRAWS)
        for cluster, move in sorted(mean.moves.items()):
            moved_R += move * _chance(self.seed, cluster)
        return np.concatenate([[mean.mean], mean.mean + moved_R * _heaviness(self.seed, max(mean.degrees, 1))])

    def _bounds(self, arm: str, crossings_R: Array) -> tuple[Array, Array]:
        """Between what numbers of studies each crossing lies."""
        smallest, largest = min(self._means[arm]), max(self._means[arm])
        low_R = np.where(crossings_R <= smallest, 0.0, np.minimum(crossings_R, largest))
        return low_R, crossings_R


@lru_cache(maxsize=512)
def _chance(seed: int, cluster: str) -> Array:
    """Of one cluster in each draw (R), standard normal: the same wherever it appears, whatever others there are."""
    return np.random.default_rng([seed, *cluster.encode()]).normal(size=DRAWS)


@lru_cache
def _heaviness(seed: int, degrees: int) -> Array:
    """What makes Student's t of normal draws (R): the same draws are far out, whatever the degrees of freedom."""
    ranks_R = np.random.default_rng(seed).uniform(size=DRAWS)
    return np.asarray(np.sqrt(degrees / stats.chi2.ppf(ranks_R, degrees)))


def crossings_of(sizes: Sequence[int], means_RN: Array, target_R: Array) -> Array:
    """The training sizes at which curves through these means reach their targets; see Crossing for its bounds."""
    rising_RN = _rising(means_RN)
    crossings_R = np.full(len(means_RN), np.inf)
    reached_R = rising_RN[:, -1] >= target_R
    after_R = (rising_RN >= target_R[:, None]).argmax(axis=1)
    crossings_R[reached_R] = np.asarray(sizes, dtype=float)[after_R[reached_R]]
    rows = np.flatnonzero(reached_R & (after_R > 0))
    before, after = after_R[rows] - 1, after_R[rows]
    doublings = np.log2(np.asarray(sizes, dtype=float))
    rise = rising_RN[rows, after] - rising_RN[rows, before]
    part = (target_R[rows] - rising_RN[rows, before]) / rise
    crossings_R[rows] = 2 ** (doublings[before] + part * (doublings[after] - doublings[before]))
    return crossings_R


def _rising(means_RN: Array) -> Array:
    """Isotonic regression of each row: at each place the highest of the lowest means of the stretches around it."""
    places = range(means_RN.shape[1])

    def lowest_R(start: int, through: int) -> Array:
        stretches = [means_RN[:, start : end + 1].mean(axis=1) for end in places[through:]]
        return np.asarray(np.min(stretches, axis=0))

    return np.column_stack([np.max([lowest_R(a, place) for a in places[: place + 1]], axis=0) for place in places])


def _limits(least_R: Array, most_R: Array) -> Interval | None:
    """The central 95 % of draws that are known up to limits of their own; None without draws.

    Interpolating between a number and infinity gives NaN; the nearest draw is a limit as good.
    """
    if not len(least_R):
        return None
    low = np.quantile(least_R, (1 - CONFIDENCE) / 2, method="nearest")
    high = np.quantile(most_R, (1 + CONFIDENCE) / 2, method="nearest")
    return Interval(float(low), float(high))
