"""Deform a study volume elastically at random and return the deformed copy (the idea of Simard et al. 2003).

Control points on a coarse grid are displaced at random; cubic splines interpolate the displacement at every voxel.

Shapes: C channel, I J K voxels of the model grid, A axes of displacement (3), P Q R control points.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from torch import Tensor
from torch.nn.functional import grid_sample

from storage_schemas.runs import Elastic

SLAB_VOXELS = 16
"""Planes that a CPU deforms at a time: little memory, most of which stays in its cache."""


@dataclass(frozen=True)
class Deformed:
    """A copy of a study volume: image float16 (C, I, J, K), label uint8 (I, J, K)."""

    image_CIJK: NDArray[np.float16]
    label_IJK: NDArray[np.uint8]


def deform(
    image_CIJK: NDArray[np.floating[Any]],
    label_IJK: NDArray[np.uint8],
    spacing_mm: float,
    elastic: Elastic,
    rng: np.random.Generator,
) -> Deformed:
    """Deform image and label by the same random displacement field.

    The image is interpolated linearly, the label by nearest neighbour, so that small lesions survive. `spacing_mm` is
    the spacing of the isotropic model grid. Outside the volume the image repeats its border and the label is 0. A
    standard deviation of 0 mm returns both unchanged.
    """
    image = np.asarray(image_CIJK, dtype=np.float16)
    if elastic.sd_mm == 0:
        return Deformed(image.copy(), label_IJK.copy())
    shape = label_IJK.shape
    weights = [spline_weights(n, spacing_mm, elastic.control_spacing_mm) for n in shape]
    control_APQR = rng.normal(0, elastic.sd_mm / spacing_mm, size=(3, *(matrix.shape[1] for matrix in weights)))
    image_1CIJK = torch.from_numpy(image.astype(np.float32))[None]
    label_11IJK = torch.from_numpy(label_IJK.astype(np.float32))[None, None]
    deformed = Deformed(np.empty_like(image), np.empty_like(label_IJK))
    for first in range(0, shape[0], SLAB_VOXELS):
        slab = slice(first, first + SLAB_VOXELS)
        from_IJKA = _sampling_grid(control_APQR, weights, slab, shape)
        moved_CIJK = grid_sample(image_1CIJK, from_IJKA, "bilinear", "border", align_corners=True)[0]
        moved_IJK = grid_sample(label_11IJK, from_IJKA, "nearest", "zeros", align_corners=True)[0, 0]
        deformed.image_CIJK[:, slab] = moved_CIJK.numpy()
        deformed.label_IJK[slab] = moved_IJK.numpy()
    return deformed


def spline_weights(voxels: int, spacing_mm: float, control_spacing_mm: float) -> NDArray[np.float64]:
    """The weight of each control point at each voxel along one axis: (voxels, control points)."""
    control_voxels = control_spacing_mm / spacing_mm
    points = ceil((voxels - 1) / control_voxels) + 1 if voxels > 1 else 2
    spline = CubicSpline(np.arange(points) * control_voxels, np.eye(points), bc_type="natural")
    return np.asarray(spline(np.arange(voxels)))


def _sampling_grid(
    control_APQR: NDArray[np.float64], weights: list[NDArray[np.float64]], slab: slice, shape: tuple[int, ...]
) -> Tensor:
    """The position that each voxel of the slab is sampled from, float32 (1, I, J, K, A).

    Axes are in torch's order K, J, I and in its units: the borders of the volume are at ±1.
    """
    partial = np.einsum("apqr,ip,jq->aijr", control_APQR, weights[0][slab], weights[1], optimize=True)
    place_AIJK = partial @ weights[2].T
    for axis, n in enumerate(shape):
        voxels = np.arange(n)[slab] if axis == 0 else np.arange(n)
        place_AIJK[axis] += voxels.reshape([-1 if other == axis else 1 for other in range(3)])
        place_AIJK[axis] *= 2 / max(n - 1, 1)
        place_AIJK[axis] -= 1
    return torch.from_numpy(np.stack(place_AIJK[::-1], axis=-1).astype(np.float32))[None]
