"""Voxels without a value (NaN, infinity): filled in the air or around lesions, refused inside the head or a lesion."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lesionlab.errors import ImageError
from lesionlab.imaging.intensity import HeadMask, head_mask
from storage_schemas.verdicts import Finding

EMPTY_BACKGROUND = 0.95
"""From this fraction of the voxels outside the head on, what has no value is the background of a masked image."""

_STRANGE = f"NaN, infinite or beyond {np.finfo(np.float32).max:.2g}"
"""What is not finite in single precision."""

Image = NDArray[np.float32]


def fill_air(voxels_ijk: Image, place: str) -> tuple[Image | None, tuple[Finding, ...]]:
    """Give voxels without a value in the air the value of air; None, with the reason, if any is inside the head.

    Air is the median of the other voxels outside the head, or 0 (the minimum, if negative) if all of them are without
    a value, as in an image whose background was masked.
    """
    gaps_ijk = ~np.isfinite(voxels_ijk)
    if not gaps_ijk.any():
        return voxels_ijk, ()
    count, known = int(np.count_nonzero(gaps_ijk)), voxels_ijk[~gaps_ijk]
    lowest = np.float32(min(known.min(initial=0), 0))
    try:
        head_ijk = head_mask(np.where(gaps_ijk, known.min(initial=np.inf), voxels_ijk))
    except ImageError:
        return None, (_finding(place, f"wanted finite voxels, found {count} {_STRANGE}; export the image again"),)
    outside = gaps_ijk[~head_ijk]
    masked = outside.size > 0 and np.count_nonzero(outside) >= EMPTY_BACKGROUND * outside.size
    inside_ijk = gaps_ijk & (_across_slices(gaps_ijk, head_ijk) | (head_ijk if masked else _between(head_ijk)))
    if inside := int(np.count_nonzero(inside_ijk)):
        what = f"wanted finite voxels inside the head, found {inside} {_STRANGE} there; export the image again"
        return None, (_finding(place, what),)
    air = lowest if masked else np.median(voxels_ijk[~head_ijk & ~gaps_ijk])
    what = f"found {count} NaN or infinite voxels outside the head; they were set to the value of air ({air:g})"
    return np.where(gaps_ijk, air, voxels_ijk).astype(np.float32), (_finding(place, what, repaired=True),)


def fill_background(voxels_ijk: Image, place: str) -> tuple[Image | None, tuple[Finding, ...]]:
    """Read NaN in a mask as 0 where that is what it means; None, with the reason, if it may hide a lesion.

    It means 0 if the mask has NaN in place of every 0 (as a region saved by SPM or R), or outside a field of view: from
    the border of the volume inwards, beside no lesion (as resampling writes it).
    """
    if np.isfinite(voxels_ijk).all():
        return voxels_ijk, ()
    gaps_ijk = np.isnan(voxels_ijk)
    filled_ijk = np.where(gaps_ijk, 0, voxels_ijk).astype(np.float32)
    lesions_ijk = filled_ijk != 0
    instead_of_0 = lesions_ijk.any() and not (voxels_ijk == 0).any()
    if np.isinf(voxels_ijk).any() or gaps_ijk.all() or not (instead_of_0 or _out_of_view(gaps_ijk, lesions_ijk)):
        return None, (not_finite(voxels_ijk, place),)
    what = f"found {int(np.count_nonzero(gaps_ijk))} NaN voxels outside the lesions; read as 0"
    return filled_ijk, (_finding(place, what, repaired=True),)


def _out_of_view(gaps_ijk: HeadMask, lesions_ijk: HeadMask) -> bool:
    """Whether all gaps reach the border of the volume and none lies beside a lesion."""
    # Voxels of value 1 around the volume are its border: gaps that reach it hang together with it.
    parts_ijk, _ = ndimage.label(np.pad(gaps_ijk, 1, constant_values=True))
    inner_ijk = parts_ijk[1:-1, 1:-1, 1:-1]
    beside_ijk = ndimage.binary_dilation(lesions_ijk, np.ones((3, 3, 3), dtype=bool))
    return bool((inner_ijk[gaps_ijk] == parts_ijk[0, 0, 0]).all() and not (beside_ijk & gaps_ijk).any())


def not_finite(voxels_ijk: Image, place: str) -> Finding:
    """The finding for a mask or map whose voxels without a value may mean anything."""
    strange = int(np.count_nonzero(~np.isfinite(voxels_ijk)))
    what = f"wanted finite voxels, found {strange} {_STRANGE}; save the file with 0 there if that is meant"
    return _finding(place, what)


def _finding(place: str, what: str, *, repaired: bool = False) -> Finding:
    return Finding(code="not-finite", place=place, what=what, repaired=repaired)


def _between(head_ijk: HeadMask) -> HeadMask:
    """The head, and voxels with head on both sides along two axes or more: a notch that opens to the air is inside."""
    sides = np.zeros(head_ijk.shape, dtype=np.uint8)
    for axis in range(3):
        before = np.maximum.accumulate(head_ijk, axis=axis)
        behind = np.flip(np.maximum.accumulate(np.flip(head_ijk, axis), axis=axis), axis)
        sides += before & behind
    return np.asarray(head_ijk | (sides >= 2))


def _across_slices(gaps_ijk: HeadMask, head_ijk: HeadMask) -> HeadMask:
    """Whole slices without any value between slices that have some: the head would be cut in two."""
    missing_ijk = np.zeros(head_ijk.shape, dtype=bool)
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        some = np.flatnonzero(~gaps_ijk.all(axis=others))
        lost = np.setdiff1d(np.arange(some[0], some[-1] + 1), some) if some.size else some
        index: list[slice | NDArray[np.intp]] = [slice(None)] * 3
        index[axis] = lost
        missing_ijk[tuple(index)] = True
    return missing_ijk
