"""Deform each patch anew, by a random displacement of its own (`augmentation: every-patch`).

A patch is read with a margin around it, moved to the device as it is stored, and deformed there, so that a GPU does it
where there is one. Control points on a coarse grid over the whole head are displaced at random, and cubic splines
interpolate between them, as for fixed copies. The displacement of the anchor is taken off: a lesion that a patch was
drawn for stays in it.

Shapes: B batch, C channel, I J K voxels of a patch, A axes of displacement (3), P Q R control points.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import grid_sample

from lesionlab.model import devices
from lesionlab.training.augment import SLAB_VOXELS, spline_weights
from storage_schemas.runs import Elastic

REACH_SD = 6
"""Standard deviations of the displacement that the margin has. Two points lie √2 SD apart, so one in 50,000 control
points is displaced further; there the border of the margin is repeated."""


@dataclass(frozen=True, eq=False)
class Warp:
    """The displacement of one patch, in voxels."""

    control_APQR: NDArray[np.float32]
    weights: tuple[NDArray[np.float32], ...]
    """For each axis the weight of each control point at each voxel of the patch: (I, P), (J, Q), (K, R)."""
    anchor_A: NDArray[np.float32]
    """Displacement at the anchor."""
    reach: int
    """Voxels around the patch that are read."""


def draw_warp(
    elastic: Elastic,
    spacing_mm: float,
    shape: tuple[int, ...],
    start: NDArray[np.int64],
    anchor: NDArray[np.int64],
    patch_voxels: int,
    rng: np.random.Generator,
) -> Warp:
    """Draw the displacement of a patch that starts at voxel `start` of a volume of this shape; voxel `anchor` stays."""
    of_axis = [spline_weights(max(n, patch_voxels), spacing_mm, elastic.control_spacing_mm) for n in shape]
    control_APQR = rng.normal(0, elastic.sd_mm / spacing_mm, size=(3, *(matrix.shape[1] for matrix in of_axis)))
    at_anchor = [matrix[voxel] for matrix, voxel in zip(of_axis, anchor, strict=True)]
    return Warp(
        control_APQR.astype(np.float32),
        tuple(
            matrix[first : first + patch_voxels].astype(np.float32)
            for matrix, first in zip(of_axis, start, strict=True)
        ),
        np.einsum("apqr,p,q,r->a", control_APQR, *at_anchor).astype(np.float32),
        ceil(REACH_SD * elastic.sd_mm / spacing_mm),
    )


def deformed(image_BCIJK: Tensor, label_BIJK: Tensor, warps: Sequence[Warp]) -> tuple[Tensor, Tensor]:
    """The patches of a batch, deformed: image float32 (B, C, I, J, K), label of the given type (B, I, J, K).

    What is given has the margin around each patch. The image is interpolated linearly and the label by nearest
    neighbour, as in fixed copies.
    """
    edge, image_BCIJK = len(warps[0].weights[0]), image_BCIJK.float()
    moved_BCIJK = image_BCIJK.new_empty(*image_BCIJK.shape[:2], edge, edge, edge)
    moved_BIJK = label_BIJK.new_empty(len(warps), edge, edge, edge)
    products = [_product(warp, image_BCIJK.device) for warp in warps]
    planes = edge if devices.on_gpu(image_BCIJK.device) else SLAB_VOXELS
    for first in range(0, edge, planes):
        slab = slice(first, first + planes)
        places_ABIJK = torch.stack([rows_AIJR[:, slab] @ columns_RK for rows_AIJR, columns_RK in products], dim=1)
        from_BIJKA = places_ABIJK.permute(1, 2, 3, 4, 0)
        moved_BCIJK[:, :, slab] = grid_sample(image_BCIJK, from_BIJKA, "bilinear", "border", align_corners=True)
        moved_BIJK[:, slab] = _nearest(label_BIJK, places_ABIJK)
    return moved_BCIJK, moved_BIJK


def _nearest(label_BIJK: Tensor, places_ABIJK: Tensor) -> Tensor:
    """The label at the voxel nearest to each place; torch's own sampling takes four times as long on a CPU."""
    edge = label_BIJK.shape[-1]
    k_BIJK, j_BIJK, i_BIJK = ((places_ABIJK + 1) * ((edge - 1) / 2)).round_().clamp_(0, edge - 1).int()
    patch_B111 = torch.arange(len(label_BIJK), dtype=torch.int64, device=label_BIJK.device)[:, None, None, None]
    within_BIJK = (i_BIJK * edge + j_BIJK) * edge + k_BIJK
    return torch.take(label_BIJK, patch_B111 * edge**3 + within_BIJK)


def _product(warp: Warp, device: torch.device) -> tuple[Tensor, Tensor]:
    """Two matrices, (A, I, J, R) and (R, K), whose product is the place that each voxel is sampled from.

    Axes are in torch's order K, J, I and in its units: the borders of what is given are at -1 and 1. Two more columns
    beside the control points add the voxel's own place: the start of its row, and the step along it.
    """
    weights_IP, weights_JQ, weights_KR = (torch.from_numpy(matrix).to(device) for matrix in warp.weights)
    control_APQR = torch.from_numpy(warp.control_APQR).to(device)
    edge = len(weights_IP)
    unit = 2 / (edge + 2 * warp.reach - 1)
    field_AIQR = (weights_IP @ control_APQR.flatten(2)).reshape(3, edge, *control_APQR.shape[2:])
    field_AIJR = weights_JQ @ field_AIQR
    along = torch.arange(edge, dtype=torch.float32, device=device)
    start_AIJ = (warp.reach - torch.from_numpy(warp.anchor_A).to(device))[:, None, None].repeat(1, edge, edge)
    start_AIJ[0] += along[:, None]
    start_AIJ[1] += along
    step_AIJ = torch.zeros_like(start_AIJ)
    step_AIJ[2] = unit
    rows_AIJR = torch.cat([field_AIJR * unit, start_AIJ[..., None] * unit - 1, step_AIJ[..., None]], dim=3)
    columns_KR = torch.cat([weights_KR, torch.ones_like(along)[:, None], along[:, None]], dim=1)
    return rows_AIJR.flip(0), columns_KR.T
