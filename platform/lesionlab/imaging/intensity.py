"""Segment the head in a scan and normalise its intensities to zero mean and unit SD over the head."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lesionlab.errors import ImageError

if TYPE_CHECKING:
    from lesionlab.imaging.volume import Image

HeadMask = NDArray[np.bool_]

AIR_FRACTION = 0.1
"""Air is darker than this fraction of the brightest tissue. So is CSF in FLAIR, but it forms holes inside the head."""
BRIGHTEST_PERCENTILE = 99.0
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


def head_mask(voxels_IJK: Image) -> HeadMask:
    """Segment the head (or the brain, if skull-stripped): True inside, with holes filled, False in the air around it.

    This is the largest connected component (6-connectivity) of the voxels above a tenth of the 99th percentile of the
    positive voxels. Raises ImageError if no voxel is positive.
    """
    positive = voxels_IJK[voxels_IJK > 0]
    if not positive.size:
        raise ImageError(
            "wanted an image of a head, found no voxel above 0; export the image again", code="no-contrast"
        )
    tissue_IJK = voxels_IJK > AIR_FRACTION * np.percentile(positive, BRIGHTEST_PERCENTILE)
    return _fill_holes(_largest_part(tissue_IJK))


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
    faces = [np.take(gaps_IJK, side, axis) for axis in range(3) for side in (0, -1)]
    open_gaps = np.unique(np.concatenate([face.ravel() for face in faces]))
    return np.asarray(mask_IJK | ~np.isin(gaps_IJK, open_gaps))
