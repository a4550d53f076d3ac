"""An image and where to look it up in; the image on another grid, and where it has data there, out.

i j k voxels of the image; I J K voxels of the target grid. One linear interpolation, whatever the way.
"""

from __future__ import annotations

from typing import NamedTuple

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lesionlab.imaging.volume import Image, Matrix, Volume, matrix_of
from storage_schemas.volumes import DEFORMATION_STEP_MM, Grid

Steps = NDArray[np.int16]
"""Displacements in RAS+ mm as whole multiples of DEFORMATION_STEP_MM; axes 3 I J K."""

_ROUNDING = 1e-6
"""Part of a voxel that a place may lie outside by rounding alone."""


class Warped(NamedTuple):
    """The image on the target grid, float32, 0 where it has no data; and where it has some."""

    voxels_IJK: Image
    covered_IJK: NDArray[np.bool_]


def warp(moving: Volume, target: Grid, matrix: Matrix, deformation_3IJK: Steps | None = None) -> Warped:
    """The moving image on the target grid: at x stands its value at `matrix @ (x + deformation)`, world RAS+ mm.

    Linear. In the outer half of a border voxel the border's value holds, as ITK has it too; beyond there is no data.
    """
    to_moving = np.linalg.inv(moving.affine) @ matrix
    source = moving.voxels.astype(np.float32, copy=False)
    last_ijk = np.array(moving.voxels.shape) - 1
    voxels_IJK = np.zeros(target.shape, dtype=np.float32)
    covered_IJK = np.zeros(target.shape, dtype=np.bool_)
    sheet_JK3 = np.moveaxis(np.indices((1, *target.shape[1:]))[:, 0], 0, -1)
    for i in range(target.shape[0]):  # one sheet at a time: places take six times the memory of the image
        places_JK3 = nib.affines.apply_affine(matrix_of(target), sheet_JK3 + np.array([i, 0, 0]))
        if deformation_3IJK is not None:
            places_JK3 = places_JK3 + np.moveaxis(deformation_3IJK[:, i], 0, -1) * DEFORMATION_STEP_MM
        places_JK3 = nib.affines.apply_affine(to_moving, places_JK3)
        covered_IJK[i] = ((places_JK3 >= -0.5 - _ROUNDING) & (places_JK3 <= last_ijk + 0.5 + _ROUNDING)).all(axis=-1)
        ndimage.map_coordinates(
            source, np.moveaxis(places_JK3, -1, 0), output=voxels_IJK[i], order=1, mode="nearest", prefilter=False
        )
    voxels_IJK[~covered_IJK] = 0
    return Warped(voxels_IJK, covered_IJK)


def in_steps(displacements_3IJK: Image) -> Steps:
    """Displacements in mm as they are stored. Raises ValueError beyond ±327 mm, which is no head's."""
    steps_3IJK: Image = np.rint(displacements_3IJK / np.float32(DEFORMATION_STEP_MM))
    if np.abs(steps_3IJK).max(initial=0) > np.iinfo(np.int16).max:
        raise ValueError(f"displacement: found {np.abs(displacements_3IJK).max():.0f} mm")
    return steps_3IJK.astype(np.int16)
