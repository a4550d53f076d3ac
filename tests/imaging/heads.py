"""Draw heads for registration: an ellipsoid with internal structures, on any grid, with any motion."""

import nibabel as nib
import numpy as np
from nibabel.affines import apply_affine
from scipy.spatial.transform import Rotation

from lesionlab.imaging.volume import Volume, grid_of, matrix_of
from storage_schemas.volumes import Grid

RADII_MM = np.array([56.0, 70.0, 52.0])
_BLOBS = np.random.default_rng(7)
CENTRES_MM = _BLOBS.uniform(-0.6, 0.6, (60, 3)) * RADII_MM
SIZES_MM = _BLOBS.uniform(5, 12, 60)
SIGNALS = _BLOBS.uniform(-130, 180, 60)

THREE_MM = grid_of((48, 56, 44), nib.affines.from_matvec(np.diag([3.0] * 3), [-70.5, -82.5, -64.5]))
SLICES = grid_of(
    (60, 70, 30),
    nib.affines.from_matvec(
        Rotation.from_euler("xyz", [4, -6, 3], degrees=True).as_matrix() @ np.diag([-2.2, -2.2, 4.4]),
        [62.0, 74.0, -62.0],
    ),
)
"""Oblique thick slices, stored from left to right and from posterior to anterior."""


def places(grid: Grid) -> np.ndarray:
    """World position (mm) of every voxel centre, shape i × j × k × 3."""
    return apply_affine(matrix_of(grid), np.indices(grid.shape).transpose(1, 2, 3, 0))


def motion(degrees: tuple[float, float, float], shift_mm: tuple[float, float, float]) -> np.ndarray:
    """The 4×4 matrix of a rotation about the world origin followed by a shift."""
    return nib.affines.from_matvec(Rotation.from_euler("xyz", degrees, degrees=True).as_matrix(), shift_mm)


def signal(points_mm: np.ndarray) -> np.ndarray:
    """The head's signal at these points (…, 3)."""
    skin = 1 / (1 + np.exp(25 * (np.linalg.norm(points_mm / RADII_MM, axis=-1) - 1)))
    inside = np.full(points_mm.shape[:-1], 400.0)
    for centre_mm, size_mm, height in zip(CENTRES_MM, SIZES_MM, SIGNALS, strict=True):
        inside += height * np.exp(-(np.linalg.norm(points_mm - centre_mm, axis=-1) ** 2) / (2 * size_mm**2))
    return skin * inside


def head(grid: Grid, to_head: np.ndarray | None = None, seed: int = 0) -> Volume:
    """The head on this grid, with some noise; `to_head` maps points of this scan to the head's own world."""
    points_mm = places(grid) if to_head is None else apply_affine(to_head, places(grid))
    noise = np.random.default_rng(seed).normal(0, 4, grid.shape)
    return Volume(np.abs(signal(points_mm) + noise).astype(np.float32), matrix_of(grid))
