"""Recognise grey values that wrapped around: unsigned integers read as signed, or values beyond an integer's range."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lesionlab.imaging.background import commonest
from lesionlab.imaging.intensity import HeadMask, face_voxels
from storage_schemas.verdicts import Finding

NOT_AIR = 0.02
"""Distance from the value of the background, as a fraction of the range, from which a voxel counts."""
JUMP = 0.9
"""A value that wraps jumps from one end of the range to the other: over this fraction of it, between neighbours."""
NEAR_JUMP = 0.8
MOST_JUMPS = 3e-4
"""Maximum fraction of neighbours with such a jump.

In 22 real scans it is at most 1e-6, and at most 1.1e-4 if their values are clipped at the 98th percentile; if 1 % of
the head or more has wrapped, at least 5e-4.
"""
FEW_JUMPS = 20
"""A few bright voxels jump to each of their six neighbours; that is not a wrap, however small the image."""
FEWEST_JUMPS = 50
"""From this number on, jumps over more than JUMP are suspicious if they are more frequent than those just below it: in
an image of tissue they are rarer the larger they are."""
UNSIGNED_RANGES = (2**16, 2**32)
FEWEST_TOP = 10


def wrapped_values(voxels_ijk: NDArray[np.float32], place: str) -> Finding | None:
    """Finding if the grey values wrapped around, else None; all voxels are finite."""
    faces = face_voxels(voxels_ijk)
    inside_ijk = voxels_ijk != np.float32(commonest(faces))  # padding may lie at either end of the range
    if not inside_ijk.any():
        return None
    low, high = float(voxels_ijk[inside_ijk].min()), float(voxels_ijk[inside_ijk].max())
    inside_ijk &= np.abs(voxels_ijk - np.median(faces)) > NOT_AIR * (high - low)
    if low == high or not (_jumps(voxels_ijk, inside_ijk, high - low) or _at_both_ends(voxels_ijk, low, high)):
        return None
    what = (
        f"found values that wrapped around: neighbouring voxels jump between both ends of the range ({low:g} to "
        f"{high:g}), as when unsigned integers are read as signed or values exceed the range of an integer type; "
        "export the image again, with a data type that holds its values"
    )
    return Finding(code="wrapped-values", place=place, what=what)


def _jumps(voxels_ijk: NDArray[np.float32], tissue_ijk: HeadMask, span: float) -> bool:
    """Whether neighbours in tissue often differ by almost the whole range."""
    pairs = near = over = 0
    for axis in range(3):
        steps = np.abs(np.diff(voxels_ijk, axis=axis))
        both = np.delete(tissue_ijk, 0, axis) & np.delete(tissue_ijk, -1, axis)
        sizes = steps[both]
        pairs += sizes.size
        over += int(np.count_nonzero(sizes > JUMP * span))
        near += int(np.count_nonzero(sizes > NEAR_JUMP * span))
    return over > max(FEW_JUMPS, MOST_JUMPS * pairs) or over >= max(FEWEST_JUMPS, near - over + 1)


def _at_both_ends(voxels_ijk: NDArray[np.float32], low: float, high: float) -> bool:
    """Whether small negative values were read as unsigned: nothing lies between 0 and a few values below 2^16."""
    if not any(0.99 * limit < high < limit for limit in UNSIGNED_RANGES) or low < 0:
        return False
    top = voxels_ijk[voxels_ijk > JUMP * high]
    between = np.count_nonzero((voxels_ijk > (1 - NEAR_JUMP) * high) & (voxels_ijk < NEAR_JUMP * high))
    return top.size >= FEWEST_TOP and np.unique(top).size > 1 and between == 0
