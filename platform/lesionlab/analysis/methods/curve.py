"""One metric by training size and patient in; a learning curve, and how many studies a target needs, out.

No formula is fitted: between the sizes that were trained the curve is straight over log2 N, and more studies are taken
never to harm (isotonic regression), so that one unlucky size does not decide. Beyond the largest size nothing is
claimed. Intervals draw patients with replacement, the same patients for every size, arm and the target.
"""

# R resamples, P patients, N training sizes

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

from lesionlab.analysis.methods.intervals import LEAST_PATIENTS, Interval, percentiles, resampled_weights

Array = NDArray[np.float64]
ByPatient = Mapping[str, Sequence[float]]


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
class Curves:
    """The learning curves of several arms over the same patients, resampled together.

    `values` holds by arm, training size and patient every defined value of the metric.
    """

    values: Mapping[str, Mapping[int, ByPatient]]
    seed: int = 0

    @cached_property
    def patients(self) -> tuple[str, ...]:
        """Every patient that any arm was tested on."""
        return tuple(sorted({patient for arm in self.values.values() for size in arm.values() for patient in size}))

    @cached_property
    def weights_RP(self) -> NDArray[np.int64]:
        """First row: every patient once; then the resamples, none where the patients are too few for an interval."""
        once = np.ones((1, len(self.patients)), dtype=np.int64)
        if len(self.patients) < LEAST_PATIENTS:
            return once
        return np.vstack([once, resampled_weights(len(self.patients), np.random.default_rng(self.seed))])

    def points(self, arm: str) -> tuple[CurvePoint, ...]:
        """Mean and interval at each size, smallest first; sizes without any value are left out."""
        return tuple(
            CurvePoint(size, float(means_R[0]), self._interval(means_R), sum(map(len, self.values[arm][size].values())))
            for size, means_R in self._means(arm).items()
        )

    def crossing(self, arm: str, target: float | ByPatient) -> Crossing | None:
        """Where the arm reaches the target: a number, or the mean of a grader's own values by patient.

        None where the arm has no value at any size, or the grader has none.
        """
        sizes, crossings_R = self._crossings(arm, target)
        if crossings_R is None or np.isnan(crossings_R[0]):
            return None
        return Crossing(float(crossings_R[0]), self._interval(crossings_R), sizes[0], sizes[-1])

    def saving(self, fewer: str, more: str, target: float | ByPatient) -> tuple[float, Interval | None] | None:
        """How many studies less `fewer` needs than `more`, with its interval; None where either never gets there."""
        few_R, many_R = (self._crossings(arm, target)[1] for arm in (fewer, more))
        if few_R is None or many_R is None or not np.isfinite(few_R[0]) or not np.isfinite(many_R[0]):
            return None
        with np.errstate(invalid="ignore"):
            saved_R = many_R - few_R
        return float(saved_R[0]), self._interval(saved_R)

    def _means(self, arm: str) -> dict[int, Array]:
        means = {size: self._mean(by_patient) for size, by_patient in sorted(self.values[arm].items())}
        return {size: means_R for size, means_R in means.items() if np.isfinite(means_R[0])}

    def _mean(self, by_patient: ByPatient) -> Array:
        """Mean over the values of the drawn patients; NaN where none of those that were drawn has any."""
        sums_P = np.array([sum(by_patient.get(patient, ())) for patient in self.patients], dtype=float)
        counts_P = np.array([len(by_patient.get(patient, ())) for patient in self.patients], dtype=float)
        with np.errstate(invalid="ignore"):
            return np.asarray((self.weights_RP @ sums_P) / (self.weights_RP @ counts_P))

    def _crossings(self, arm: str, target: float | ByPatient) -> tuple[tuple[int, ...], Array | None]:
        means = self._means(arm)
        if not means:
            return (), None
        means_RN = np.column_stack(list(means.values()))
        target_R = self._mean(target) if isinstance(target, Mapping) else np.full(len(means_RN), float(target))
        sizes = tuple(means)
        pairs = zip(means_RN, target_R, strict=True)
        return sizes, np.array([crossing_of(sizes, means_N, wanted) for means_N, wanted in pairs])

    def _interval(self, values_R: Array) -> Interval | None:
        kept = values_R[1:][~np.isnan(values_R[1:])]
        if not kept.size:
            return None
        if np.isfinite(kept).all():
            return percentiles(kept)
        # Interpolating between a number and infinity gives NaN; the nearest resample is a limit as good.
        low, high = np.quantile(kept, [0.025, 0.975], method="nearest")
        return Interval(float(low), float(high))


def crossing_of(sizes: Sequence[int], means_N: Array, target: float) -> float:
    """The training size at which a curve through these means reaches the target; see Crossing for its bounds.

    NaN where a mean or the target is NaN.
    """
    if np.isnan(means_N).any() or np.isnan(target):
        return float("nan")
    rising_N = isotonic_regression(means_N).x if len(means_N) > 1 else means_N
    if rising_N[0] >= target:
        return float(sizes[0])
    if rising_N[-1] < target:
        return float("inf")
    after = int(np.argmax(rising_N >= target))
    low, high = np.log2(sizes[after - 1]), np.log2(sizes[after])
    part = (target - rising_N[after - 1]) / (rising_N[after] - rising_N[after - 1])
    return float(2 ** (low + part * (high - low)))
