"""Turn lesion probabilities into 8-bit levels, and levels back into masks and probabilities."""

# i j k voxels of the native grid

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lesionlab.imaging.lesions import Lesions
from lesionlab.imaging.volume import Image, Mask
from storage_schemas.probabilities import EDGES, level_at

Levels = NDArray[np.uint8]
"""Levels of the scale in `storage_schemas.probabilities`; 0: probability below its first edge."""

# float32, as probabilities are: a mask is `probability >= threshold` in float32.
_EDGES = np.array(EDGES, dtype=np.float32)
_LOWER = np.array([0.0, *EDGES])
_MIDDLE = np.array([0.0, *((low + high) / 2 for low, high in zip(EDGES, (*EDGES[1:], 1.0), strict=True))])


def levels_of(probability_ijk: Image) -> Levels:
    """The level of each voxel; `probability_ijk` is float32."""
    levels_ijk = np.zeros(probability_ijk.shape, dtype=np.uint8)
    inside_ijk = probability_ijk >= _EDGES[0]
    levels_ijk[inside_ijk] = np.searchsorted(_EDGES, probability_ijk[inside_ijk], side="right")
    return levels_ijk


def mask_at(levels_ijk: Levels, threshold: float) -> Mask:
    """The voxels whose probability is at least `threshold`, exactly. Raises ValueError if that is no edge."""
    return (levels_ijk >= level_at(threshold)).astype(np.uint8)


def middle_probability(levels: Levels) -> NDArray[np.float64]:
    """The middle of each level, as an estimate of the probability; 0 for level 0."""
    return np.asarray(_MIDDLE[levels])


def lowest_probability(levels: Levels) -> NDArray[np.float32]:
    """The lower edge of each level, as `peaks` gives it; 0 for level 0."""
    return np.asarray(_LOWER[levels], dtype=np.float32)


def peaks(lesions: Lesions, levels_ijk: Levels) -> list[float]:
    """The highest probability in each lesion, rounded down to the edge below; by lesion."""
    highest = np.zeros(lesions.count + 1, dtype=np.uint8)
    np.maximum.at(highest, lesions.ids_V, levels_ijk.ravel()[lesions.voxels_V])
    return [float(edge) for edge in _LOWER[highest[1:]]]
