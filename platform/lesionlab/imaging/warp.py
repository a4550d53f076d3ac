"""An image and where to look it up in; the image on another grid out.

i j k voxels of the image; I J K voxels of the target grid. One linear interpolation, whatever the way.
"""

from __future__ import annotations

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


def warp(moving: Volume, target: Grid, matrix: Matrix, deformation_3IJK: Steps | None = None) -> Image:
    """The moving image on the target grid: at x stands its value at `matrix @ (x + deformation)`, world RAS+ mm.

    Linear, float32. In the outer half of a border voxel the border's value holds, as ITK has it too; beyond it the
    image has no data, and NaN says so.
    """
    to_world, to_moving = matrix_of(target), np.linalg.inv(moving.affine) @ matrix
    source = moving.voxels.astype(np.float32, copy=False)
    beyond_ijk = np.array(source.shape) - 0.5 + _ROUNDING
    warped_IJK = np.empty(target.shape, dtype=np.float32)
    sheet_JK3 = np.moveaxis(np.indices((1, *target.shape[1:]))[:, 0], 0, -1)
    for i in range(target.shape[0]):  # one sheet at a time: places take six times the memory of the image
        places_JK3 = nib.affines.apply_affine(to_world, sheet_JK3 + np.array([i, 0, 0]))
        if deformation_3IJK is not None:
            places_JK3 = places_JK3 + np.moveaxis(deformation_3IJK[:, i], 0, -1) * DEFORMATION_STEP_MM
        places_JK3 = nib.affines.apply_affine(to_moving, places_JK3)
        ndimage.map_coordinates(source, np.moveaxis(places_JK3, -1, 0), output=warped_IJK[i], order=1, mode="nearest")
        warped_IJK[i][((places_JK3 < -0.5 - _ROUNDING) | (places_JK3 > beyond_ijk)).any(axis=-1)] = np.nan
    return warped_IJK


def in_steps(displacements_3IJK: Image) -> Steps:
    """Displacements in mm as they are stored. Raises ValueError beyond ±327 mm, which is no head's."""
    steps_3IJK: Image = np.rint(displacements_3IJK / np.float32(DEFORMATION_STEP_MM))
    if np.abs(steps_3IJK).max(initial=0) > np.iinfo(np.int16).max:
        raise ValueError(f"displacement: found {np.abs(displacements_3IJK).max():.0f} mm")
    return steps_3IJK.astype(np.int16)
