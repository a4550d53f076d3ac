"""Recognise a wrong unit by the size of the head: voxels in cm or metres whose header says mm."""

from __future__ import annotations

import numpy as np

from lesionlab.imaging.intensity import HeadMask
from lesionlab.imaging.volume import Matrix, spacing_of
from storage_schemas.verdicts import Finding

HEAD_MM = (40.0, 600.0)
"""Bounds of the head's longest extent along a voxel axis.

In 22 real scans it is 150 to 204 mm. The limits leave room for infants and for scans with a neck, neither of which was
measured, and refuse the same scans in cm (15 to 20) or in units of 0.1 mm (1,500 to 2,040).
"""


def implausible_extent(head_ijk: HeadMask, affine: Matrix, place: str) -> Finding | None:
    """Finding if no head is as long or as short as this one by its header, else None."""
    voxels = [np.flatnonzero(head_ijk.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
    longest_mm = max(
        (int(found[-1] - found[0]) + 1) * mm for found, mm in zip(voxels, spacing_of(affine), strict=True) if found.size
    )
    if HEAD_MM[0] <= longest_mm <= HEAD_MM[1]:
        return None
    what = (
        f"wanted a head {HEAD_MM[0]:.0f} to {HEAD_MM[1]:.0f} mm long, found {round(longest_mm, 1):g} mm; "
        "if it is a whole head, its voxel size is in another unit than mm: correct the header"
    )
    return Finding(code="implausible-spacing", place=place, what=what)
