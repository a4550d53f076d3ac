"""The average brain in; tissue maps, distances and a head around it out, all in the template frame.

Source: the T1, grey- and white-matter maps of ICBM152 2009a (symmetric, 1 mm), which nilearn carries inside its wheel.
The T1 is skull-stripped, so bone, scalp and the great veins are built here around the outline of the brain.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lesionlab.simulation.frames import Floats
from lesionlab.simulation.vessels import plexus_lines_T_mm, vein_lines_T_mm

ORIGIN_T_MM = np.array([-98.0, -134.0, -72.0], dtype=np.float32)
"""Template mm of the first voxel; the axes are R, A, S and the voxels 1 mm."""

_SHARPNESS = 2.2
_HALF = slice(None, None, 2)


@dataclass(frozen=True)
class Map:
    """One scalar map of the template: uint8 codes, and how to read them."""

    codes: NDArray[np.uint8]
    spacing_mm: float
    scale: float
    offset: float = 0.0

    def at(self, points_T_mm: Floats) -> Floats:
        """Value at template points (3, …); the border value outside. Shape (…)."""
        origin = ORIGIN_T_MM.reshape(3, *([1] * (points_T_mm.ndim - 1)))
        voxels = (points_T_mm - origin) / np.float32(self.spacing_mm)
        values = ndimage.map_coordinates(self.codes, voxels, order=1, mode="nearest", output=np.float32)
        values *= self.scale
        values += self.offset
        return values


@dataclass(frozen=True)
class Template:
    """Maps of the average brain.

    grey, white, csf: tissue fractions, 0–1. detail: T1 left over when each tissue has its mean, in units of white matter.
    ventricle_mm, cortex_mm: distance to the lateral ventricles, to the cortical ribbon.
    outside_mm: signed distance beyond the outline of the brain. skin_mm: depth beneath the skin.
    vein_mm, plexus_mm: distance to the centre line of the nearest large vein, of the choroid plexus.
    """

    grey: Map
    white: Map
    csf: Map
    detail: Map
    ventricle_mm: Map
    cortex_mm: Map
    outside_mm: Map
    skin_mm: Map
    vein_mm: Map
    plexus_mm: Map


@lru_cache(maxsize=2)
def load_template(blur_mm: float) -> Template:
    """Read the maps; `blur_mm` (SD) prepares them for being sampled on a grid coarser than 1 mm."""
    t1, grey, white = (_read(kind) for kind in ("t1", "gm", "wm"))
    brain = t1 > 0
    grey, white = grey / 255, white / 255
    csf = np.clip(brain - grey - white, 0, 1)
    ventricles = _lateral_ventricles(csf)
    ventricle_mm = _distance_mm(ventricles)

    _drop_grey_rim(grey, white, csf, np.repeat(np.repeat(np.repeat(ventricle_mm, 2, 0), 2, 1), 2, 2))
    total = grey**_SHARPNESS + white**_SHARPNESS + csf**_SHARPNESS + 1e-6
    soft = (grey, white, csf)
    grey, white, csf = (tissue**_SHARPNESS / total * brain for tissue in soft)
    inner_white = float(np.median(t1[white > 0.98]))
    means = [float(np.median(t1[tissue > 0.9])) for tissue in (grey, white, csf)]
    detail = (t1 - sum(m * f for m, f in zip(means, soft, strict=True))) / inner_white * brain

    outline = ndimage.binary_closing(np.pad(brain[_HALF, _HALF, _HALF], 12), _ball(8))[12:-12, 12:-12, 12:-12]
    outside_mm = _distance_mm(outline, halved=True) - _distance_mm(~outline, halved=True)
    head = _head(outside_mm)

    def fraction(values: Floats) -> Map:
        return Map(_codes(ndimage.gaussian_filter(values, blur_mm) if blur_mm else values, 1 / 255), 1.0, 1 / 255)

    def distance(values_mm: Floats, offset: float = 0.0) -> Map:
        return Map(_codes(values_mm - offset, 0.25), 2.0, 0.25, offset)

    return Template(
        grey=fraction(grey),
        white=fraction(white),
        csf=fraction(csf),
        detail=Map(_codes(ndimage.gaussian_filter(detail, max(blur_mm, 0.3)) + 0.5, 1 / 255), 1.0, 1 / 255, -0.5),
        ventricle_mm=distance(ventricle_mm),
        cortex_mm=distance(_distance_mm((grey > 0.6) & ~_deep(grey))),
        outside_mm=distance(outside_mm, offset=-25.0),
        skin_mm=distance(_distance_mm(~head, halved=True)),
        vein_mm=distance(_distance_mm(_draw(vein_lines_T_mm(), outline.shape), halved=True)),
        plexus_mm=distance(_distance_mm(_draw(plexus_lines_T_mm(), outline.shape), halved=True)),
    )


def _read(kind: str) -> Floats:
    path = files("nilearn") / "datasets" / "data" / f"mni_icbm152_{kind}_tal_nlin_sym_09a_converted.nii.gz"
    return np.asarray(nib.load(str(path)).dataobj, dtype=np.float32)


def _codes(values: Floats, step: float) -> NDArray[np.uint8]:
    return np.clip(np.round(values / step), 0, 255).astype(np.uint8)


def _distance_mm(mask: NDArray[np.bool_], *, halved: bool = False) -> Floats:
    """Distance to `mask` on a 2 mm grid: twice as coarse as the template, smooth enough to be interpolated."""
    coarse = mask if halved else mask[_HALF, _HALF, _HALF]
    return (2 * ndimage.distance_transform_edt(~coarse)).astype(np.float32)


def _grid_T_mm(shape: tuple[int, ...], spacing_mm: float) -> tuple[Floats, Floats, Floats]:
    x, y, z = ((np.arange(n) * spacing_mm + o).astype(np.float32) for n, o in zip(shape, ORIGIN_T_MM, strict=True))
    return x[:, None, None], y[None, :, None], z[None, None, :]


def _lateral_ventricles(csf: Floats) -> NDArray[np.bool_]:
    """The largest connected fluid space in a box around the lateral ventricles, third ventricle and cisterns left out."""
    x, y, z = _grid_T_mm(csf.shape, 1.0)
    box = (abs(x) < 38) & (y > -60) & (y < 45) & (z > -22) & (z < 36) & ~((abs(x) < 9) & (y < -24))
    labels, _ = ndimage.label((csf > 0.5) & box)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return labels == sizes.argmax()  # type: ignore[no-any-return]


def _drop_grey_rim(grey: Floats, white: Floats, csf: Floats, ventricle_mm: Floats) -> None:
    """Take away the thin grey seam that the segmentation shows between white matter and ventricle; in place.

    It is partial volume of bright and dark. The caudate and the thalamus, thicker than 4 mm, stay.
    """
    near = ventricle_mm[tuple(slice(n) for n in grey.shape)] < 6
    thick = ndimage.binary_dilation(ndimage.binary_opening(grey > 0.5, _ball(2)), _ball(1))
    seam = near & ~thick
    rest = np.where(seam, white + csf + 1e-3, 1)
    white[seam] = (white / rest)[seam]
    csf[seam] = (csf / rest)[seam]
    grey[seam] = 0


def _deep(grey: Floats) -> NDArray[np.bool_]:
    x, y, z = _grid_T_mm(grey.shape, 1.0)
    return (abs(x) < 34) & (y > -38) & (y < 28) & (z > -14) & (z < 24) & (grey > 0.3)  # type: ignore[no-any-return]


def _head(outside_mm: Floats) -> NDArray[np.bool_]:
    """Everything within the skin: 15 mm around the brain, and a defaced neck and lower face below it."""
    x, y, z = _grid_T_mm(outside_mm.shape, 2.0)
    face = (x / 70) ** 2 + ((y + 10) / 92) ** 2 + ((z + 50) / 62) ** 2 < 1
    neck = (x / 58) ** 2 + ((y + 28) / 66) ** 2 < 1
    around = (outside_mm < 15) | (face & (z < -8)) | (neck & (z < -45))
    return ndimage.gaussian_filter(around.astype(np.float32), 2.5, mode="nearest") > 0.5  # type: ignore[no-any-return]


def _draw(lines_T_mm: list[Floats], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    drawn = np.zeros(shape, dtype=bool)
    for line in lines_T_mm:
        voxels = np.round((line - ORIGIN_T_MM) / 2).astype(int)
        inside = ((voxels >= 0) & (voxels < shape)).all(axis=1)
        drawn[tuple(voxels[inside].T)] = True
    return drawn


def _ball(radius: int) -> NDArray[np.bool_]:
    axis = np.arange(-radius, radius + 1)
    return axis[:, None, None] ** 2 + axis[None, :, None] ** 2 + axis[None, None, :] ** 2 <= radius**2  # type: ignore[no-any-return]
