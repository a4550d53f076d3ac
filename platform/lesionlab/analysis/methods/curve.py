"""Learning curves over the training size, and how many labelled studies a target needs.

No formula is fitted. Curves are constrained to be non-decreasing (isotonic regression), so that one unlucky size does
not decide, and are linear in log2 N between the trained sizes. Nothing is claimed beyond the largest size. Confidence
intervals are over folds, or patients (see intervals): the means of both arms and of the target are drawn together from
Student's t, each cluster shifting the means that it contributes to. The
intervals of crossings and savings follow from the drawn curves; that of one mean is on the logit scale.
"""

# R draws, N training sizes

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
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
"""Enough for two stable digits of the bounds of a 95 % CI."""

_ROUNDING = 1e-9
"""A mean that is below the target by less is at the target: metrics are fractions of whole lesions or voxels."""


@dataclass(frozen=True)
class CurvePoint:
    """Mean of the metric at one training size."""

    training_size: int
    mean: float
    interval: Interval | None
    n: int
    """Values, of all patients together."""


@dataclass(frozen=True)
class MeanAt:
    """The mean of one arm at one of its sizes, as a target. That arm needs this size for it, by definition.

    Estimated from its own curve it could only come out smaller: the curve is constrained to be non-decreasing and ends
    at its own target.
    """

    arm: str
    size: int


Target = float | ByOrigin | MeanAt
"""A number, the mean of values by origin, or the mean of one arm at one size."""


@dataclass(frozen=True)
class Crossing:
    """The number of labelled studies at which a curve reaches the target.

    `studies` is the smallest trained size where the curve is at the target there already, and infinite where it is
    below the target at the largest; the same holds for the bounds of the interval.
    """

    studies: float
    interval: Interval | None
    smallest: int
    largest: int
    defined: bool = False
    """The target is the arm's own mean at this size; nothing was estimated."""

    @property
    def reached(self) -> bool:
        """Whether the mean curve reaches the target at a trained size."""
        return bool(np.isfinite(self.studies))


_HALF_A_STUDY = 0.5
"""A smaller number of studies counts as none."""


class Direction(Enum):
    """Which arm needs fewer labelled studies, by the means."""

    FEWER = auto()
    """The first of the two arms."""
    MORE = auto()
    SAME = auto()
    """They differ by less than half a study."""
    BOTH_AT_SMALLEST = auto()
    """Both arms are at the target at the smallest size already: the saving cannot be estimated."""
    OPEN = auto()
    """The means leave it open: the saving cannot be estimated."""


class Support(Enum):
    """Whether the confidence interval of a saving supports a difference."""

    SHOWN = auto()
    INCLUDES_ZERO = auto()
    NO_INTERVAL = auto()
    FLAT = auto()
    """The target is an arm's own mean, and its curve does not rise to it beyond noise: that arm may need far fewer
    studies than it was given."""


@dataclass(frozen=True)
class Saving:
    """How many fewer studies one arm needs than another; negative where it needs more.

    A crossing at the smallest size lies between 0 and that size; one that is not reached lies beyond the largest. So a
    saving is known up to bounds, and so is that of each draw: none is left out.
    """

    least: float
    most: float
    """Equal to `least` where both arms cross between the trained sizes; else one of them may be infinite."""
    interval: Interval | None
    neither: float
    """Fraction of the draws in which neither arm reaches the target, so that the saving may be anything."""
    flat: bool = False
    """Whether the target is an arm's own mean to which its curve does not rise beyond noise."""

    @property
    def support(self) -> Support:
        """Whether the interval excludes 0, and a saving may be claimed at all."""
        if self.interval is None:
            return Support.NO_INTERVAL
        if self.flat:
            return Support.FLAT
        return Support.INCLUDES_ZERO if self.interval.includes(0) else Support.SHOWN

    @property
    def direction(self) -> Direction:
        """Which arm needs fewer studies by the means, whether that is shown or not."""
        if self.least < 0 < self.most:
            return Direction.BOTH_AT_SMALLEST if np.isfinite(self.most) else Direction.OPEN
        if self.size[1] < _HALF_A_STUDY:
            return Direction.SAME
        if self.size[0] < _HALF_A_STUDY and not self.is_exact:
            return Direction.OPEN
        return Direction.FEWER if self.least >= 0 else Direction.MORE

    @property
    def is_exact(self) -> bool:
        """Whether both arms cross between the trained sizes, so that the saving is one number."""
        return self.least == self.most

    @property
    def size(self) -> tuple[float, float]:
        """Least and greatest absolute number of studies; of a saving whose sign is known."""
        low, high = sorted((abs(self.least), abs(self.most)))
        return low, high


