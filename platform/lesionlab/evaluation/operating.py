"""Score one prediction at every threshold of the fixed list, and count its voxels for calibration."""

# i j k voxels of the native grid, T thresholds

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from lesionlab.evaluation.lesionwise import lesions_above_minimum
from lesionlab.evaluation.levels import Levels, middle_probability
from lesionlab.evaluation.matching import match, overlaps_of
from lesionlab.imaging.boxes import bounding_box
from lesionlab.imaging.lesions import Lesions
from lesionlab.imaging.volume import Mask
from storage_schemas.definitions import MetricDefinition
from storage_schemas.probabilities import EDGES, THRESHOLDS, level_at

_LEVELS = tuple(level_at(threshold) for threshold in THRESHOLDS)


@dataclass(frozen=True)
class OperatingPoint:
    """Counts at one threshold, as in OperatingRow."""

    threshold: float
    reference_lesions: int
    predicted_lesions: int
    true_positives: int
    false_positives: int
    voxels: int
    lesion_voxels: int
    probability_sum: float


def operating_points(
    reference_ijk: Mask, levels_ijk: Levels, affine: npt.ArrayLike, definition: MetricDefinition
) -> tuple[OperatingPoint, ...]:
    """The counts at every one of THRESHOLDS, in ascending order; at each the same as scoring that mask by itself.

    Each mask is labelled anew in the bounding box of what is left of it: lesions that merge or split with the threshold
    are counted as they are, and memory stays at a few copies of one mask.
    """
    box = bounding_box((reference_ijk > 0) | (levels_ijk >= _LEVELS[0]))
    reference_ijk, levels_ijk = reference_ijk[box], levels_ijk[box]
    reference = lesions_above_minimum(reference_ijk, affine, definition)
    bins = _calibration(reference_ijk, levels_ijk)
    return tuple(
        OperatingPoint(threshold, *_counts(reference, levels_ijk >= level, affine, definition), *own)
        for threshold, level, own in zip(THRESHOLDS, _LEVELS, bins, strict=True)
    )


def _counts(
    reference: Lesions, mask_ijk: npt.NDArray[np.bool_], affine: npt.ArrayLike, definition: MetricDefinition
) -> tuple[int, int, int, int]:
    box = bounding_box(mask_ijk)
    predicted = lesions_above_minimum(mask_ijk[box], affine, definition)
    overlaps = overlaps_of(reference, predicted, box)
    found = match(overlaps, definition.matching)
    true_positives = int(np.count_nonzero(found.reference_hit_R))
    return reference.count, predicted.count, true_positives, int(np.count_nonzero(~found.prediction_hit_P))


def _calibration(reference_ijk: Mask, levels_ijk: Levels) -> Iterable[tuple[int, int, float]]:
    """Voxels, lesion voxels and sum of probabilities from each threshold up to the next."""
    voxels_Q = np.bincount(levels_ijk.ravel(), minlength=len(EDGES) + 1)
    lesion_Q = np.bincount(levels_ijk[reference_ijk > 0], minlength=len(EDGES) + 1)
    sum_Q = voxels_Q * middle_probability(np.arange(len(EDGES) + 1, dtype=np.uint8))
    for low, high in pairwise((*_LEVELS, len(EDGES) + 1)):
        yield int(voxels_Q[low:high].sum()), int(lesion_Q[low:high].sum()), float(sum_Q[low:high].sum())
