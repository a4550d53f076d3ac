"""Cut axial layers out of a native grid, as they are displayed.

i j k: native voxel axes as stored; R A S: the same axes reordered to right, anterior, superior; row, column: as
displayed in radiological convention, the patient's right on the left and anterior up.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from lesionlab.imaging.resample import resample_linear
from lesionlab.imaging.volume import grid_of, matrix_of, spacing_of
from storage_schemas.volumes import Grid

Picture = NDArray[np.float32]
Outline = NDArray[np.bool_]


@dataclass(frozen=True)
class Plane:
    """One axial layer of a native grid."""

    axis: int
    index: int
    grid: Grid
    """Of this layer only: one voxel thick."""

    @property
    def z_mm(self) -> float:
        """World z of its centre."""
        return float((matrix_of(self.grid) @ [*((np.array(self.grid.shape) - 1) / 2), 1])[2])

    @property
    def spacing_mm(self) -> tuple[float, float]:
        """Spacing of rows and columns as displayed."""
        spacing = spacing_of(matrix_of(self.grid))
        right, front = (spacing[axis] for axis in _axes_to_ras(self.grid)[:2])
        return front, right

    def display(self, layer_ijk: NDArray[Any]) -> NDArray[Any]:
        """Return the layer as rows and columns."""
        layer_RAS = nib.orientations.apply_orientation(layer_ijk, nib.io_orientation(matrix_of(self.grid)))
        return np.ascontiguousarray(layer_RAS[::-1, ::-1, 0].T)

    def cut(self, mask_ijk: NDArray[np.uint8]) -> Outline:
        """Return this layer of a native mask, as displayed."""
        return self.display(np.take(mask_ijk, [self.index], axis=self.axis)).astype(bool)

    def picture(self, image_IJK: NDArray[np.float32], model_grid: Grid) -> Picture:
        """Resample this layer of an image on its model grid, as displayed; the image's minimum outside of it."""
        return self.display(resample_linear(image_IJK, model_grid, self.grid, outside=float(image_IJK.min())))

    def place_of(self, point_mm: tuple[float, float, float]) -> tuple[float, float]:
        """Return row and column of a world point, as displayed; integers are voxel centres."""
        affine = matrix_of(self.grid)
        canonical = affine @ nib.orientations.inv_ornt_aff(nib.io_orientation(affine), self.grid.shape)
        right, front, _ = nib.affines.apply_affine(np.linalg.inv(canonical), point_mm)
        width, height = (self.grid.shape[axis] for axis in _axes_to_ras(self.grid)[:2])
        return float(height - 1 - front), float(width - 1 - right)


def plane_at(grid: Grid, index: int) -> Plane:
    """Return the layer with this index along the axis closest to inferior-superior."""
    axis = _axes_to_ras(grid)[2]
    shape, step = list(grid.shape), np.eye(4)
    shape[axis], step[axis, 3] = 1, index
    return Plane(axis, index, grid_of(tuple(shape), matrix_of(grid) @ step))


def fullest_plane(mask_ijk: NDArray[np.uint8], grid: Grid) -> Plane:
    """Return the layer with the largest area of the mask."""
    axis = _axes_to_ras(grid)[2]
    return plane_at(grid, int(np.argmax(mask_ijk.sum(axis=tuple({0, 1, 2} - {axis})))))


def layer_through(grid: Grid, point_mm: tuple[float, float, float]) -> int:
    """Return the index of the layer that contains a world point; the nearest layer if it lies outside."""
    axis = _axes_to_ras(grid)[2]
    place = nib.affines.apply_affine(np.linalg.inv(matrix_of(grid)), point_mm)[axis]
    return int(np.clip(np.rint(place), 0, grid.shape[axis] - 1))


def _axes_to_ras(grid: Grid) -> list[int]:
    """Return the voxel axes closest to left-right, posterior-anterior and inferior-superior."""
    return [int(axis) for axis in np.argsort(nib.io_orientation(matrix_of(grid))[:, 0])]
