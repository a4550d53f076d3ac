"""Draw a small slice through a lesion with the outlines of reference and prediction, as an inline SVG.

The image is an 8-bit greyscale PNG of native voxels; outlines are paths along voxel edges.
"""

from __future__ import annotations

from base64 import b64encode
from functools import cached_property
from io import BytesIO
from itertools import pairwise

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image

from lesionlab.analysis.figures.planes import Outline, Picture, Plane, layer_through, plane_at
from lesionlab.analysis.figures.slices import ShownVolume

EDGE_MM = 56.0
"""Of the square that is shown: enough to recognise where in the head the lesion is."""

_SVG = Markup(
    '<svg class="cut" viewBox="0 0 {width:.4g} {height:.4g}" role="img" aria-label="{label}">'
    '<g transform="scale({column:.4g},{row:.4g})">'
    '<image width="{columns}" height="{rows}" preserveAspectRatio="none" href="data:image/png;base64,{png}"/>'
    '<path class="casing" d="{prediction}{reference}"/>'
    '<path class="prediction" d="{prediction}"/><path class="reference" d="{reference}"/></g></svg>'
)


class Thumbnails:
    """Slices of one study; each layer is cut out of the volume once."""

    def __init__(self, volume: ShownVolume) -> None:
        self._volume = volume
        self._layers: dict[int, tuple[Plane, NDArray[np.uint8]]] = {}

    def at(self, point_mm: tuple[float, float, float], prediction_ijk: NDArray[np.uint8], label: str) -> Markup:
        """Draw the surroundings of a world point in its axial layer, with both outlines."""
        plane, grey = self._layer(layer_through(self._volume.card.native_grid, point_mm))
        box = _box(plane, point_mm, grey.shape)
        shown = grey[box]
        row_mm, column_mm = plane.spacing_mm
        return _SVG.format(
            width=shown.shape[1] * column_mm,
            height=shown.shape[0] * row_mm,
            label=label,
            row=row_mm,
            column=column_mm,
            rows=shown.shape[0],
            columns=shown.shape[1],
            png=b64encode(_png(shown)).decode(),
            prediction=edges(plane.cut(prediction_ijk)[box]),
            reference=edges(plane.cut(self._volume.reference_ijk)[box]),
        )

    def _layer(self, index: int) -> tuple[Plane, NDArray[np.uint8]]:
        if index not in self._layers:
            plane = plane_at(self._volume.card.native_grid, index)
            self._layers[index] = plane, self._grey(plane.picture(self._volume.image_IJK, self._volume.card.model_grid))
        return self._layers[index]

    def _grey(self, picture: Picture) -> NDArray[np.uint8]:
        low, high = self._window
        grey: NDArray[np.uint8] = np.rint(np.clip((picture - low) / (high - low), 0, 1) * 255).astype(np.uint8)
        return grey

    @cached_property
    def _window(self) -> tuple[float, float]:
        """The grey window, the same in every slice of the study."""
        low, high = np.percentile(self._volume.image_IJK, [1, 99.7])
        return float(low), max(float(high), float(low) + 1e-6)


def edges(mask: Outline) -> str:
    """Return an SVG path along the edges of the mask, in voxels from the upper left corner."""
    inside = np.pad(mask, 1).astype(np.int8)
    across = np.diff(inside, axis=0)[:, 1:-1]
    down = np.diff(inside, axis=1)[1:-1]
    return "".join(f"M{start} {line}h{length}" for line, start, length in _runs(across)) + "".join(
        f"M{line} {start}v{length}" for line, start, length in _runs(down.T)
    )


def _runs(marks: NDArray[np.int8]) -> list[tuple[int, int, int]]:
    """Return line, start and length of every run of equal non-zero marks."""
    runs = []
    for line in np.flatnonzero(marks.any(axis=1)):
        row = np.concatenate([[0], marks[line], [0]])
        bounds = np.flatnonzero(np.diff(row))
        runs += [(int(line), int(start), int(stop - start)) for start, stop in pairwise(bounds) if row[start + 1]]
    return runs


def _box(plane: Plane, point_mm: tuple[float, float, float], shape: tuple[int, ...]) -> tuple[slice, slice]:
    """Return rows and columns of the square around the point, shifted into the layer if it crosses its border."""
    sides = []
    for middle, spacing, size in zip(plane.place_of(point_mm), plane.spacing_mm, shape, strict=True):
        length = min(size, round(EDGE_MM / spacing))
        first = int(np.clip(round(middle - length / 2 + 0.5), 0, size - length))
        sides.append(slice(first, first + length))
    return sides[0], sides[1]


def _png(grey: NDArray[np.uint8]) -> bytes:
    data = BytesIO()
    Image.fromarray(grey).save(data, "png", optimize=True)
    return data.getvalue()
