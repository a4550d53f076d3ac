"""Recognise a background that is not air: constant voxels around a scan, or around a brain that was z-scored first."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lesionlab.imaging.intensity import AIR_FRACTION, AIR_QUANTILE, HeadMask, face_voxels
from storage_schemas.verdicts import Finding

LEAST_SHARE = 0.02
"""Minimum fraction of the volume's faces with one value, from which it is looked at as a background."""
LEAST_AIR = 0.2
"""Minimum fraction of dark voxels in a scan with air of its own: 48 % in a box around an ellipsoid; the blurred rim of
a stripped brain has at most 9 % (real scans)."""
MOST_BELOW = 0.02
"""Maximum fraction of a brain's voxels below the background: interpolation leaves 0.3 % (real scans); a z-score puts
half of them there."""
FAR_BELOW = 1.0
"""A background further below the brain than this multiple of the brain's range (0.1 to 99 %) is no air: MR has no
values that far below the tissue; in 18 real stripped scans it is at most 0.42."""
FAR_BELOW_ZERO = 0.5
"""The same multiple if only the background is negative, as -1024 around values that start at 0."""
DARKEST_PERCENTILE = 0.1

Image = NDArray[np.float32]


def background_to_air(voxels_ijk: Image, place: str) -> tuple[Image, tuple[Finding, ...]]:
    """Give a background that is not air (a constant on the faces) the value of air; all voxels are finite.

    What the background encloses may have air of its own at its surface, as a scan that was padded with -1024. If it has
    not, as a brain that was z-scored before it was stripped with 0, all of it is head: air is darker than its darkest
    tissue by the margin that `head_mask` wants, or 0 if only the background is negative.
    """
    border_ijk, value = constant_border(voxels_ijk)
    scan_ijk = ~border_ijk
    if not border_ijk.any() or not scan_ijk.any():
        return voxels_ijk, ()
    scan = voxels_ijk[scan_ijk]
    darkest, dark, bright = (float(level) for level in np.percentile(scan, (DARKEST_PERCENTILE, 1, 99)))
    surface = voxels_ijk[scan_ijk & ~ndimage.binary_erosion(scan_ijk)]
    air = float(np.quantile(surface, AIR_QUANTILE, method="lower"))
    of_air = float(np.mean(scan <= air + AIR_FRACTION * (bright - air)))
    if of_air > LEAST_AIR and float(np.median(surface)) - dark < AIR_FRACTION * (bright - dark):
        is_air = abs(value - air) <= AIR_FRACTION * (bright - air)
    else:
        alone = value < 0 <= darkest
        air = 0.0 if alone else (darkest - AIR_FRACTION * bright) / (1 - AIR_FRACTION)
        far = darkest - value > (FAR_BELOW_ZERO if alone else FAR_BELOW) * (bright - darkest)
        is_air = not far and float(np.mean(scan < value)) <= MOST_BELOW
    if is_air:
        return voxels_ijk, ()
    count = int(np.count_nonzero(border_ijk))
    what = f"found {count} voxels of {value:g} around the scan, which is not the value of air; they were set to {air:g}"
    filled_ijk = np.where(border_ijk, np.float32(air), voxels_ijk)
    return filled_ijk, (Finding(code="padding", place=place, what=what, repaired=True),)


def constant_border(voxels_ijk: Image) -> tuple[HeadMask, float]:
    """Voxels of the commonest value on the faces that are connected to the faces, and that value."""
    faces = face_voxels(voxels_ijk)
    value = commonest(faces)
    if np.count_nonzero(faces == value) < LEAST_SHARE * faces.size:
        return np.zeros(voxels_ijk.shape, dtype=bool), value
    parts_ijk, _ = ndimage.label(voxels_ijk == value)
    outer = np.unique(face_voxels(parts_ijk))
    return np.asarray(np.isin(parts_ijk, outer[outer > 0])), value


def commonest(values: Image) -> float:
    """The most frequent value."""
    found, counts = np.unique(values, return_counts=True)
    return float(found[counts.argmax()])
