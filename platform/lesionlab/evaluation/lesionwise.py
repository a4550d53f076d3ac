"""Score a predicted mask against a reference mask lesion by lesion: true positives, missed lesions, false positives."""

# i j k voxel axes of the native grid, N lesions of one mask

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from lesionlab.errors import ImageError
from lesionlab.evaluation.levels import Levels, peaks
from lesionlab.evaluation.matching import Counts, Hits, match, overlaps_of
from lesionlab.evaluation.surface import SurfaceDistance, surface_distance
from lesionlab.imaging.boxes import around_both, bounding_box
from lesionlab.imaging.lesions import (
    Lesions,
    drop_small,
    label_lesions,
    lesion_centroids_mm,
    lesion_volumes_mm3,
    voxel_volume_mm3,
)
from storage_schemas.definitions import MetricDefinition
from storage_schemas.metrics import f1_of

Outcome = Literal["true-positive", "missed", "false-positive"]


@dataclass(frozen=True)
class ScoredLesion:
    """One lesion and its outcome: reference lesions are true positives or missed, predicted ones true or false
    positives."""

    lesion: int
    """Number within its mask, from 1, after small lesions were removed."""
    outcome: Outcome
    volume_mm3: float
    centroid_mm: tuple[float, float, float]
    """World space, RAS+."""
    overlap: float
    """Fraction of its voxels inside the other mask, 0 to 1."""
    matched: int | None = None
    """Number of the matched lesion in the other mask; None if unmatched or if the definition is not one-to-one."""
    peak: float | None = None
    """Highest predicted probability in it; None if the probabilities are not known."""


@dataclass(frozen=True)
class Score:
    """All lesions of both masks, with the counts and ratios derived from them. A ratio with denominator 0 is None."""

    reference: tuple[ScoredLesion, ...]
    prediction: tuple[ScoredLesion, ...]
    dice: float | None
    """Voxelwise over the whole masks, small lesions included; None if both masks are empty."""
    reference_ml: float
    """Volume of the whole reference mask, ml."""
    predicted_ml: float
    """Volume of the whole predicted mask, ml."""
    surface: SurfaceDistance | None = None
    """Between the whole masks; None if either is empty."""

    @property
    def true_positives(self) -> int:
        """Number of reference lesions that were detected."""
        return sum(lesion.outcome == "true-positive" for lesion in self.reference)

    @property
    def false_positives(self) -> int:
        """Number of predicted lesions that hit no reference lesion."""
        return sum(lesion.outcome == "false-positive" for lesion in self.prediction)

    @property
    def sensitivity(self) -> float | None:
        """Fraction of reference lesions detected; None without reference lesions."""
        return self.true_positives / len(self.reference) if self.reference else None

    @property
    def ppv(self) -> float | None:
        """Fraction of predicted lesions that are true positives; None without predicted lesions."""
        return (len(self.prediction) - self.false_positives) / len(self.prediction) if self.prediction else None

    @property
    def f1(self) -> float | None:
        """Harmonic mean of sensitivity and PPV; 0 if only one mask has lesions, None if neither has."""
        return f1_of(self.sensitivity, self.ppv)


