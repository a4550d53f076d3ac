"""Compare predicted probabilities with how often they come true: of voxels, and of whole predicted lesions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from lesionlab.analysis.methods.intervals import Origin, clustered_mean
from lesionlab.analysis.statistics.conditions import Condition, condition_of
from lesionlab.analysis.statistics.operating import Estimate
from storage_schemas.probabilities import THRESHOLDS
from storage_schemas.results import LesionRow, OperatingRow


@dataclass(frozen=True)
class Bin:
    """Voxels with probabilities from one threshold up to the next, or predicted lesions with such a peak."""

    low: float
    count: int
    mean_probability: float
    """Of the voxels; of lesions the middle of the bin."""
    true: int
    """Voxels in the reference mask; lesions that are true positives."""

    @property
    def share(self) -> float:
        """How often it came true."""
        return self.true / self.count


@dataclass(frozen=True)
class Calibration:
    """One model: reliability by probability, in bins that have voxels or lesions."""

    voxels: tuple[Bin, ...]
    lesions: tuple[Bin, ...]
    expected_error: Estimate | None
    """Expected calibration error of the voxels: the mean over voxels with a probability of at least 0.01 of the gap
    between probability and share, by bin."""


def calibrations(
    rows: Iterable[OperatingRow], lesions: Mapping[Condition, Sequence[LesionRow]]
) -> dict[Condition, Calibration]:
    """The calibration of every model that has probabilities; every network and study pooled."""
    by_model: dict[Condition, list[OperatingRow]] = {}
    for row in rows:
        by_model.setdefault(condition_of(row), []).append(row)
    return {
        model: Calibration(_voxel_bins(own), _lesion_bins(lesions.get(model, ())), _expected_error(own))
        for model, own in by_model.items()
    }


def expected_error(bins: Sequence[Bin]) -> float | None:
    """Mean gap between probability and share, weighted by count; None without voxels."""
    count = sum(one.count for one in bins)
    return sum(one.count * abs(one.mean_probability - one.share) for one in bins) / count if count else None


def _expected_error(rows: Sequence[OperatingRow]) -> Estimate | None:
    by_fold: dict[int, list[OperatingRow]] = {}
    for row in rows:
        by_fold.setdefault(row.fold, []).append(row)
    errors = {fold: expected_error(_voxel_bins(own)) for fold, own in by_fold.items()}
    values = {Origin(fold, str(fold)): [error] for fold, error in errors.items() if error is not None}
    if not values:
        return None
    mean = clustered_mean(values, "fold")
    interval = mean.share_interval
    low, high = (None, None) if interval is None else (interval.low, interval.high)
    return Estimate(mean.mean, low, high, "fold", mean.n)


def _voxel_bins(rows: Iterable[OperatingRow]) -> tuple[Bin, ...]:
    counts, true, sums = ({low: 0.0 for low in THRESHOLDS} for _ in range(3))
    for row in rows:
        counts[row.threshold] += row.voxels
        true[row.threshold] += row.lesion_voxels
        sums[row.threshold] += row.probability_sum
    return tuple(
        Bin(low, int(counts[low]), sums[low] / counts[low], int(true[low])) for low in THRESHOLDS if counts[low]
    )


def _lesion_bins(lesions: Iterable[LesionRow]) -> tuple[Bin, ...]:
    counts, true = ({low: 0 for low in THRESHOLDS} for _ in range(2))
    for lesion in lesions:
        if lesion.side == "prediction" and lesion.peak is not None:
            low = max((at for at in THRESHOLDS if at <= lesion.peak), default=THRESHOLDS[0])
            counts[low] += 1
            true[low] += lesion.outcome == "true-positive"
    middle = {low: (low + high) / 2 for low, high in pairwise((*THRESHOLDS, 1.0))}
    return tuple(Bin(low, counts[low], middle[low], true[low]) for low in THRESHOLDS if counts[low])
