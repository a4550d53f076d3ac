"""Resample images and masks from one voxel grid to another in the same world coordinates.

i j k voxels of the source grid; I J K voxels of the target grid. A voxel is a box around its centre.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any, Literal

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lesionlab.imaging.boxes import Box, grid_within
from lesionlab.imaging.lesions import Lesions, label_lesions
from lesionlab.imaging.volume import Image, Mask, Matrix, Volume, grid_of, matrix_of
from storage_schemas.volumes import Grid

UNCOVERED_VOXELS = 1e-3
"""Fraction of a model-grid voxel that may be uncovered: headers are float32, so 240 × 1 mm may read as 240.0001 mm."""

_NEAR = 1e-4
"""Target voxels by which a centre may miss the source and still be looked at: far more than rounding."""


def model_grid(native: Grid, spacing_mm: float) -> Grid:
    """The isotropic grid on which the network sees images of this native grid.

    Its axes I J K point right, anterior and superior *along the native axes*: an oblique scan stays oblique because
    rotating it would need an extra interpolation (a sheared scan gets the nearest orthogonal axes). The grid covers the
    box of every native voxel and has the same centre. So a canonical native grid of this spacing stays unchanged, and
    at half the resolution each model-grid voxel is the mean of the eight native voxels that it covers.
    """
    affine = matrix_of(native)
    canonical = affine @ nib.orientations.inv_ornt_aff(nib.io_orientation(affine), native.shape)
    axes = _nearest_rotation(canonical[:3, :3])
    corners_ijk = np.array(list(product(*[(-0.5, size - 0.5) for size in native.shape])))
    corners_mm = nib.affines.apply_affine(affine, corners_ijk) @ axes
    low_mm, high_mm = corners_mm.min(axis=0), corners_mm.max(axis=0)
    shape = np.maximum(np.ceil((high_mm - low_mm) / spacing_mm - UNCOVERED_VOXELS), 1).astype(int)
    first_mm = (low_mm + high_mm) / 2 - (shape - 1) / 2 * spacing_mm
    study = np.eye(4)
    study[:3, :3] = axes * spacing_mm
    study[:3, 3] = axes @ first_mm
    return grid_of(tuple(int(size) for size in shape), study)


def resample_linear(voxels_ijk: Image, source: Grid, target: Grid, outside: float = 0.0) -> Image:
    """Interpolate linearly at the target's voxel centres, float32; `outside` beyond the boxes of the source's voxels.

    The outer half of a border voxel has the voxel's own value. There is no smoothing before (the paper says linear): if
    the target is more than twice as coarse as the source, voxels between the sampling points are ignored.
    """
    index = _index_matrix(target, source)
    values_IJK = np.full(target.shape, outside, dtype=np.float32)
    within = _reached(index, source, target)
    if not values_IJK[within].size:
        return values_IJK
    own, index = grid_within(target, within), _from(within, index)
    reached_IJK = _placed(voxels_ijk, index, own)
    if reached_IJK is None:
        reached_IJK = _sample(voxels_ijk.astype(np.float32, copy=False), index, own, order=1)
        _blank_outside(reached_IJK, index, source, outside)
    values_IJK[within] = reached_IJK
    return values_IJK


def resample_mask(mask_ijk: Mask, source: Grid, target: Grid) -> Mask:
    """Resample a mask (0 and 1) linearly with a threshold of one half, but never lose a lesion.

    Every lesion (connected component, 26-connectivity) inside the target grid keeps at least one target voxel: one
    whose centre is in a voxel of the lesion, or else one that contains the centre of a voxel of the lesion, near the
    lesion's centre. Lesions merge only if they are close: never if all their voxel centres are further apart than two
    voxel diagonals of the source plus two of the target. At 1 mm, from grids up to 0.5 × 0.5 × 6 mm, a ball of 15 mm
    radius keeps its volume within 3 %, one of 5 mm within 15 %. Lesions thinner than a voxel have no such bound, and
    the steps between thick slices may split a lesion.
    """
    index = _index_matrix(target, source)
    kept_IJK = resample_linear(mask_ijk.astype(np.float32), source, target) >= 0.5
    lesions = label_lesions(mask_ijk)
    ids_IJK = _sample(lesions.ids_IJK, index, target, order=0)
    lost = np.setdiff1d(np.arange(1, lesions.count + 1), ids_IJK[kept_IJK])
    to_target = np.linalg.inv(index)
    for voxels_ijk in _voxels_of(lesions, lost):
        held_IJK = np.rint(nib.affines.apply_affine(to_target, voxels_ijk)).astype(int)
        places_IJK = held_IJK[((held_IJK >= 0) & (held_IJK < target.shape)).all(axis=1)]
        if not places_IJK.size:  # all centres are outside; part of a voxel may still be inside
            places_IJK = np.concatenate([_centres_within(voxel_ijk, index, target) for voxel_ijk in voxels_ijk])
        if places_IJK.size:
            middle_IJK = nib.affines.apply_affine(to_target, _most_central(voxels_ijk))
            kept_IJK[tuple(places_IJK[np.argmin(np.linalg.norm(places_IJK - middle_IJK, axis=1))])] = True
    return kept_IJK.astype(np.uint8)


def reoriented_grid(grid: Grid, onto: Grid) -> Grid:
    """Flip and permute the axes of `grid` to best match those of `onto`; no voxel moves in the world."""
    affine, order = matrix_of(grid), _axis_order(grid, onto)
    shape = np.array(grid.shape)[np.argsort(order[:, 0])]
    return grid_of(tuple(int(size) for size in shape), affine @ nib.orientations.inv_ornt_aff(order, grid.shape))


def reoriented(volume: Volume, onto: Grid) -> Volume:
    """Reorder the voxels of a volume to its `reoriented_grid`; their values and world positions stay the same."""
    voxels = nib.orientations.apply_orientation(volume.voxels, _axis_order(volume.grid, onto))
    return Volume(np.ascontiguousarray(voxels), matrix_of(reoriented_grid(volume.grid, onto)))


def _axis_order(grid: Grid, onto: Grid) -> NDArray[np.float64]:
    """nibabel orientation of one grid's axes relative to the other's; also valid if both are oblique in the world."""
    return np.asarray(nib.io_orientation(np.linalg.inv(matrix_of(onto)) @ matrix_of(grid)))


def _nearest_rotation(axes: Matrix) -> Matrix:
    """Orthonormal axes closest to these three columns (polar decomposition)."""
    left, _, right = np.linalg.svd(axes / np.linalg.norm(axes, axis=0))
    return np.asarray(left @ right)


def _index_matrix(of: Grid, into: Grid) -> Matrix:
    """Matrix from voxel indices of one grid to those of the other.

    It is rounded so that the error is at most a millionth of a voxel over the whole grid and equal grids give equal
    voxels.
    """
    return np.asarray(np.round(np.linalg.inv(matrix_of(into)) @ matrix_of(of), 9))


def _sample(voxels_ijk: NDArray[Any], index: Matrix, target: Grid, order: Literal[0, 1]) -> NDArray[Any]:
    """Values at the target's voxel centres (order 0: nearest, 1: linear); border values outside the volume."""
    return ndimage.affine_transform(
        voxels_ijk,
        index[:3, :3],
        index[:3, 3],
        target.shape,
        output=voxels_ijk.dtype,
        order=order,
        mode="nearest",
    )


