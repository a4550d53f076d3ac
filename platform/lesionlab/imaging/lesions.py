"""Label the lesions (connected components) of a binary mask; compute their volumes and centroids."""

# I J K voxel axes, N lesions (lesion n of N is row n - 1; its voxels have the id n)

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

_FACES_EDGES_CORNERS = {6: 1, 18: 2, 26: 3}
"""Connectivity to scipy's structure rank: neighbours share a face; or also an edge; or also a corner."""

_FEW = 0.01
"""Share of nonzero voxels below which a graph of them is faster than scipy's labelling of the whole array."""

_VOLUME_TOLERANCE = 1e-5
"""NIfTI affines are float32: the voxel volume of an oblique grid has about this relative precision."""


@dataclass(frozen=True)
class Lesions:
    """Labelled lesions of one mask: `ids_IJK` (int32) is 0 outside and 1 … `count` inside, ordered by first voxel."""

    ids_IJK: npt.NDArray[np.int32]
    count: int


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
    if np.count_nonzero(mask_IJK) < _FEW * mask_IJK.size:
        return _label_few(mask_IJK, rank)
    ids_IJK = np.empty(mask_IJK.shape, dtype=np.int32)
    count = ndimage.label(mask_IJK, ndimage.generate_binary_structure(3, rank), output=ids_IJK)
    return Lesions(ids_IJK, int(count))


def _label_few(mask_IJK: npt.NDArray[np.bool_], rank: int) -> Lesions:
    """The same labels as scipy's, found among the nonzero voxels alone: they are the nodes of a graph of neighbours."""
    padded_IJK = np.pad(mask_IJK, 1)
    voxels = np.flatnonzero(padded_IJK)
    if not voxels.size:
        return Lesions(np.zeros(mask_IJK.shape, dtype=np.int32), 0)
    node = np.zeros(padded_IJK.size, dtype=np.int32)
    node[voxels] = np.arange(1, len(voxels) + 1)
    across = (padded_IJK.shape[1] * padded_IJK.shape[2], padded_IJK.shape[2], 1)
    steps = [step for step in product((-1, 0, 1), repeat=3) if step < (0, 0, 0) and np.abs(step).sum() <= rank]
    before = np.stack([node[voxels + np.dot(step, across)] for step in steps])  # each pair of neighbours once
    of_step, at = np.nonzero(before)
    pairs = csr_array((np.ones(len(at), np.int8), (at, before[of_step, at] - 1)), shape=(len(voxels), len(voxels)))
    count, found = connected_components(pairs, directed=False)
    ids = np.zeros(padded_IJK.size, dtype=np.int32)
    ids[voxels] = found + 1
    return Lesions(np.ascontiguousarray(ids.reshape(padded_IJK.shape)[1:-1, 1:-1, 1:-1]), int(count))


def voxel_volume_mm3(affine: npt.ArrayLike) -> float:
    """Voxel volume in mm³ of a grid with this 4×4 affine (voxel indices to world mm)."""
    return float(abs(np.linalg.det(np.asarray(affine, dtype=np.float64)[:3, :3])))


def lesion_voxels(lesions: Lesions) -> npt.NDArray[np.int64]:
    """Number of voxels of each lesion, shape N."""
    ids = lesions.ids_IJK[lesions.ids_IJK > 0]
    return np.bincount(ids, minlength=lesions.count + 1)[1:].astype(np.int64)


def lesion_volumes_mm3(lesions: Lesions, voxel_mm3: float) -> npt.NDArray[np.float64]:
    """Volume of each lesion in mm³, shape N."""
    return lesion_voxels(lesions) * np.float64(voxel_mm3)


def lesion_centroids_mm(
    lesions: Lesions, affine: npt.ArrayLike, first: tuple[int, ...] = (0, 0, 0)
) -> npt.NDArray[np.float64]:
    """Mean position of each lesion's voxel centres in the world (RAS+ mm), shape N × 3.

    `affine` is the grid's 4×4, and `first` the voxel of that grid at which the lesions' array begins.
    """
    voxels = np.flatnonzero(lesions.ids_IJK > 0)
    ids = lesions.ids_IJK.ravel()[voxels]
    found = np.unravel_index(voxels, lesions.ids_IJK.shape)
    places = [axis + start for axis, start in zip(found, first, strict=True)]
    sums = [np.bincount(ids, weights=axis, minlength=lesions.count + 1)[1:] for axis in places]
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
    ids_IJK = lesions.ids_IJK.copy()
    inside_IJK = ids_IJK > 0
    ids_IJK[inside_IJK] = new_id[ids_IJK[inside_IJK]]
    return Lesions(ids_IJK, int(np.count_nonzero(keep)))
