"""Apply an affine and a deformation to an image, with one linear interpolation.

i j k voxels of the image; I J K voxels of the target grid.
"""

from __future__ import annotations

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lesionlab.imaging.volume import Image, Matrix, Volume, matrix_of
from storage_schemas.volumes import DEFORMATION_STEP_MM, Grid

Steps = NDArray[np.int16]
"""Displacements in RAS+ mm as integer multiples of DEFORMATION_STEP_MM; axes 3 I J K."""

_ROUNDING = 1e-6
"""Distance in voxels by which a point may be outside through rounding alone."""


def warp(moving: Volume, target: Grid, matrix: Matrix, deformation_3IJK: Steps | None = None) -> Image:
    """Resample the moving image to the target grid: its value at x is taken at `matrix @ (x + deformation)`, RAS+ mm.

    Linear, float32. The outer half of a border voxel has the voxel's own value, as in ITK; beyond it the image has no
    data and the result is NaN.
    """
    to_world, to_moving = matrix_of(target), np.linalg.inv(moving.affine) @ matrix
    source = moving.voxels.astype(np.float32, copy=False)
    beyond_ijk = np.array(source.shape) - 0.5 + _ROUNDING
    warped_IJK = np.empty(target.shape, dtype=np.float32)
    sheet_JK3 = np.moveaxis(np.indices((1, *target.shape[1:]))[:, 0], 0, -1)
    for i in range(target.shape[0]):  # one slice at a time: coordinates take six times the memory of the image
        places_JK3 = nib.affines.apply_affine(to_world, sheet_JK3 + np.array([i, 0, 0]))
        if deformation_3IJK is not None:
            places_JK3 = places_JK3 + np.moveaxis(deformation_3IJK[:, i], 0, -1) * DEFORMATION_STEP_MM
        places_JK3 = nib.affines.apply_affine(to_moving, places_JK3)
        ndimage.map_coordinates(source, np.moveaxis(places_JK3, -1, 0), output=warped_IJK[i], order=1, mode="nearest")
        warped_IJK[i][((places_JK3 < -0.5 - _ROUNDING) | (places_JK3 > beyond_ijk)).any(axis=-1)] = np.nan
    return warped_IJK


def in_steps(displacements_3IJK: Image) -> Steps:
    """Convert displacements in mm to stored steps. Raises ValueError beyond ±327 mm, larger than any head."""
    steps_3IJK: Image = np.rint(displacements_3IJK / np.float32(DEFORMATION_STEP_MM))
    if np.abs(steps_3IJK).max(initial=0) > np.iinfo(np.int16).max:
        raise ValueError(f"displacement: wanted at most 327 mm, found {np.abs(displacements_3IJK).max():.0f} mm")
    return steps_3IJK.astype(np.int16)