def _reached(index: Matrix, source: Grid, target: Grid) -> Box:
    """The box of the target outside which every voxel is outside the source; empty if they do not meet."""
    corners_ijk = np.array(list(product(*[(-0.5, size - 0.5) for size in source.shape])))
    corners_IJK = nib.affines.apply_affine(np.linalg.inv(index), corners_ijk)
    low = np.clip(np.ceil(corners_IJK.min(axis=0) - _NEAR), 0, target.shape).astype(int)
    high = np.clip(np.floor(corners_IJK.max(axis=0) + _NEAR) + 1, low, target.shape).astype(int)
    i, j, k = (slice(int(first), int(end)) for first, end in zip(low, high, strict=True))
    return i, j, k


def _from(box: Box, index: Matrix) -> Matrix:
    """The index matrix for a target that begins at the box's first voxel."""
    moved = index.copy()
    moved[:3, 3] += index[:3, :3] @ [side.start for side in box]
    return moved


def _placed(voxels_ijk: NDArray[Any], index: Matrix, target: Grid) -> Image | None:
    """The values where every target voxel's centre is that of a source voxel: axes flipped and swapped, none computed.

    None if the grids differ otherwise. Interpolation would give the same values.
    """
    turned, first = index[:3, :3], index[:3, 3]
    if not np.isin(turned, (-1, 0, 1)).all() or (np.abs(turned).sum(axis=0) != 1).any() or (first % 1 != 0).any():
        return None
    axes = np.abs(turned).argmax(axis=1)  # of the target, for each axis of the source
    if len({*axes.tolist()}) < 3:
        return None
    picked = []
    for axis, at in enumerate(first.astype(int)):
        places = at + int(turned[axis, axes[axis]]) * np.arange(target.shape[axes[axis]])
        if places.size and not 0 <= places.min() <= places.max() < voxels_ijk.shape[axis]:
            return None
        picked.append(places)
    found_IJK = voxels_ijk[np.ix_(*picked)].transpose(np.argsort(axes))
    return np.ascontiguousarray(found_IJK, dtype=np.float32) + np.float32(0)  # -0 becomes 0, as by interpolation


