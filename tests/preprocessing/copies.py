"""What may happen to a scan between two deliveries; each returns voxels i j k and the affine that belongs to them."""

from __future__ import annotations

from collections.abc import Callable

import nibabel as nib
import numpy as np

Scan = tuple[np.ndarray, np.ndarray]
Change = Callable[[np.ndarray, np.ndarray], Scan]


def flipped(voxels_ijk: np.ndarray, affine: np.ndarray) -> Scan:
    """Stored in the opposite order along the first axis; every voxel stays where it is in the world."""
    return _in_order(voxels_ijk, affine, np.array([[0, -1], [1, 1], [2, 1]]))


def permuted(voxels_ijk: np.ndarray, affine: np.ndarray) -> Scan:
    """Stored with the axes in another order; every voxel stays where it is in the world."""
    return _in_order(voxels_ijk, affine, np.array([[2, 1], [0, 1], [1, -1]]))


def _in_order(voxels_ijk: np.ndarray, affine: np.ndarray, order: np.ndarray) -> Scan:
    there = nib.orientations.apply_orientation(voxels_ijk, order)
    return there, affine @ nib.orientations.inv_ornt_aff(order, voxels_ijk.shape)


def mirrored(axis: int) -> Change:
    """The voxels of one axis in the opposite order, under the old affine."""
    return lambda voxels_ijk, affine: (np.flip(voxels_ijk, axis), affine)


def cropped(axis: int) -> Change:
    """Without the first voxel of one axis; the others stay where they are in the world."""

    def crop(voxels_ijk: np.ndarray, affine: np.ndarray) -> Scan:
        moved = affine.copy()
        moved[:3, 3] += affine[:3, axis]
        return np.delete(voxels_ijk, 0, axis), moved

    return crop


def rescaled(voxels_ijk: np.ndarray, affine: np.ndarray) -> Scan:
    return (voxels_ijk * 1.7 + 12).astype(np.float32), affine


def as_double(voxels_ijk: np.ndarray, affine: np.ndarray) -> Scan:
    return voxels_ijk.astype(np.float64), affine


def as_bytes(voxels_ijk: np.ndarray, affine: np.ndarray) -> Scan:
    """Eight bits; many intensities become equal."""
    return np.round(np.clip(voxels_ijk / np.percentile(voxels_ijk, 99.9), 0, 1) * 255).astype(np.uint8), affine


def one_voxel_changed(voxels_ijk: np.ndarray, affine: np.ndarray) -> Scan:
    """A voxel in the middle ten times as bright as the brightest."""
    changed_ijk = voxels_ijk.astype(np.float32)
    changed_ijk[tuple(size // 2 for size in voxels_ijk.shape)] = 10 * voxels_ijk.max()
    return changed_ijk, affine


def noisy(voxels_ijk: np.ndarray, affine: np.ndarray) -> Scan:
    """Noise with an SD of a tenth of that of the brightest third of the voxels."""
    bright = voxels_ijk[voxels_ijk > np.percentile(voxels_ijk, 67)]
    noise_ijk = np.random.default_rng(7).normal(0, bright.std() / 10, voxels_ijk.shape)
    return (voxels_ijk + noise_ijk).astype(np.float32), affine


SAME_IMAGE: dict[str, Change] = {
    "rescaled": rescaled,
    "another data type": as_double,
    "flipped storage": flipped,
    "permuted storage": permuted,
    "mirrored left to right": mirrored(0),
    "mirrored front to back": mirrored(1),
}
"""Certain: no voxel was lost and none was changed."""
LIKELY: dict[str, Change] = {
    "cropped at a side": cropped(0),
    "cropped at the back": cropped(1),
    "cropped by a slice": cropped(2),
    "one voxel changed": one_voxel_changed,
    "eight bits": as_bytes,
    "noise": noisy,
    "mirrored, with noise": lambda voxels_ijk, affine: noisy(np.flip(voxels_ijk, 0), affine),
}
"""Something was lost or changed."""
IN_PLACE = {"rescaled", "another data type", "one voxel changed", "eight bits", "noise", "mirrored, with noise"}
"""The grid stays as it was."""
