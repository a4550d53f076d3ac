"""Map between voxel, scanner and subject coordinates; evaluate smooth subject fields on voxel grids.

Frames: W scanner mm (the world space of a NIfTI affine), S subject mm (the head at rest, axes RAS as in the template),
T template mm (ICBM152 2009a). Array axes: I J K voxels of a grid; a b c knots of a lattice; N points.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Floats = NDArray[np.float32]
Affine = NDArray[np.float64]

LATTICE_SPACING_MM = 4.0
LATTICE_ORIGIN_S_MM = np.array([-104.0, -140.0, -80.0])
LATTICE_SHAPE = (53, 61, 53)
"""One lattice in the subject frame, slightly larger than the head, holds every smooth property of a subject."""

_KNOT_STEP_MM = 4.0


def lattice_points() -> Floats:
    """Subject mm of all knots, shape (3, a, b, c)."""
    points: Floats = np.indices(LATTICE_SHAPE).astype(np.float32)
    points *= LATTICE_SPACING_MM
    points += LATTICE_ORIGIN_S_MM[:, None, None, None].astype(np.float32)
    return points


def smooth_noise(rng: np.random.Generator, sigma_mm: float) -> Floats:
    """A random field on the lattice with mean 0 and SD 1, smooth over `sigma_mm`; shape (a, b, c)."""
    white = rng.standard_normal(LATTICE_SHAPE).astype(np.float32)
    field = ndimage.gaussian_filter(white, sigma_mm / LATTICE_SPACING_MM, mode="nearest")
    return (field - field.mean()) / field.std()  # type: ignore[no-any-return]


def at_points(field_abc: Floats, points_S_mm: Floats) -> Floats:
    """Value of one lattice field at subject points (3, …), shape (…)."""
    offset = LATTICE_ORIGIN_S_MM.reshape(3, *([1] * (points_S_mm.ndim - 1)))
    knots = (points_S_mm - offset) / LATTICE_SPACING_MM
    return ndimage.map_coordinates(field_abc, knots, order=1, mode="nearest", output=np.float32)


@dataclass(frozen=True)
class Grid:
    """A voxel grid in scanner space, as an image file declares it."""

    shape: tuple[int, int, int]
    affine_IJK_to_W: Affine

    @property
    def spacing_mm(self) -> NDArray[np.float64]:
        """Voxel size along I, J, K."""
        spacing: NDArray[np.float64] = np.linalg.norm(self.affine_IJK_to_W[:3, :3], axis=0)
        return spacing

    def finer(self, factors: tuple[int, int, int]) -> Grid:
        """Split each voxel into `factors` parts along I, J, K."""
        split = np.diag([*(1.0 / np.array(factors)), 1.0])
        split[:3, 3] = 0.5 / np.array(factors) - 0.5
        i, j, k = (n * f for n, f in zip(self.shape, factors, strict=True))
        return Grid((i, j, k), self.affine_IJK_to_W @ split)


def block_mean(values_IJK: Floats, factors: tuple[int, int, int]) -> Floats:
    """Mean over blocks of `factors` voxels: the partial volume on the coarser grid."""
    if factors == (1, 1, 1):
        return values_IJK
    (i, j, k), (fi, fj, fk) = values_IJK.shape, factors
    mean: Floats = values_IJK.reshape(i // fi, fi, j // fj, fj, k // fk, fk).mean(axis=(1, 3, 5))
    return mean


@dataclass(frozen=True)
class View:
    """A subject's position in the scanner: the voxel grid and the rigid transform from scanner to subject."""

    grid: Grid
    pose_W_to_S: Affine

    @property
    def affine_IJK_to_S(self) -> Affine:
        """Affine from voxels of the grid to subject mm."""
        return self.pose_W_to_S @ self.grid.affine_IJK_to_W

    def knots_S_mm(self) -> Floats:
        """Subject mm of a coarse set of voxels that spans the grid, shape (3, a, b, c)."""
        axes = [_knots(n, h) for n, h in zip(self.grid.shape, self.grid.spacing_mm, strict=True)]
        voxels = np.stack(np.meshgrid(*axes, indexing="ij"))
        affine = self.affine_IJK_to_S
        # No BLAS here or below: its sums depend on the number of threads, and the output bytes must not.
        points: Affine = np.einsum("xi,iabc->xabc", affine[:3, :3], voxels) + affine[:3, 3, None, None, None]
        return points.astype(np.float32)

    def spread(self, values_abc: Floats) -> Floats:
        """Interpolate linearly from the knots of `knots_S_mm` to all voxels, one axis at a time; shape (I, J, K)."""
        for axis, (n, h) in enumerate(zip(self.grid.shape, self.grid.spacing_mm, strict=True)):
            knots = _knots(n, h)
            place = np.arange(n) / (knots[1] - knots[0])
            below = np.minimum(place.astype(int), len(knots) - 2)
            share = (place - below).astype(np.float32).reshape([n if a == axis else 1 for a in range(3)])
            values_abc = values_abc.take(below, axis) * (1 - share) + values_abc.take(below + 1, axis) * share
        return values_abc

    def field(self, field_abc: Floats) -> Floats:
        """Evaluate one lattice field of the subject at all voxels; shape (I, J, K)."""
        return self.spread(at_points(field_abc, self.knots_S_mm()))


def _knots(n: int, spacing_mm: float) -> NDArray[np.float64]:
    return np.linspace(0, n - 1, max(2, round((n - 1) * spacing_mm / _KNOT_STEP_MM) + 1))


def rigid(degrees: NDArray[np.float64], shift_mm: NDArray[np.float64], centre_mm: NDArray[np.float64]) -> Affine:
    """Rotation about x, y, z through `centre_mm`, then a shift; 4×4."""
    x, y, z = np.deg2rad(degrees)
    about_x = np.array([[1, 0, 0], [0, np.cos(x), -np.sin(x)], [0, np.sin(x), np.cos(x)]])
    about_y = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    about_z = np.array([[np.cos(z), -np.sin(z), 0], [np.sin(z), np.cos(z), 0], [0, 0, 1]])
    pose = np.eye(4)
    pose[:3, :3] = about_z @ about_y @ about_x
    pose[:3, 3] = centre_mm - pose[:3, :3] @ centre_mm + shift_mm
    return pose
