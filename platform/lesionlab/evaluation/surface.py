"""Measure how far the surfaces of two masks are apart, in mm: average symmetric surface distance and 95 % Hausdorff.

The surface of a mask are its voxels with a face neighbour outside the mask; outside the image counts as outside. A
distance is that between voxel centres in world millimetres, from a surface voxel to the nearest surface voxel of the
other mask. It is found exactly, by a k-d tree, on any affine: anisotropic, oblique or sheared.
"""

# i j k native voxels, S surface voxels of one mask

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.spatial import KDTree

from lesionlab.imaging.boxes import bounding_box

PERCENTILE = 95
"""Of the Hausdorff distance: single voxels far off do not decide."""


@dataclass(frozen=True)
class SurfaceDistance:
    """How far the surfaces of two masks are apart, in mm."""

    average_mm: float
    """Average symmetric surface distance (ASSD): the mean over the surface voxels of both masks."""
    hausdorff95_mm: float
    """The larger one of the two directed 95th percentiles (Maier-Hein et al. 2024, Nat Methods 21:195)."""


def surface_distance(
    reference_ijk: npt.ArrayLike,
    prediction_ijk: npt.ArrayLike,
    affine: npt.ArrayLike,
    first: tuple[int, ...] = (0, 0, 0),
) -> SurfaceDistance | None:
    """Compare the whole masks; `affine` is the 4×4 matrix from voxel indices to world mm.

    `first` is the voxel of the affine's grid at which the masks begin, for masks that were cut from it.
    None if either mask is empty: there is no surface to measure from or to, and no distance stands for that.
    """
    reference_S3, prediction_S3 = (_surface_mm(mask_ijk, affine, first) for mask_ijk in (reference_ijk, prediction_ijk))
    if not len(reference_S3) or not len(prediction_S3):
        return None
    to_prediction_S, _ = KDTree(prediction_S3).query(reference_S3)
    to_reference_S, _ = KDTree(reference_S3).query(prediction_S3)
    return SurfaceDistance(
        average_mm=float(np.concatenate([to_prediction_S, to_reference_S]).mean()),
        hausdorff95_mm=float(max(np.percentile(one_S, PERCENTILE) for one_S in (to_prediction_S, to_reference_S))),
    )


def _surface_mm(mask_ijk: npt.ArrayLike, affine: npt.ArrayLike, first: tuple[int, ...]) -> npt.NDArray[np.float64]:
    """World positions of the surface voxels, S × 3."""
    inside_ijk = np.asarray(mask_ijk) > 0
    box = bounding_box(inside_ijk)
    own_ijk = inside_ijk[box]
    around_ijk, inner_ijk = np.pad(own_ijk, 1), own_ijk.copy()
    for axis, voxels in enumerate(own_ijk.shape):
        for neighbour in (0, 2):
            moved = [slice(1, -1)] * own_ijk.ndim
            moved[axis] = slice(neighbour, neighbour + voxels)
            inner_ijk &= around_ijk[tuple(moved)]
    voxels = np.flatnonzero(own_ijk & ~inner_ijk)
    corner = [edge.start + start for edge, start in zip(box, first, strict=True)]
    places_S3 = np.stack(np.unravel_index(voxels, own_ijk.shape), axis=1) + corner
    matrix = np.asarray(affine, dtype=np.float64)
    return np.asarray(places_S3 @ matrix[:3, :3].T + matrix[:3, 3])
