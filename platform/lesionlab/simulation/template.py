"""Read the average brain; build tissue maps, distance maps and a head around it, all in the template frame.

Source: the T1, grey- and white-matter maps of ICBM152 2009a (symmetric, 1 mm), which nilearn ships inside its wheel.
The T1 is skull-stripped, so bone, scalp and the large veins are built here around the outline of the brain.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib.resources import files

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lesionlab.simulation.frames import Floats
from lesionlab.simulation.vessels import plexus_mm, vein_surface_mm

ORIGIN_T_MM = np.array([-98.0, -134.0, -72.0], dtype=np.float32)
"""Template mm of the first voxel; the axes are R, A, S and the voxels 1 mm."""

_SHARPNESS = 2.8
_FISSURE_MM = 16.0
_PART = 1_000_000
_HALF = (slice(None, None, 2),) * 3


@dataclass(frozen=True)
class Map:
    """One scalar map of the template: uint8 codes with scale and offset."""

    codes: NDArray[np.uint8]
    spacing_mm: float
    scale: float
    offset: float = 0.0

    def at(self, points_T_mm: Floats) -> Floats:
        """Value at template points (3, …), the border value outside the map. Shape (…)."""
        points = points_T_mm.reshape(3, -1)
        values = np.empty(points.shape[1], dtype=np.float32)
        # In parts, because scipy makes a double-precision copy of all coordinates.
        for part in (slice(start, start + _PART) for start in range(0, values.size, _PART)):
            voxels = (points[:, part] - ORIGIN_T_MM[:, None]) / np.float32(self.spacing_mm)
            ndimage.map_coordinates(self.codes, voxels, order=1, mode="nearest", output=values[part])
        values *= self.scale
        values += self.offset
        return values.reshape(points_T_mm.shape[1:])


@dataclass(frozen=True)
class Template:
    """Maps of the average brain; those that only some scans need are computed on first access."""

    grey: Map
    white: Map
    csf: Map
    """Tissue fractions, 0–1."""
    detail: Map
    """Residual T1 signal after subtracting each tissue's mean, in units of white matter."""
    ventricle_mm: Map
    """Distance to the lateral ventricles."""
    cortex_mm: Map
    """Distance to the cortical ribbon."""
    outside_mm: Map
    """Signed distance to the outline of the brain, positive outside."""

    @cached_property
    def skin_mm(self) -> Map:
        """Depth below the skin, 0 outside the head; the skin is 12 mm from the brain, with a defaced face and neck."""
        outside_mm = self.outside_mm.codes * np.float32(self.outside_mm.scale) + np.float32(self.outside_mm.offset)
        x, y, z = _axes_T_mm(outside_mm.shape, 2.0)
        face = (x / 70) ** 2 + ((y + 10) / 92) ** 2 + ((z + 50) / 62) ** 2 < 1
        neck = (x / 58) ** 2 + ((y + 28) / 66) ** 2 < 1
        head = (outside_mm < 12) | (face & (z < -8)) | (neck & (z < -45))
        level = ndimage.gaussian_filter(head.astype(np.float32), 2.5, mode="nearest")
        return _distance_map(_smooth(_distance_mm(level < 0.5)))

    @cached_property
    def vein_mm(self) -> Map:
        """Signed distance to the wall of the nearest large vein, negative inside."""
        return self._near(vein_surface_mm, offset=-4.0)

    @cached_property
    def plexus_mm(self) -> Map:
        """Distance to the centre line of the choroid plexus."""
        return self._near(plexus_mm, offset=0.0)

    def _near(self, distance_mm: Callable[[Floats], Floats], offset: float) -> Map:
        shape = self.outside_mm.codes.shape
        grid = np.stack(np.broadcast_arrays(*_axes_T_mm(shape, 2.0)), axis=-1)
        return _distance_map(distance_mm(grid.reshape(-1, 3)).reshape(shape), offset, step=0.0625)


