"""Draw a picture to check a registration by eye: both images in turn, in a checkerboard of three planes.

I J K voxels of the model grid, axes R A S; rows and columns of the picture.
"""

from __future__ import annotations

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

from lesionlab.imaging.intensity import HeadMask
from lesionlab.imaging.volume import Image

SQUARE_MM = 24.0
"""Edge of the squares: a few across a head, so that its outline and ventricles cross many borders between images."""
LEAST_PIXELS = 256
"""Coarse grids are magnified to at least this many pixels along the longest side of the head."""

Picture = NDArray[np.uint8]


def checkerboard_png(fixed_IJK: Image, moved_IJK: Image, head_IJK: HeadMask, spacing_mm: float) -> bytes:
    """A PNG of the axial, coronal and sagittal plane through the middle of the head, side by side.

    Squares show the fixed and the moved image in turn; edges that continue over a border agree. The same images give
    the same bytes.
    """
    places = np.argwhere(head_IJK)
    box = tuple(slice(low, high + 1) for low, high in zip(places.min(axis=0), places.max(axis=0), strict=True))
    middle = np.rint(places.mean(axis=0)).astype(int) - [side.start for side in box]
    fixed, moved = (_grey(image_IJK, head_IJK)[box] for image_IJK in (fixed_IJK, moved_IJK))
    squares = (np.indices(fixed.shape) // max(round(SQUARE_MM / spacing_mm), 1)).sum(axis=0) % 2
    mixed = np.where(squares == 0, fixed, moved)
    planes = [np.take(mixed, middle[axis], axis).T[::-1] for axis in (2, 1, 0)]
    zoom = max(-(-LEAST_PIXELS // max(mixed.shape)), 1)
    return png_bytes(_side_by_side([np.kron(plane, np.ones((zoom, zoom), np.uint8)) for plane in planes]))


def png_bytes(picture: Picture) -> bytes:
    """An 8-bit PNG: greyscale (rows, columns) or red, green, blue (rows, columns, 3)."""
    rows, columns = picture.shape[:2]
    colour_type = 2 if picture.ndim == 3 else 0
    lines = b"".join(b"\0" + line.tobytes() for line in np.ascontiguousarray(picture))
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", columns, rows, 8, colour_type, 0, 0, 0)),
        (b"IDAT", zlib.compress(lines, 6)),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


def _grey(image_IJK: Image, head_IJK: HeadMask) -> Picture:
    """The head's 1st to 99th percentile as 0 to 255; black without data."""
    inside = image_IJK[head_IJK & np.isfinite(image_IJK)]
    dark, bright = np.percentile(inside, (1, 99)) if inside.size else (0.0, 1.0)
    scaled = (np.nan_to_num(image_IJK, nan=dark) - dark) / max(float(bright - dark), 1e-6)
    return (np.clip(scaled, 0, 1) * 255).astype(np.uint8)


def _side_by_side(planes: list[Picture]) -> Picture:
    rows = max(plane.shape[0] for plane in planes)
    return np.concatenate([np.pad(plane, ((0, rows - plane.shape[0]), (0, 4))) for plane in planes], axis=1)
