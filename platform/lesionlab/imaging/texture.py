"""Measure the noise and the brightness of a z-scored image, to tell images of another kind apart."""

# I J K voxel axes

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def noise_sd(image_IJK: NDArray[np.floating]) -> float:
    """SD of the noise, from second differences along the last axis in voxels brighter than the head's mean (0).

    1.4826 × the median of |x₋ − 2x + x₊| / √6: edges, which are few, do not move a median (after Immerkær 1996).
    """
    image = np.asarray(image_IJK, dtype=np.float32)
    bent = image[..., 2:] - 2 * image[..., 1:-1] + image[..., :-2]
    inside = image[..., 1:-1] > 0
    return float(1.4826 * np.median(np.abs(bent[inside])) / np.sqrt(6)) if inside.any() else 0.0


def bright_level(image_IJK: NDArray[np.floating]) -> float:
    """The 99th percentile of the voxels brighter than the head's mean (0), in SDs of the head."""
    image = np.asarray(image_IJK, dtype=np.float32)
    inside = image[image > 0]
    return float(np.percentile(inside, 99)) if inside.size else 0.0