@dataclass(frozen=True)
class Curves:
    """The learning curves of several arms over the same patients, drawn together.

    `values` holds every defined value of the metric by arm, training size and origin.
    """

    values: Mapping[str, Mapping[int, ByOrigin]]
    seed: int = 0

    @cached_property
    def unit(self) -> Unit:
        """What the clusters are."""
        return unit_of(origin for sizes in self.values.values() for size in sizes.values() for origin in size)

    @cached_property
    def clusters(self) -> int:
        """How many there are."""
        return len({name for sizes in self._means.values() for mean in sizes.values() for name in mean.moves})

    def points(self, arm: str) -> tuple[CurvePoint, ...]:
        """Return mean and interval at each size, smallest first; sizes without any value are left out."""
        return tuple(
            CurvePoint(size, mean.mean, mean.share_interval, mean.n) for size, mean in self._means[arm].items()
        )

    def crossing(self, arm: str, target: Target) -> Crossing | None:
        """Estimate where the arm reaches the target.

        A target over too few folds for an interval (a second rater's) is drawn over its patients, on its own. None
        where the arm or the target has no value.
        """
        crossings_R = self._crossings(arm, target)
        if crossings_R is None:
            return None
        sizes = tuple(self._means[arm])
        if _is_own(arm, target):
            return Crossing(float(crossings_R[0]), None, sizes[0], sizes[-1], defined=True)
        return Crossing(float(crossings_R[0]), _limits(crossings_R[1:], crossings_R[1:]), sizes[0], sizes[-1])

    def saving(self, fewer: str, more: str, target: Target) -> Saving | None:
        """Estimate how many fewer studies `fewer` needs than `more`; None where either has no crossing at all."""
        few_R, many_R = (self._crossings(arm, target) for arm in (fewer, more))
        if few_R is None or many_R is None:
            return None
        draws = min(len(few_R), len(many_R))
        few_R, many_R = few_R[:draws], many_R[:draws]
        few_low_R, few_high_R = self._bounds(fewer, target, few_R)
        many_low_R, many_high_R = self._bounds(more, target, many_R)
        least_R, most_R = many_low_R - few_high_R, many_high_R - few_low_R
        neither_R = np.isinf(few_R) & np.isinf(many_R)
        return Saving(
            least=float(least_R[0]),
            most=float(most_R[0]),
            interval=_limits(least_R[1:], most_R[1:]),
            neither=float(neither_R[1:].mean()) if len(neither_R) > 1 else 0.0,
            flat=isinstance(target, MeanAt) and not self._rises_to(target),
        )

    def _rises_to(self, target: MeanAt) -> bool:
        """Whether the arm's mean at the target's size is above that at its smallest: the interval of the difference
        excludes 0, or nothing varies and it is above 0. True with too few clusters, or no smaller size."""
        means = self._means[target.arm]
        low, high = means[min(means)], means[target.size]
        clusters = low.moves.keys() | high.moves.keys()
        moves = {name: high.moves.get(name, 0.0) - low.moves.get(name, 0.0) for name in sorted(clusters)}
        rise = ClusteredMean(high.mean - low.mean, high.n, moves)
        if min(means) == target.size or len(moves) < LEAST_CLUSTERS:
            return True
        return (rise.mean if rise.interval is None else rise.interval.low) > _ROUNDING

    @cached_property
    def _means(self) -> dict[str, dict[int, ClusteredMean]]:
        return {
            arm: {size: clustered_mean(own, self.unit) for size, own in sorted(sizes.items()) if any(own.values())}
            for arm, sizes in self.values.items()
        }

    def _crossings(self, arm: str, target: Target) -> Array | None:
        """Return the crossing of the means, then those of the draws; no draws where a mean has no interval."""
        means = self._means[arm]
        aim = self._aim(target)
        if not means or aim is None:
            return None
        uncertain = [*means.values(), *([] if isinstance(target, float) else [aim])]
        draws = 1 + (DRAWS if all(len(mean.moves) >= LEAST_CLUSTERS for mean in uncertain) else 0)
        if isinstance(target, MeanAt) and _is_own(arm, target):
            return np.full(draws, float(target.size))
        means_RN = np.column_stack([self._drawn(mean) for mean in means.values()])
        return crossings_of(tuple(means), means_RN[:draws], self._drawn(aim)[:draws])

    def _aim(self, target: Target) -> ClusteredMean | None:
        if isinstance(target, float):
            return ClusteredMean(target, 0, {})
        if isinstance(target, MeanAt):
            return self._means[target.arm].get(target.size)
        if not any(target.values()):
            return None
        alike = self.unit == unit_of(origin for origin, own in target.items() if own)
        return clustered_mean(target, self.unit if alike else "patient")

    def _drawn(self, mean: ClusteredMean) -> Array:
        """Return the mean, then its draws; each cluster has the same random shift in every mean."""
        moved_R = np.zeros(DRAWS)
        for cluster, move in sorted(mean.moves.items()):
            moved_R += move * _chance(self.seed, cluster)
        return np.concatenate([[mean.mean], mean.mean + moved_R * _heaviness(self.seed, max(mean.degrees, 1))])

    def _bounds(self, arm: str, target: Target, crossings_R: Array) -> tuple[Array, Array]:
        """Return the bounds of each crossing, in studies."""
        if _is_own(arm, target):
            return crossings_R, crossings_R
        smallest, largest = min(self._means[arm]), max(self._means[arm])
        low_R = np.where(crossings_R <= smallest, 0.0, np.minimum(crossings_R, largest))
        return low_R, crossings_R


