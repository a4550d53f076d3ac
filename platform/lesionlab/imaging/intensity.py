"""Voxels of a head scan in; which of them are head, and voxels with zero mean and unit SD over the head, out."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lesionlab.errors import ImageError
from lesionlab.imaging.volume import Image

HeadMask = NDArray[np.bool_]

AIR_FRACTION = 0.1
"""Air lies below this part of the brightest tissue; dark fluid does so too in FLAIR, but it lies in holes inside."""
BRIGHTEST_PERCENTILE = 99.0
FLAT = 1e-6
"""An SD below this part of the mean is rounding, not contrast."""
MOST_SDS = 10_000
"""No voxel of a scan lies further from the head's mean; in 22 real ones it is 18 SD at most. The difference of
two such images still fits into float16, which ends at 65,504."""


class Standardised(NamedTuple):
    """Voxels on the scale (value - mean) / sd."""

    voxels_IJK: Image
    mean: float
    sd: float


def head_mask(voxels_IJK: Image) -> HeadMask:
    """True inside the head (or brain, where the skull is stripped), holes filled; False in the air around it.

    The largest face-connected part above a tenth of the 99th percentile of the positive voxels. Raises ImageError
    where no voxel is positive.
    """
    positive = voxels_IJK[voxels_IJK > 0]
    if not positive.size:
        raise ImageError(
            "wanted an image of a head, found no voxel above zero; export the image again", code="no-contrast"
        )
    tissue_IJK = voxels_IJK > AIR_FRACTION * np.percentile(positive, BRIGHTEST_PERCENTILE)
    return _fill_holes(_largest_part(tissue_IJK))


def z_score(voxels_IJK: Image, head_IJK: HeadMask) -> Standardised:
    """Zero mean and unit SD over the head; the air goes through the same map, and NaN (no data) stays NaN.

    Raises ImageError where the head is flat, or where a voxel, of the air too, is too bright or dark to be a scanner's.
    """
    inside = voxels_IJK[head_IJK].astype(np.float64)
    mean, sd = (float(inside.mean()), float(inside.std())) if inside.size else (0.0, 0.0)
    if sd <= FLAT * abs(mean):
        raise ImageError(
            f"wanted contrast inside the head, found the same value everywhere ({mean:g}); export it again",
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
    """Every gap that the border of the volume cannot be reached from is filled."""
    gaps_IJK, _ = ndimage.label(~mask_IJK)
    faces = [np.take(gaps_IJK, side, axis) for axis in range(3) for side in (0, -1)]
    open_gaps = np.unique(np.concatenate([face.ravel() for face in faces]))
    return np.asarray(mask_IJK | ~np.isin(gaps_IJK, open_gaps))
