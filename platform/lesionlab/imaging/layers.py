"""Draw a picture to check a segmentation by eye: axial layers through the whole head with outlined lesions.

I J K voxels of the model grid, axes R A S; rows and columns as displayed in radiological convention, the patient's
right on the left and anterior up.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lesionlab.imaging.checkerboard import png_bytes
from lesionlab.imaging.volume import Image

COLUMNS, ROWS = 6, 3
LEAST_PIXELS = 160
"""Coarse grids are magnified until a layer has at least this many pixels along its longest side."""
FEWEST_ZOOM = 2
"""Any grid is magnified by this at least, so that the outline of a small lesion leaves its inside free."""
OUTLINE = (255, 60, 90)


def layers_png(image_IJK: Image, mask_IJK: NDArray[Any]) -> bytes:
    """A PNG of axial layers: the head is divided into equal slabs, each shown by its layer with most lesion voxels.

    The same arrays give the same bytes.
    """
    image_IJK = image_IJK.astype(np.float32)
    box = _bright_box(image_IJK, mask_IJK)
    image, mask = image_IJK[box], mask_IJK[box] > 0
    dark, bright = np.percentile(image, (1, 99.7))
    grey = (np.clip((image - dark) / max(float(bright - dark), 1e-6), 0, 1) * 255).astype(np.uint8)
    zoom = max(-(-LEAST_PIXELS // max(image.shape[:2])), FEWEST_ZOOM)
    edges = np.linspace(0, image.shape[2], COLUMNS * ROWS + 1).astype(int)
    shown = [_fullest(mask, low, high) for low, high in pairwise(edges) if high > low]
    panels = [_panel(grey[:, :, layer], mask[:, :, layer], zoom) for layer in shown]
    panels += [np.zeros_like(panels[0])] * (-len(panels) % COLUMNS)
    rows = [np.concatenate(panels[first : first + COLUMNS], axis=1) for first in range(0, len(panels), COLUMNS)]
    return png_bytes(np.concatenate(rows))


def _bright_box(image_IJK: Image, mask_IJK: NDArray[Any]) -> tuple[slice, ...]:
    """Bounding box of head and lesions; the whole volume if both are empty."""
    air = float(np.median(np.concatenate([image_IJK[[0, -1]].ravel(), image_IJK[:, [0, -1]].ravel()])))
    head_IJK = (image_IJK > air + 0.1 * (float(np.percentile(image_IJK, 99.5)) - air)) | (mask_IJK > 0)
    found = ndimage.find_objects(head_IJK.astype(np.uint8))
    return found[0] if found else tuple(slice(0, n) for n in image_IJK.shape)


def _fullest(mask_IJK: NDArray[np.bool_], low: int, high: int) -> int:
    """The layer of a slab with most lesion voxels; the middle one without lesions."""
    counts = mask_IJK[:, :, low:high].sum(axis=(0, 1))
    return int(low + counts.argmax()) if counts.any() else (low + high - 1) // 2


def _panel(grey_IJ: NDArray[np.uint8], mask_IJ: NDArray[np.bool_], zoom: int) -> NDArray[np.uint8]:
    """One layer as displayed, rows × columns × 3, with the outline drawn inside the lesions' edges."""
    square = np.ones((zoom, zoom), np.uint8)
    displayed = np.kron(grey_IJ[::-1, ::-1].T, square)
    lesion = np.kron(mask_IJ[::-1, ::-1].T.astype(np.uint8), square).astype(bool)
    outline = lesion & ~ndimage.binary_erosion(lesion)
    picture = np.repeat(displayed[:, :, np.newaxis], 3, axis=2)
    picture[outline] = OUTLINE
    return picture
