"""Recognise inverted grey values: air brighter than the head, as by a negative slope or a negative of the picture."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lesionlab.imaging.background import FAR_BELOW, constant_border
from lesionlab.imaging.intensity import AIR_FRACTION, face_voxels
from storage_schemas.verdicts import Finding

DARKER = 0.95
"""Minimum fraction of the middle of the volume, without voxels of air's very value, that is darker than air. In 22 real
scans it is at most 0.7 %, around a brain that was z-scored and then stripped with 0 at most 57 %; if inverted, 99 %."""


def inverted_values(voxels_ijk: NDArray[np.float32], place: str) -> Finding | None:
    """Finding if air is brighter than the head, else None; all voxels are finite.

    Padding may be brighter too: it is far above the head, or around air of the scan's own.
    """
    air = np.median(face_voxels(voxels_ijk))
    middle = voxels_ijk[tuple(slice(size // 4, size - size // 4) for size in voxels_ijk.shape)]
    head = middle[middle != air]
    if not head.size or np.mean(head < air) < DARKER:
        return None
    dark = np.percentile(voxels_ijk[voxels_ijk != air], 0.1)
    bright = np.percentile(head, 99)
    if air - bright > FAR_BELOW * (bright - dark) or _has_dark_rim(voxels_ijk):
        return None
    what = (
        f"wanted a head that is brighter than air, found {np.median(head):g} in the head and {air:g} in air: the grey "
        "values are inverted, as by a negative slope; export the image again"
    )
    return Finding(code="implausible-values", place=place, what=what)


def _has_dark_rim(voxels_ijk: NDArray[np.float32]) -> bool:
    """Whether what a constant border encloses is dark at its surface, as air is."""
    border_ijk, _ = constant_border(voxels_ijk)
    scan_ijk = ~border_ijk
    rim = voxels_ijk[scan_ijk & ~ndimage.binary_erosion(scan_ijk)]
    low, high = np.percentile(voxels_ijk[scan_ijk], (0.1, 99.9))
    return bool(np.median(rim) - low < AIR_FRACTION * (high - low))