@lru_cache(maxsize=2)
def load_template(blur_mm: float) -> Template:
    """Read the maps; `blur_mm` (SD) low-pass filters them for sampling on a grid coarser than 1 mm."""
    t1, grey, white = (_read(kind) for kind in ("t1", "gm", "wm"))
    brain = t1 > 0
    grey, white = grey / np.float32(255), white / np.float32(255)
    csf: Floats = np.clip(brain - grey - white, 0, 1)
    ventricle_mm = _distance_mm(_lateral_ventricles(csf)[_HALF])
    _drop_grey_rim(grey, white, csf)
    means = [np.median(t1[tissue > 0.9]) for tissue in (grey, white, csf)]
    expected = means[0] * grey + means[1] * white + means[2] * csf
    detail = (t1 - expected) / means[1] * brain
    total = grey**_SHARPNESS + white**_SHARPNESS + csf**_SHARPNESS + np.float32(1e-6)
    grey, white, csf = (tissue**_SHARPNESS / total * brain for tissue in (grey, white, csf))
    cortex = (grey > 0.6)[_HALF] & ~_deep(grey.shape)[_HALF]
    # Closed over the fissures, so that skull and scalp run smoothly over them.
    filled = _distance_mm(_distance_mm(brain[_HALF]) > _FISSURE_MM) > _FISSURE_MM

    faint: Floats = ndimage.gaussian_filter(detail, max(blur_mm, 0.3))

    def fraction(values: Floats) -> Map:
        return Map(_codes(ndimage.gaussian_filter(values, blur_mm) if blur_mm else values, 1 / 255), 1.0, 1 / 255)

    return Template(
        grey=fraction(grey),
        white=fraction(white),
        csf=fraction(csf),
        detail=Map(_codes(faint + np.float32(0.5), 1 / 255), 1.0, 1 / 255, -0.5),
        ventricle_mm=_distance_map(ventricle_mm, step=0.25),
        cortex_mm=_distance_map(_distance_mm(cortex), step=0.25),
        outside_mm=_distance_map(_smooth(_distance_mm(filled) - _distance_mm(~filled)), offset=-24.0),
    )


def _read(kind: str) -> Floats:
    path = files("nilearn") / "datasets" / "data" / f"mni_icbm152_{kind}_tal_nlin_sym_09a_converted.nii.gz"
    return np.asarray(nib.Nifti1Image.from_filename(str(path)).dataobj, dtype=np.float32)


def _codes(values: Floats, step: float) -> NDArray[np.uint8]:
    return np.clip(np.round(values / step), 0, 255).astype(np.uint8)


def _distance_map(values_mm: Floats, offset: float = 0.0, step: float = 0.2) -> Map:
    return Map(_codes(values_mm - offset, step), 2.0, step, offset)


def _distance_mm(mask_2mm: NDArray[np.bool_]) -> Floats:
    """Distance to a mask on the 2 mm grid: twice as coarse as the template, smooth enough to interpolate."""
    distance: Floats = (2 * ndimage.distance_transform_edt(~mask_2mm)).astype(np.float32)
    return distance


def _smooth(values: Floats) -> Floats:
    smooth: Floats = ndimage.gaussian_filter(values, 1.0)
    return smooth


def _axes_T_mm(shape: tuple[int, ...], spacing_mm: float) -> tuple[Floats, Floats, Floats]:
    x, y, z = ((np.arange(n) * spacing_mm + o).astype(np.float32) for n, o in zip(shape, ORIGIN_T_MM, strict=True))
    return x[:, None, None], y[None, :, None], z[None, None, :]


def _lateral_ventricles(csf: Floats) -> NDArray[np.bool_]:
    """Largest CSF component in a box around the lateral ventricles, without third ventricle and cisterns."""
    x, y, z = _axes_T_mm(csf.shape, 1.0)
    box = (abs(x) < 38) & (y > -60) & (y < 45) & (z > -22) & (z < 36) & ~((abs(x) < 9) & (y < -24))
    labels, _ = ndimage.label((csf > 0.5) & box)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    largest: NDArray[np.bool_] = labels == sizes.argmax()
    return largest


def _drop_grey_rim(grey: Floats, white: Floats, csf: Floats) -> None:
    """Remove, in place, the thin rim of grey matter that the segmentation shows between white matter and ventricle.

    The rim is a partial-volume artefact. The caudate and the thalamus, thicker than 4 mm, stay.
    """
    x, y, z = _axes_T_mm(grey.shape, 1.0)
    # The box holds the ventricles and 6 mm around them.
    near = np.ix_(*(np.flatnonzero(a) for a in (abs(x.ravel()) < 44, abs(y.ravel() + 8) < 58, abs(z.ravel() - 7) < 35)))
    ventricle = ndimage.binary_dilation(_lateral_ventricles(csf)[near], iterations=5)
    thick = ndimage.binary_dilation(ndimage.binary_opening(grey[near] > 0.5, _ball(2)), _ball(1))
    seam = ventricle & ~thick
    rest = np.where(seam, white[near] + csf[near] + np.float32(1e-3), 1)
    white[near] /= rest
    csf[near] /= rest
    grey[near] *= ~seam


def _deep(shape: tuple[int, ...]) -> NDArray[np.bool_]:
    x, y, z = _axes_T_mm(shape, 1.0)
    box: NDArray[np.bool_] = (abs(x) < 34) & (y > -38) & (y < 28) & (z > -14) & (z < 24)
    return box


def _ball(radius: int) -> NDArray[np.bool_]:
    axis = np.arange(-radius, radius + 1)
    ball: NDArray[np.bool_] = (
        axis[:, None, None] ** 2 + axis[None, :, None] ** 2 + axis[None, None, :] ** 2 <= radius**2
    )
    return ball
