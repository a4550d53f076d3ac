"""One augmented volume in; where to cut patches that contain lesion and patches that do not, and the patches, out.

Inclusive patches: a random lesion of the volume (so that small ones are not starved by large ones), a random voxel of
it, a random patch around that voxel. Exclusive patches: at random among the places without any lesion voxel, over the
whole volume as in the paper, except where there is only air.

Shapes: C channel, I J K voxels of the volume, P patches, S places where a patch may start, V lesion voxels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lesionlab.imaging.lesions import label_lesions
from lesionlab.model.windows import pad_to_patch

MOST_PLACES = 4096
"""Exclusive places that are kept of a volume, drawn once; 30 epochs of 30 patches use 900 of them."""

AIR_SD = 0.1
"""A patch that varies less than this is air: the head itself has an SD of 1, the noise of air a few hundredths."""


@dataclass(frozen=True)
class Places:
    """Where the patches of one volume may lie.

    `lesions_V4` int32: voxel and lesion number (from 0) of each lesion voxel, sorted by lesion. `exclusive_S3` int32:
    first voxels of patches without lesion. `crowded`: the volume has no such patch, so `exclusive_S3` holds the places
    with the fewest lesion voxels instead.
    """

    lesions_V4: NDArray[np.int32]
    exclusive_S3: NDArray[np.int32]
    crowded: bool


@dataclass(frozen=True)
class Starts:
    """First voxels of the patches of one volume in one epoch, (P, 3) each."""

    inclusive_P3: NDArray[np.int64]
    exclusive_P3: NDArray[np.int64]


def find_places(
    image_CIJK: NDArray[np.floating[Any]], label_IJK: NDArray[np.uint8], patch_voxels: int, rng: np.random.Generator
) -> Places:
    """All that `draw_starts` must know of a volume; costs a look at every voxel, so it is done once."""
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
    """Where `patches` patches start: half with lesion, half without; a volume without lesion gives all without."""
    inclusive = patches // 2 if len(places.lesions_V4) else 0
    ends = np.searchsorted(places.lesions_V4[:, 3], np.arange(places.lesions_V4[:, 3].max(initial=-1) + 2))
    lesions_P = rng.integers(len(ends) - 1, size=inclusive) if inclusive else np.zeros(0, dtype=np.int64)
    voxels_P3 = places.lesions_V4[rng.integers(ends[lesions_P], ends[lesions_P + 1])][:, :3]
    last = np.maximum(np.array(shape) - patch_voxels, 0)
    lowest_P3 = np.clip(voxels_P3 - patch_voxels + 1, 0, last)
    highest_P3 = np.clip(voxels_P3, 0, last)
    exclusive_P3 = places.exclusive_S3[rng.integers(len(places.exclusive_S3), size=patches - inclusive)]
    return Starts(rng.integers(lowest_P3, highest_P3, endpoint=True), exclusive_P3.astype(np.int64))


def cut_image(
    image_CIJK: NDArray[np.floating[Any]], start: NDArray[np.int64], patch_voxels: int
) -> NDArray[np.float32]:
    """The patch of the image, float32 (C, patch, patch, patch); a volume smaller than the patch repeats its border."""
    return pad_to_patch(image_CIJK[:, *_box(start, patch_voxels)].astype(np.float32), patch_voxels)


def cut_label(label_IJK: NDArray[np.uint8], start: NDArray[np.int64], patch_voxels: int) -> NDArray[np.uint8]:
    """The patch of the label; a volume smaller than the patch is grown without lesion."""
    label = label_IJK[_box(start, patch_voxels)]
    return np.pad(label, [(0, patch_voxels - n) for n in label.shape])


def _box(start: NDArray[np.int64], patch_voxels: int) -> tuple[slice, ...]:
    return tuple(slice(int(first), int(first) + patch_voxels) for first in start)


def _patch_sums(values_IJK: NDArray[Any], patch_voxels: int) -> NDArray[Any]:
    """Sum over the patch at each place where one may start: differences of running sums, axis by axis."""
    sums = values_IJK.astype(np.float64 if values_IJK.dtype.kind == "f" else np.int32)
    for axis, n in enumerate(values_IJK.shape):
        running = np.cumsum(sums, axis=axis, dtype=sums.dtype)
        running = np.insert(running, 0, 0, axis=axis)
        edge = min(patch_voxels, n)
        sums = np.take(running, range(edge, n + 1), axis=axis) - np.take(running, range(n + 1 - edge), axis=axis)
    return sums


def _air(image_CIJK: NDArray[np.floating[Any]], patch_voxels: int, places: tuple[int, ...]) -> NDArray[np.bool_]:
    """Whether the patch that starts at each place shows nothing in any channel, by about 8 samples along each edge."""
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
