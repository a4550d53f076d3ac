"""Segment the head in a scan and normalise its intensities to zero mean and unit SD over the head."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lesionlab.errors import ImageError

if TYPE_CHECKING:
    from lesionlab.imaging.volume import Image

HeadMask = NDArray[np.bool_]

FEWEST_VALUES = 16
"""A scan has hundreds of grey values; a mask two, and segmentations of tissue or tumour up to a dozen."""
AIR_FRACTION = 0.1
"""Air is darker than this fraction of the way from the level of air to the brightest tissue. So is CSF in FLAIR, but it
forms holes inside the head."""
BRIGHTEST_PERCENTILE = 99.0
AIR_QUANTILE = 0.1
"""The level of air is this quantile of the voxels on the faces of the volume. Air covers more than this fraction of the
faces, even of slices through a neck or of a box cut close around a brain; noise in air is up to 3 SD brighter."""
FLAT = 1e-6
"""An SD below this fraction of the mean is rounding error, not contrast."""
MOST_SDS = 10_000
"""Maximum distance of a voxel from the head's mean. In 22 real scans it is at most 18 SD. The difference of two images
within this bound still fits into float16 (maximum 65,504)."""


class Standardised(NamedTuple):
    """Voxels on the scale (value - mean) / sd."""

    voxels_IJK: Image
    mean: float
    sd: float


def few_values(voxels_IJK: NDArray[Any]) -> int | None:
    """The number of different finite values if it is that of a mask or a label map; None if it is that of a scan."""
    for looked_at in (voxels_IJK[::4, ::4, ::4], voxels_IJK):  # the first tells a scan in no time
        values = np.unique(looked_at[np.isfinite(looked_at)]).size
        if values >= FEWEST_VALUES:
            return None
    return values if values > 1 else None


def air_level(voxels_IJK: Image) -> float:
    """The value of air: 0 in many scans, but any value in a scan that was shifted or z-scored.

    NaN (no data) is ignored. Raises ImageError if no voxel on the faces of the volume has data.
    """
    faces = face_voxels(voxels_IJK)
    known = faces[np.isfinite(faces)]
    if not known.size:
        raise ImageError("wanted values on the border of the volume, found none; export the image again")
    return float(np.quantile(known, AIR_QUANTILE, method="lower"))


def head_mask(voxels_IJK: Image, air: float | None = None) -> HeadMask:
    """Segment the head (or the brain, if skull-stripped): True inside, with holes filled, False in the air around it.

    This is the largest connected component (6-connectivity) of the voxels that are brighter than `air` by a tenth of
    the distance from there to the brightest tissue (the 99th percentile). So the mask does not depend on scale and
    offset of the values. `air` is the image's own `air_level` by default; give that of the scan for an image that was
    resampled from it. Raises ImageError if no voxel is brighter than air.
    """
    level = air_level(voxels_IJK) if air is None else air
    brighter = voxels_IJK[voxels_IJK > level]
    if not brighter.size:
        raise ImageError(
            f"wanted an image of a head, found no voxel above the value of air ({level:g}); export the image again",
            code="no-contrast",
        )
    threshold = _threshold(brighter, level)
    threshold = _threshold(brighter[brighter > threshold], level)  # of tissue alone, however much air was scanned
    return _fill_holes(_largest_part(voxels_IJK > np.float32(threshold)))


def _threshold(brighter: Image, air: float) -> float:
    return air + AIR_FRACTION * (float(np.percentile(brighter, BRIGHTEST_PERCENTILE)) - air)


def face_voxels(values_IJK: NDArray[Any]) -> NDArray[Any]:
    """The values on the six faces of a volume; those on edges twice."""
    return np.concatenate([np.take(values_IJK, side, axis).ravel() for axis in range(3) for side in (0, -1)])


def z_score(voxels_IJK: Image, head_IJK: HeadMask) -> Standardised:
    """Scale to zero mean and unit SD over the head; air is scaled in the same way, and NaN (no data) stays NaN.

    Raises ImageError if the head has no contrast or any voxel, also in air, is more than MOST_SDS from the mean.
    """
    inside = voxels_IJK[head_IJK].astype(np.float64)
    mean, sd = (float(inside.mean()), float(inside.std())) if inside.size else (0.0, 0.0)
    if sd <= FLAT * abs(mean):
        raise ImageError(
            f"wanted contrast inside the head, found the same value everywhere ({mean:g}); export the image again",
            code="no-contrast",
        )
    furthest = max(float(np.nanmax(voxels_IJK)) - mean, mean - float(np.nanmin(voxels_IJK))) / sd
    if furthest > MOST_SDS:
        raise ImageError(
            f"wanted values within {MOST_SDS} SD of the head's mean, found one {furthest:.3g} SD away; "
            "remove the damaged voxels or export the image again",
            code="implausible-values",
        )
    return Standardised(((voxels_IJK - np.float32(mean)) / np.float32(sd)).astype(np.float32), mean, sd)


def _largest_part(mask_IJK: HeadMask) -> HeadMask:
    parts_IJK, _ = ndimage.label(mask_IJK)
    sizes = np.bincount(parts_IJK.ravel())
    sizes[0] = 0
    return np.asarray(parts_IJK == sizes.argmax())


def _fill_holes(mask_IJK: HeadMask) -> HeadMask:
    """Fill every hole that is not connected to the border of the volume."""
    gaps_IJK, _ = ndimage.label(~mask_IJK)
    return np.asarray(mask_IJK | ~np.isin(gaps_IJK, np.unique(face_voxels(gaps_IJK))))