def _inside(index: Matrix, places_IJK: NDArray[np.integer], source: Grid) -> NDArray[np.bool_]:
    """Which of these target voxels (…, 3) have their centre in the box of a source voxel."""
    places_ijk = nib.affines.apply_affine(index, places_IJK)
    return np.asarray(((places_ijk > -0.5 - 1e-6) & (places_ijk < np.array(source.shape) - 0.5 + 1e-6)).all(axis=-1))


def _blank_outside(values_IJK: Image, index: Matrix, source: Grid, outside: float) -> None:
    corners_IJK = np.array(list(product(*[(0, size - 1) for size in values_IJK.shape])))
    if _inside(index, corners_IJK, source).all():  # then all voxels are inside, because a box is convex
        return
    for i, slab_JK in enumerate(values_IJK):
        places_JK = np.stack(np.meshgrid(i, *map(np.arange, slab_JK.shape), indexing="ij"), axis=-1)[0]
        slab_JK[~_inside(index, places_JK, source)] = outside


def _centres_within(voxel_ijk: NDArray[np.integer], index: Matrix, target: Grid) -> NDArray[np.integer]:
    """Target voxels, N × 3, that have their centre in the box of this voxel."""
    corners_IJK = nib.affines.apply_affine(np.linalg.inv(index), voxel_ijk + list(product((-0.5, 0.5), repeat=3)))
    low = np.clip(np.floor(corners_IJK.min(axis=0)), 0, target.shape).astype(int)
    high = np.clip(np.ceil(corners_IJK.max(axis=0)) + 1, low, target.shape).astype(int)
    places_IJK = np.indices(high - low).reshape(3, -1).T + low
    apart_ijk = np.abs(nib.affines.apply_affine(index, places_IJK) - voxel_ijk)
    return np.asarray(places_IJK[(apart_ijk <= 0.5 + 1e-6).all(axis=1)])


def _voxels_of(lesions: Lesions, chosen: NDArray[np.integer]) -> Iterator[NDArray[np.integer]]:
    """Voxels of each chosen lesion, N × 3."""
    boxes = ndimage.find_objects(lesions.ids_IJK) if chosen.size else []
    for lesion in chosen:
        box = boxes[lesion - 1]
        yield np.argwhere(lesions.ids_IJK[box] == lesion) + [side.start for side in box]


def _most_central(voxels_ijk: NDArray[np.integer]) -> NDArray[np.integer]:
    """The voxel nearest to the centre of mass of these voxels (distance in voxels)."""
    distance = np.linalg.norm(voxels_ijk - voxels_ijk.mean(axis=0), axis=1)
    return np.asarray(voxels_ijk[np.argmin(distance)])