def score(
    reference_ijk: npt.ArrayLike,
    prediction_ijk: npt.ArrayLike,
    affine: npt.ArrayLike,
    definition: MetricDefinition,
    levels_ijk: Levels | None = None,
) -> Score:
    """Compare two masks on one grid lesion by lesion; `affine` is the 4×4 matrix from voxel indices to world mm.

    Lesions below the definition's minimum volume are removed from both masks before lesions are counted and matched.
    Dice, volumes and surface distances are those of the whole masks. `levels_ijk`, the predicted probabilities, give
    each lesion's peak. Only the box around both masks is looked at. Raises ImageError if the masks differ in shape.
    """
    reference_ijk, prediction_ijk = np.asarray(reference_ijk), np.asarray(prediction_ijk)
    if reference_ijk.shape != prediction_ijk.shape:
        raise ImageError(
            f"reference has {_by(reference_ijk.shape)} voxels but prediction {_by(prediction_ijk.shape)}; "
            "resample the prediction to the reference's grid"
        )
    box = around_both(bounding_box(reference_ijk), bounding_box(prediction_ijk))
    first = tuple(side.start for side in box)
    reference_ijk, prediction_ijk = reference_ijk[box], prediction_ijk[box]
    levels_ijk = None if levels_ijk is None else levels_ijk[box]
    reference = lesions_above_minimum(reference_ijk, affine, definition)
    prediction = lesions_above_minimum(prediction_ijk, affine, definition)
    overlaps = overlaps_of(reference, prediction)
    matching = match(overlaps, definition.matching)
    return Score(
        reference=_scored(
            reference,
            affine,
            first,
            _outcomes(matching.reference_hit_R, "true-positive", "missed"),
            overlaps.covered_N() / overlaps.own_voxels_N,
            matching.reference_partner_R,
            levels_ijk,
        ),
        prediction=_scored(
            prediction,
            affine,
            first,
            _outcomes(matching.prediction_hit_P, "true-positive", "false-positive"),
            overlaps.swapped().covered_N() / overlaps.other_voxels_N,
            matching.prediction_partner_P,
            levels_ijk,
        ),
        dice=_dice(reference_ijk > 0, prediction_ijk > 0),
        reference_ml=_ml(reference_ijk, affine),
        predicted_ml=_ml(prediction_ijk, affine),
        surface=surface_distance(reference_ijk, prediction_ijk, affine, first),
    )


def lesions_above_minimum(mask_ijk: npt.NDArray[np.generic], affine: npt.ArrayLike, by: MetricDefinition) -> Lesions:
    """The lesions of a mask, without those below the definition's minimum volume."""
    return drop_small(
        label_lesions(mask_ijk, by.connectivity),
        by.minimum_volume_mm3,
        voxel_volume_mm3(affine),
        drop_at_minimum=by.drop_at_minimum,
    )


def _outcomes(hit_N: Hits, hit: Outcome, no_hit: Outcome) -> list[Outcome]:
    return [hit if was_hit else no_hit for was_hit in hit_N]


def _scored(
    lesions: Lesions,
    affine: npt.ArrayLike,
    first: tuple[int, ...],
    outcome_N: list[Outcome],
    overlap_N: npt.NDArray[np.float64],
    partner_N: Counts,
    levels_ijk: Levels | None,
) -> tuple[ScoredLesion, ...]:
    volume_mm3_N = lesion_volumes_mm3(lesions, voxel_volume_mm3(affine))
    centroid_mm_N3 = lesion_centroids_mm(lesions, affine, first)
    peak_N = [None] * lesions.count if levels_ijk is None else peaks(lesions, levels_ijk)
    return tuple(
        ScoredLesion(
            lesion=n + 1,
            outcome=outcome_N[n],
            volume_mm3=float(volume_mm3_N[n]),
            centroid_mm=(float(centroid_mm_N3[n, 0]), float(centroid_mm_N3[n, 1]), float(centroid_mm_N3[n, 2])),
            overlap=float(overlap_N[n]),
            matched=int(partner_N[n]) or None,
            peak=peak_N[n],
        )
        for n in range(lesions.count)
    )


def _dice(reference_ijk: npt.NDArray[np.bool_], prediction_ijk: npt.NDArray[np.bool_]) -> float | None:
    both = np.count_nonzero(reference_ijk) + np.count_nonzero(prediction_ijk)
    return float(2 * np.count_nonzero(reference_ijk & prediction_ijk) / both) if both else None


def _ml(mask_ijk: npt.NDArray[np.generic], affine: npt.ArrayLike) -> float:
    return np.count_nonzero(mask_ijk) * voxel_volume_mm3(affine) / 1000


def _by(shape: tuple[int, ...]) -> str:
    return " × ".join(str(length) for length in shape)
