"""Make predictions with known errors from a real mask. Needs only numpy and scipy, so other Pythons can run it."""

# i j k voxel axes of the mask

from collections.abc import Callable

import numpy as np
from scipy import ndimage

MARGIN_VOXELS = 4

PREDICTIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "moved by a voxel": lambda mask: np.roll(mask, 1, axis=0),
    "eroded": lambda mask: ndimage.binary_erosion(mask).astype(np.uint8),
    "grown together": lambda mask: ndimage.binary_dilation(mask, iterations=2).astype(np.uint8),
    "in pieces": lambda mask: mask * (np.arange(mask.shape[2]) % 3 > 0).astype(np.uint8),
    "of the other side": lambda mask: mask[::-1],
}


def cropped(mask_ijk: np.ndarray) -> np.ndarray:
    """The bounding box of the lesions, with a margin for the errors."""
    (box,) = ndimage.find_objects((mask_ijk > 0).astype(np.uint8))
    return np.pad(mask_ijk[box].astype(np.uint8), MARGIN_VOXELS)
