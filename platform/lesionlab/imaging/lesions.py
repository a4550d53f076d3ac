"""Label the lesions (connected components) of a binary mask; compute their volumes and centroids."""

# I J K voxel axes, N lesions (lesion n of N is row n - 1; its voxels have the id n), V voxels of all lesions,
# R runs of nonzero voxels along K

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

_FACES_EDGES_CORNERS = {6: 1, 18: 2, 26: 3}
"""Connectivity to scipy's structure rank: neighbours share a face; or also an edge; or also a corner."""

_FEW = 0.025
"""Runs per voxel of the array below which a graph of runs is faster than scipy's labelling of the whole array."""

_ROWS_BEFORE = ((-1, -1), (-1, 0), (-1, 1), (0, -1))
"""Steps along I and J to those rows of voxels beside a row that come before it."""

_VOLUME_TOLERANCE = 1e-5
"""NIfTI affines are float32: the voxel volume of an oblique grid has about this relative precision."""


@dataclass(frozen=True)
class Lesions:
    """Labelled lesions of one mask: `ids_IJK` (int32) is 0 outside and 1 … `count` inside, ordered by first voxel."""

    ids_IJK: npt.NDArray[np.int32]
    count: int

    @cached_property
    def voxels_V(self) -> npt.NDArray[np.int64]:
        """Places of all lesion voxels in the flattened array, ascending."""
        return np.flatnonzero(self.ids_IJK > 0)

    @cached_property
    def ids_V(self) -> npt.NDArray[np.int32]:
        """The lesion of each of them, from 1."""
        return self.ids_IJK.ravel()[self.voxels_V]


def label_lesions(mask_IJK: npt.ArrayLike, connectivity: int = 26) -> Lesions:
    """Label the connected components of the nonzero voxels of a 3-D mask; equal masks give equal labels.

    `connectivity` is 6, 18 or 26 neighbours. Raises ValueError for any other value or a mask that is not 3-D.
    """
    mask_IJK = np.ascontiguousarray(np.asarray(mask_IJK) != 0)
    if connectivity not in _FACES_EDGES_CORNERS:
        raise ValueError(f"connectivity: wanted one of {list(_FACES_EDGES_CORNERS)}, found {connectivity}")
    if mask_IJK.ndim != 3:
        raise ValueError(f"mask: wanted three voxel axes, found shape {mask_IJK.shape}")
    rank = _FACES_EDGES_CORNERS[connectivity]
    padded_IJK = np.pad(mask_IJK, 1)
    borders = np.flatnonzero(np.diff(padded_IJK.ravel()))
    if len(borders) < 2 * _FEW * mask_IJK.size:
        starts_R, ends_R = borders[::2] + 1, borders[1::2] + 1
        of_run_R, count = _components(padded_IJK.shape, starts_R, ends_R, rank)
        first_R = np.ravel_multi_index(
            [axis - 1 for axis in np.unravel_index(starts_R, padded_IJK.shape)], mask_IJK.shape
        )
        ids_IJK = np.zeros(mask_IJK.shape, dtype=np.int32)
        ids_IJK.ravel()[_ranges(first_R, ends_R - starts_R)] = np.repeat(of_run_R, ends_R - starts_R)
        return Lesions(ids_IJK, count)
    ids_IJK = np.empty(mask_IJK.shape, dtype=np.int32)
    count = ndimage.label(mask_IJK, ndimage.generate_binary_structure(3, rank), output=ids_IJK)
    return Lesions(ids_IJK, int(count))


