"""A z-scored head without lesions: a ball of homogeneous tissue with noise, in air, on an isotropic grid."""

from __future__ import annotations

from functools import cache

import numpy as np

SPACING_MM = 3.0
SHAPE = (40, 40, 40)
AFFINE = np.diag([SPACING_MM, SPACING_MM, SPACING_MM, 1.0])
AFFINE[:3, 3] = -SPACING_MM * 20


@cache
def phantom(seed: int) -> np.ndarray:
    """The image of one head, float32; tissue at 0.5 SD, its noise 0.05 SD, air at −2."""
    rng = np.random.default_rng(seed)
    distance = np.linalg.norm(np.indices(SHAPE) - 19.5, axis=0)
    tissue = 0.5 + 0.05 * rng.standard_normal(SHAPE)
    image = np.where(distance < 18.5, tissue, -2.0).astype(np.float32)
    image.flags.writeable = False
    return image
