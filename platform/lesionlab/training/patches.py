"""Draw and cut patches with lesion (inclusive) and without (exclusive) from an augmented volume.

An inclusive patch is drawn in three steps: a random lesion (so that small lesions are drawn as often as large ones), a
random voxel of it, and a random patch that contains this voxel. An exclusive patch is drawn from all positions without
a lesion voxel, over the whole volume as in the paper, but not from air.

Shapes: C channel, I J K voxels of the volume, P patches, S positions where a patch may start, V lesion voxels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from lesionlab.imaging.lesions import label_lesions

Real = TypeVar("Real", bound=np.floating[Any])

MOST_PLACES = 4096
"""Exclusive positions kept per volume, drawn once; 30 epochs of 30 patches use 900 of them."""

AIR_SD = 0.1
"""A patch with a lower SD is air: normalised heads have an SD of 1, noise in air a few hundredths."""


@dataclass(frozen=True)
class Places:
    """The possible positions of patches in one volume.

    `lesions_V4` int32: voxel and lesion number (from 0) of each lesion voxel, sorted by lesion. `exclusive_S3` int32:
    first voxels of patches without lesion. `crowded`: the volume has no patch without lesion, so `exclusive_S3` holds
    the patches with the fewest lesion voxels.
    """

    lesions_V4: NDArray[np.int32]
    exclusive_S3: NDArray[np.int32]
    crowded: bool


@dataclass(frozen=True)
class Starts:
    """First voxels of the patches of one volume in one epoch, each array (P, 3).

    `lesion_P3` is the lesion voxel that each inclusive patch was drawn for.
    """

    inclusive_P3: NDArray[np.int64]
    exclusive_P3: NDArray[np.int64]
    lesion_P3: NDArray[np.int64]


def find_places(
    image_CIJK: NDArray[np.floating[Any]], label_IJK: NDArray[np.uint8], patch_voxels: int, rng: np.random.Generator
) -> Places:
    """Find everything that `draw_starts` needs; done once per volume, because it visits every voxel."""
    ids_IJK = label_lesions(label_IJK).ids_IJK
    voxels_V3 = np.argwhere(ids_IJK)
    numbers_V = ids_IJK[tuple(voxels_V3.T)] - 1
    order = np.argsort(numbers_V, kind="stable")
    lesions_V4 = np.column_stack([voxels_V3, numbers_V])[order].astype(np.int32)

    lesion_voxels = _patch_sums(label_IJK, patch_voxels)
    wanted = lesion_voxels == 0
    crowded = not wanted.any()
    if crowded:
        wanted = lesion_voxels == lesion_voxels.min()
    with_head = wanted & ~_air(image_CIJK, patch_voxels, lesion_voxels.shape)
    places_S3 = np.argwhere(with_head if with_head.any() else wanted).astype(np.int32)
    if len(places_S3) > MOST_PLACES:
        places_S3 = places_S3[np.sort(rng.choice(len(places_S3), MOST_PLACES, replace=False))]
    return Places(lesions_V4, places_S3, crowded)


def draw_starts(
    places: Places, shape: tuple[int, ...], patch_voxels: int, patches: int, rng: np.random.Generator
) -> Starts:
    """Draw the first voxels of `patches` patches: half with lesion, or none if the volume has no lesion."""
    inclusive = patches // 2 if len(places.lesions_V4) else 0
    ends = np.searchsorted(places.lesions_V4[:, 3], np.arange(places.lesions_V4[:, 3].max(initial=-1) + 2))
    lesions_P = rng.integers(len(ends) - 1, size=inclusive) if inclusive else np.zeros(0, dtype=np.int64)
    voxels_P3 = places.lesions_V4[rng.integers(ends[lesions_P], ends[lesions_P + 1])][:, :3]
    last = np.maximum(np.array(shape) - patch_voxels, 0)
    lowest_P3 = np.clip(voxels_P3 - patch_voxels + 1, 0, last)
    highest_P3 = np.clip(voxels_P3, 0, last)
    exclusive_P3 = places.exclusive_S3[rng.integers(len(places.exclusive_S3), size=patches - inclusive)]
    inclusive_P3 = rng.integers(lowest_P3, highest_P3, endpoint=True)
    return Starts(inclusive_P3, exclusive_P3.astype(np.int64), voxels_P3.astype(np.int64))


def cut_image(image_CIJK: NDArray[Real], start: NDArray[np.int64], patch_voxels: int) -> NDArray[Real]:
    """Cut an image patch (C, patch, patch, patch); where the volume does not reach its border is repeated."""
    box, outside = _box(start, patch_voxels, image_CIJK.shape[1:])
    found_CIJK = image_CIJK[:, *box]
    return np.pad(found_CIJK, [(0, 0), *outside], mode="edge") if np.any(outside) else found_CIJK


def cut_label(label_IJK: NDArray[np.uint8], start: NDArray[np.int64], patch_voxels: int) -> NDArray[np.uint8]:
    """Cut a label patch; where the volume does not reach it is padded with 0."""
    box, outside = _box(start, patch_voxels, label_IJK.shape)
    return np.pad(label_IJK[box], outside)


def _box(
    start: NDArray[np.int64], patch_voxels: int, shape: tuple[int, ...]
) -> tuple[tuple[slice, ...], list[tuple[int, int]]]:
    """What of a patch lies in a volume of this shape, and how many voxels lie before and behind it along each axis."""
    sides = [(int(first), int(first) + patch_voxels, n) for first, n in zip(start, shape, strict=True)]
    box = tuple(slice(max(first, 0), min(end, n)) for first, end, n in sides)
    return box, [(max(-first, 0), max(end - n, 0)) for first, end, n in sides]


def _patch_sums(values_IJK: NDArray[Any], patch_voxels: int) -> NDArray[Any]:
    """Sum over the patch at each possible start, by differences of cumulative sums along each axis."""
    sums = values_IJK.astype(np.float64 if values_IJK.dtype.kind == "f" else np.int32)
    for axis, n in enumerate(values_IJK.shape):
        running = np.cumsum(sums, axis=axis, dtype=sums.dtype)
        running = np.insert(running, 0, 0, axis=axis)
        edge = min(patch_voxels, n)
        sums = np.take(running, range(edge, n + 1), axis=axis) - np.take(running, range(n + 1 - edge), axis=axis)
    return sums


def _air(image_CIJK: NDArray[np.floating[Any]], patch_voxels: int, places: tuple[int, ...]) -> NDArray[np.bool_]:
    """Whether the patch at each position is air in every channel, judged by about 8 samples along each edge."""
    step = max(1, patch_voxels // 8)
    air = np.ones(places, dtype=np.bool_)
    nearest = np.ix_(*(np.arange(n) // step for n in places))
    for channel_IJK in image_CIJK:
        samples = channel_IJK[::step, ::step, ::step].astype(np.float64)
        count = _patch_sums(np.ones_like(samples), patch_voxels // step)
        mean = _patch_sums(samples, patch_voxels // step) / count
        variance = _patch_sums(samples**2, patch_voxels // step) / count - mean**2
        at = tuple(np.minimum(index, n - 1) for index, n in zip(nearest, variance.shape, strict=True))
        air &= variance[at] < AIR_SD**2
    return air