def _components(
    shape: tuple[int, ...], starts_R: npt.NDArray[np.int64], ends_R: npt.NDArray[np.int64], rank: int
) -> tuple[npt.NDArray[np.int32], int]:
    """The component of each run (from 1, ordered by first run), and their number: neighbouring runs are joined.

    `starts_R` and `ends_R` are places in the flattened mask of this shape, which has one empty voxel around it.
    """
    own, before = [np.arange(len(starts_R))], [np.arange(len(starts_R))]
    for step in _ROWS_BEFORE:
        sides = int(np.abs(step).sum())
        if sides > rank:
            continue
        reach = int(sides < rank)  # whether a corner or an edge is enough, so that a run reaches one voxel further
        there = np.dot(step, (shape[1] * shape[2], shape[2]))
        first_R = np.searchsorted(ends_R, starts_R + there - reach, side="right")
        count_R = np.searchsorted(starts_R, ends_R + there + reach, side="left") - first_R
        own.append(np.repeat(own[0], count_R))
        before.append(_ranges(first_R, count_R))
    nodes, neighbours = np.concatenate(own), np.concatenate(before)
    joined = csr_array((np.ones(len(nodes), np.int8), (nodes, neighbours)), shape=(len(starts_R),) * 2)
    count, of_run_R = connected_components(joined, directed=False) if len(starts_R) else (0, np.zeros(0, np.int32))
    return of_run_R + 1, int(count)


def _ranges(first_R: npt.NDArray[np.int64], count_R: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """`count` successive numbers from each `first`, one range after the other."""
    return np.arange(count_R.sum()) + np.repeat(first_R - np.cumsum(count_R) + count_R, count_R)


def voxel_volume_mm3(affine: npt.ArrayLike) -> float:
    """Voxel volume in mm³ of a grid with this 4×4 affine (voxel indices to world mm)."""
    return float(abs(np.linalg.det(np.asarray(affine, dtype=np.float64)[:3, :3])))


def lesion_voxels(lesions: Lesions) -> npt.NDArray[np.int64]:
    """Number of voxels of each lesion, shape N."""
    return np.bincount(lesions.ids_V, minlength=lesions.count + 1)[1:].astype(np.int64)


def lesion_volumes_mm3(lesions: Lesions, voxel_mm3: float) -> npt.NDArray[np.float64]:
    """Volume of each lesion in mm³, shape N."""
    return lesion_voxels(lesions) * np.float64(voxel_mm3)


def lesion_centroids_mm(
    lesions: Lesions, affine: npt.ArrayLike, first: tuple[int, ...] = (0, 0, 0)
) -> npt.NDArray[np.float64]:
    """Mean position of each lesion's voxel centres in the world (RAS+ mm), shape N × 3.

    `affine` is the grid's 4×4, and `first` the voxel of that grid at which the lesions' array begins.
    """
    found = np.unravel_index(lesions.voxels_V, lesions.ids_IJK.shape)
    places = [axis + start for axis, start in zip(found, first, strict=True)]
    sums = [np.bincount(lesions.ids_V, weights=axis, minlength=lesions.count + 1)[1:] for axis in places]
    centroids_voxel = np.stack(sums, axis=1) / lesion_voxels(lesions)[:, np.newaxis]
    matrix = np.asarray(affine, dtype=np.float64)
    return np.asarray(centroids_voxel @ matrix[:3, :3].T + matrix[:3, 3])


def drop_small(
    lesions: Lesions, minimum_volume_mm3: float, voxel_mm3: float, *, drop_at_minimum: bool = False
) -> Lesions:
    """Keep lesions of at least this volume (of more if `drop_at_minimum`) and renumber them without gaps."""
    volumes_mm3 = lesion_volumes_mm3(lesions, voxel_mm3)
    if drop_at_minimum:
        keep = volumes_mm3 > minimum_volume_mm3 * (1 + _VOLUME_TOLERANCE)
    else:
        keep = volumes_mm3 >= minimum_volume_mm3 * (1 - _VOLUME_TOLERANCE)
    if keep.all():
        return lesions
    new_id = np.zeros(lesions.count + 1, dtype=np.int32)
    new_id[1:][keep] = np.arange(1, np.count_nonzero(keep) + 1)
    ids_IJK = np.zeros(lesions.ids_IJK.shape, dtype=np.int32)
    ids_IJK.ravel()[lesions.voxels_V] = new_id[lesions.ids_V]
    return Lesions(ids_IJK, int(np.count_nonzero(keep)))
