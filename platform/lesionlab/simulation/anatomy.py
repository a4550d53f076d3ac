"""The ICBM152 2009a template in; tissue maps, distances to its borders and named regions, all on its 1 mm grid, out.

The maps are those that nilearn ships in its wheel (Fonov et al. 2009 and 2011). Template space is MNI152, RAS+, mm.
X Y Z voxel axes of the template, 1 mm each.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib.resources import as_file, files

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Map = NDArray[np.float32]
Where = NDArray[np.bool_]

ORIGIN_MM = np.array([-98.0, -134.0, -72.0])
"""Template mm of voxel (0, 0, 0)."""
T1_CSF, T1_GREY, T1_WHITE = 68.0, 166.0, 223.0
"""Means of the template T1 where one tissue map is over 0.9 (measured on the shipped files)."""


@dataclass(frozen=True)
class Template:
    """Tissue maps of the average brain, each X × Y × Z.

    `grey` and `white` are fractions; `texture` is the part of the T1 that the fractions do not explain, as a part of
    the grey to white difference; `depth_mm` is the signed distance to the brain's envelope, positive outside.
    """

    grey: Map
    white: Map
    texture: Map
    brain: Where
    depth_mm: Map

    @cached_property
    def ventricle_mm(self) -> Map:
        """Signed distance to the lateral ventricles, positive outside."""
        return _signed_distance_mm(_lateral_ventricles(self))

    @cached_property
    def cortex_mm(self) -> Map:
        """Distance from the cortical ribbon: grey matter near the brain's envelope or in a fold."""
        folds = self.brain & (self.grey > 0.5) & (self.ventricle_mm > 16)
        return ndimage.distance_transform_edt(~folds).astype(np.float32)

    @cached_property
    def rim(self) -> Map:
        """1 at the ventricles' wall, fading over 2 mm; full at the tips of the horns (caps), weaker along the bodies."""
        _, y, _ = _template_mm(self.brain.shape)
        caps = 0.35 + 0.65 * ((y > 20) | (y < -42))
        return (caps * np.exp(-np.maximum(self.ventricle_mm, 0) / 2)).astype(np.float32)

    @cached_property
    def vessels(self) -> Map:
        """How much of a voxel takes up gadolinium in health: sinuses and deep veins, choroid plexus, dura and its folds."""
        x, y, z = _template_mm(self.brain.shape)
        depth_mm, wall_mm = self.depth_mm, self.ventricle_mm
        tentorium_mm = z - (-14 + 0.25 * (y + 40) + 0.012 * x**2 * (y < -30) - 4)
        fluid = self.brain & (self.grey + self.white < 0.75)
        sagittal = (abs(x) < 3.5) & (depth_mm > -3) & (depth_mm < 2) & (z > -10) & (y < 50)
        transverse = (abs(tentorium_mm) < 3) & (depth_mm > -3) & (depth_mm < 2.5) & (y < -48)
        straight = (abs(x) < 1.6) & (abs(z - 4 - 0.3 * (y + 40)) < 1.6) & (y < -38) & (y > -85)
        internal_cerebral = (abs(abs(x) - 2) < 1.2) & (abs(z - 12 - 0.15 * (y + 20)) < 1.2) & (y < 0) & (y > -38)
        plexus = (wall_mm < 0) & (abs(y + 38) < 9) & (abs(abs(x) - 20) < 4)
        dura = (depth_mm > 0.5) & (depth_mm < 2.0)
        falx = (abs(x) < 0.6) & fluid & (z > 15) & (depth_mm > -45)
        tent = (abs(tentorium_mm) < 0.8) & fluid & (y < -40)
        veins = 1.0 * (sagittal | transverse | straight | internal_cerebral)
        uptake = np.maximum(np.maximum(veins, 0.7 * plexus), 0.45 * (dura | falx | tent))
        return ndimage.gaussian_filter(uptake.astype(np.float32), 0.5)

    @cached_property
    def infratentorial(self) -> Where:
        """Brain stem and cerebellum: below a plane through the tentorium, laterally no further than the cerebellum."""
        x, y, z = _template_mm(self.brain.shape)
        cerebellum = (y < -38) & (z < -14 + 0.25 * (y + 40)) & (abs(x) < 55)
        stem = (y >= -38) & (y < -12) & (z < -12) & (abs(x) < 16)
        return np.asarray(self.brain & (cerebellum | stem))


@lru_cache(maxsize=1)
def load_template() -> Template:
    """The template, read once per process."""
    t1, grey, white = (_read(name) for name in ("t1", "gm", "wm"))
    grey, white = grey / 255, white / 255
    brain = t1 > 0
    csf = np.clip(1 - grey - white, 0, 1)
    explained = T1_CSF * csf + T1_GREY * grey + T1_WHITE * white
    texture = np.where(brain & (csf < 0.3), (t1 - explained) / (T1_WHITE - T1_GREY), 0).astype(np.float32)
    envelope = ndimage.binary_closing(np.pad(brain[::2, ::2, ::2], 12), iterations=8)[12:-12, 12:-12, 12:-12]
    depth_mm = ndimage.zoom(2 * _signed_distance_mm(envelope), 2, order=1, grid_mode=True, mode="nearest")
    x, y, z = brain.shape
    return Template(grey, white, texture, brain, np.ascontiguousarray(depth_mm[:x, :y, :z]))


def _read(name: str) -> Map:
    shipped = files("nilearn.datasets") / "data" / f"mni_icbm152_{name}_tal_nlin_sym_09a_converted.nii.gz"
    with as_file(shipped) as path:
        return np.asanyarray(nib.load(path).dataobj).astype(np.float32)


def _signed_distance_mm(inside: Where) -> Map:
    outward = ndimage.distance_transform_edt(~inside) - ndimage.distance_transform_edt(inside)
    return outward.astype(np.float32)


def _lateral_ventricles(template: Template) -> Where:
    """The fluid-filled component that fills most of the box in which the lateral ventricles of the template lie."""
    fluid = template.brain & (template.grey + template.white < 0.5) & (template.depth_mm < -18)
    ids, _ = ndimage.label(fluid)
    x, y, z = _template_mm(fluid.shape)
    box = (abs(x) < 35) & (y > -60) & (y < 32) & (z > 4) & (z < 28)
    votes = np.bincount(ids[box & fluid])
    return np.asarray(ids == votes.argmax())


def _template_mm(shape: tuple[int, ...]) -> tuple[NDArray[np.float64], ...]:
    """Template mm along each axis, shaped to broadcast over X × Y × Z."""
    return tuple(axis + ORIGIN_MM[n] for n, axis in enumerate(np.ogrid[tuple(slice(size) for size in shape)]))