def _is_own(arm: str, target: Target) -> bool:
    """Whether the target is a mean of this very arm."""
    return isinstance(target, MeanAt) and target.arm == arm


@lru_cache(maxsize=512)
def _chance(seed: int, cluster: str) -> Array:
    """Draw the random shift of one cluster (R), standard normal; the same wherever the cluster appears."""
    return np.random.default_rng([seed, *cluster.encode()]).normal(size=DRAWS)


@lru_cache
def _heaviness(seed: int, degrees: int) -> Array:
    """Return the factors (R) that turn normal draws into Student's t; the same draws are extreme for all degrees."""
    ranks_R = np.random.default_rng(seed).uniform(size=DRAWS)
    return np.asarray(np.sqrt(degrees / stats.chi2.ppf(ranks_R, degrees)))


def crossings_of(sizes: Sequence[int], means_RN: Array, target_R: Array) -> Array:
    """Return the training sizes at which curves through these means reach their targets; bounds as in Crossing."""
    rising_RN = _rising(means_RN)
    crossings_R = np.full(len(means_RN), np.inf)
    at_target_RN = rising_RN >= target_R[:, None] - _ROUNDING
    reached_R, after_R = at_target_RN[:, -1], at_target_RN.argmax(axis=1)
    sizes_N = np.asarray(sizes, dtype=float)
    crossings_R[reached_R] = sizes_N[after_R[reached_R]]
    rows = np.flatnonzero(reached_R & (after_R > 0))
    before, after = after_R[rows] - 1, after_R[rows]
    doublings = np.log2(sizes_N)
    rise = rising_RN[rows, after] - rising_RN[rows, before]
    part = (target_R[rows] - rising_RN[rows, before]) / rise
    between_R = 2 ** (doublings[before] + part * (doublings[after] - doublings[before]))
    # 2 ** log2(30) is greater than 30: a curve that is no higher than the target crosses at the very size.
    at_size_R = rising_RN[rows, after] - target_R[rows] < _ROUNDING
    crossings_R[rows] = np.where(at_size_R, sizes_N[after], between_R)
    return crossings_R


def _rising(means_RN: Array) -> Array:
    """Apply isotonic regression to each row, by the max-min formula over stretches of places."""
    places = range(means_RN.shape[1])

    def lowest_R(start: int, through: int) -> Array:
        stretches = [means_RN[:, start : end + 1].mean(axis=1) for end in places[through:]]
        return np.asarray(np.min(stretches, axis=0))

    return np.column_stack([np.max([lowest_R(a, place) for a in places[: place + 1]], axis=0) for place in places])


def _limits(least_R: Array, most_R: Array) -> Interval | None:
    """Return the central 95 % of draws that are each known up to bounds; None without draws.

    Interpolating between a number and infinity gives NaN, so the nearest draw is taken.
    """
    if not len(least_R):
        return None
    low = np.quantile(least_R, (1 - CONFIDENCE) / 2, method="nearest")
    high = np.quantile(most_R, (1 + CONFIDENCE) / 2, method="nearest")
    return Interval(float(low), float(high))
