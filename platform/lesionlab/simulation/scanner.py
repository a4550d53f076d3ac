"""Turn a noiseless signal into the voxel values that a scanner would write.

Array axes: i j k the finer grid, I J K the written grid.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lesionlab.simulation.frames import Floats, View, block_mean, smooth_noise
from lesionlab.simulation.sites import Site

_BIAS_SD = 0.07
_TEXTURE_SD = 0.025
"""Tissue texture that averaging removed from the template, as a fraction of the signal."""


def acquire(
    signal_ijk: Floats, view: View, factors: tuple[int, int, int], site: Site, rng: np.random.Generator
) -> NDArray[np.int16]:
    """Apply receive-field bias, partial-volume averaging, tissue texture and Rician noise; result in scanner units.

    Noise falls with the square root of the voxel volume, but not below half of the site's noise at 1 mm³.
    """
    bias = np.exp(_BIAS_SD * view.field(smooth_noise(rng, 35.0)))
    clean = block_mean(signal_ijk * bias, factors)
    spacing = view.grid.spacing_mm * factors
    texture = ndimage.gaussian_filter(_normal(rng, clean.shape), 1.1 / spacing)
    clean = clean * (1 + _TEXTURE_SD * texture / texture.std())
    sigma = site.noise * max(0.5, float(np.prod(spacing)) ** -0.5)
    noisy = np.hypot(clean + sigma * _normal(rng, clean.shape), sigma * _normal(rng, clean.shape))
    if site.skull_stripped:
        noisy = noisy * (clean > 0)
    written: NDArray[np.int16] = np.clip(np.round(noisy * site.brightness), 0, 32767).astype(np.int16)
    return written


def _normal(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    return rng.standard_normal(shape, dtype=np.float32)
