"""Shapes of lesions in; soft maps of them on the template grid out.

A lesion is described in template space and so is bent with the anatomy that carries it. X Y Z template voxel axes, 1 mm.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lesionlab.simulation.anatomy import Map, Template

Box = tuple[slice, slice, slice]


@dataclass(frozen=True, kw_only=True)
class Lesion:
    """What all lesions have; `seed` fixes the lesion's own roughness, so that it looks the same at every visit."""

    seed: int
    brightness: float
    """How much brighter than white matter it is on FLAIR, as a part of white matter's signal."""
    roughness: float
    """Standard deviation of its border about the plain shape, as a part of its radius."""
    enhancement: Literal["none", "solid", "ring"] = "none"
    oedema_mm: float = 0.0
    """Reach of the swelling around it, in white matter."""


@dataclass(frozen=True, kw_only=True)
class Ellipsoid(Lesion):
    """An ovoid: centre in template voxels, half axes in mm along the rows of `axes`."""

    centre: NDArray[np.float64]
    half_axes_mm: NDArray[np.float64]
    axes: NDArray[np.float64] = field(default_factory=lambda: np.eye(3))

    @property
    def radius_mm(self) -> float:
        return float(np.prod(self.half_axes_mm) ** (1 / 3))


@dataclass(frozen=True, kw_only=True)
class Sheet(Lesion):
    """Confluent white-matter change of one hemisphere: within reach of the ventricles, short of the cortex."""

    side: Literal[-1, 1]
    reach_mm: float
    sparing_mm: float
    """Width of the subcortical band that stays normal."""
    forward: float
    """-1 mostly occipital, 0 even, 1 mostly frontal."""


@dataclass(frozen=True)
class LesionMaps:
    """The lesions of one visit, each X × Y × Z; lesion n of the list has the id n + 1.

    `fraction` of each voxel that is abnormal; `excess` is fraction × brightness; `enhancing` and `fluid` (necrosis)
    are fractions; `touched` bounds all of it.
    """

    fraction: Map
    excess: Map
    enhancing: Map
    fluid: Map
    ids: NDArray[np.int16]
    touched: NDArray[np.bool_]


def paint(template: Template, lesions: Sequence[Lesion]) -> LesionMaps:
    """Soft maps of the lesions; where two overlap the later one gives way."""
    shape = template.grey.shape
    fraction, excess, enhancing, fluid = (np.zeros(shape, dtype=np.float32) for _ in range(4))
    maps = LesionMaps(fraction, excess, enhancing, fluid, np.zeros(shape, np.int16), np.zeros(shape, np.bool_))
    for number, lesion in enumerate(lesions, start=1):
        _paint_one(template, maps, lesion, number)
    return maps


def _paint_one(template: Template, maps: LesionMaps, lesion: Lesion, number: int) -> None:
    rng = np.random.default_rng(lesion.seed)
    box = _box(lesion, template)
    core_mm, radius_mm = _depth_mm(template, lesion, box)
    noise = ndimage.gaussian_filter(rng.standard_normal(core_mm.shape, dtype=np.float32), max(0.8, 0.3 * radius_mm))
    noise /= max(float(noise.std()), 1e-6)
    core_mm = core_mm + lesion.roughness * radius_mm * noise
    white = template.white[box]
    whole_mm = core_mm + lesion.oedema_mm * (1.5 * white - 0.4) if lesion.oedema_mm else core_mm
    softness_mm = 1.0 + 0.1 * min(radius_mm, 10.0)
    fraction = np.clip(0.5 + whole_mm / softness_mm, 0, 1) * (1 - maps.fraction[box])
    new = fraction > maps.fraction[box]
    maps.fraction[box] += fraction
    uneven = 1 + 0.12 * noise + 0.15 * np.clip(whole_mm / max(radius_mm, 1.0), 0, 1)
    maps.excess[box] += fraction * lesion.brightness * uneven
    maps.ids[box][new] = number
    maps.touched[box] |= fraction > 0
    if lesion.enhancement != "none":
        solid = np.clip(0.5 + core_mm, 0, 1)
        core = np.zeros_like(solid)
        if lesion.enhancement == "ring":
            rim_mm = 0.28 * radius_mm * (1 + 0.35 * noise)
            core = np.clip(0.5 + (core_mm - rim_mm) / 1.5, 0, 1)
        maps.enhancing[box] += (solid - np.minimum(solid, core)) * fraction
        maps.fluid[box] += np.minimum(solid, core) * fraction


def _box(lesion: Lesion, template: Template) -> Box:
    shape = template.grey.shape
    if isinstance(lesion, Sheet):
        middle = shape[0] // 2
        return (slice(0, middle) if lesion.side < 0 else slice(middle, shape[0]), slice(0, shape[1]), slice(40, 130))
    assert isinstance(lesion, Ellipsoid)
    reach = lesion.half_axes_mm.max() * (1.1 + 2 * lesion.roughness) + 1.4 * lesion.oedema_mm + 2
    low = np.clip(np.floor(lesion.centre - reach), 0, np.array(shape) - 1).astype(int)
    high = np.clip(np.ceil(lesion.centre + reach) + 1, low + 1, shape).astype(int)
    x, y, z = (slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    return x, y, z


def _depth_mm(template: Template, lesion: Lesion, box: Box) -> tuple[Map, float]:
    """Depth below the plain shape's surface, positive inside, and the radius that its roughness refers to."""
    if isinstance(lesion, Sheet):
        y = np.arange(box[1].start, box[1].stop)[None, :, None]
        reach_mm = lesion.reach_mm * (1 + 0.6 * lesion.forward * np.clip((y - 118) / 50, -1, 1))
        from_wall_mm = np.minimum(reach_mm - template.ventricle_mm[box], template.ventricle_mm[box] + 0.5)
        short_of_cortex_mm = template.cortex_mm[box] - lesion.sparing_mm
        in_white_mm = 8 * (template.white[box] - 0.6)
        x = np.arange(box[0].start, box[0].stop)[:, None, None]
        off_midline_mm = np.abs(x - template.grey.shape[0] // 2) - 3.0
        depth = np.minimum(np.minimum(from_wall_mm, short_of_cortex_mm), np.minimum(in_white_mm, off_midline_mm))
        return depth.astype(np.float32), 6.0
    assert isinstance(lesion, Ellipsoid)
    points = np.stack(np.meshgrid(*(np.arange(s.start, s.stop) for s in box), indexing="ij"), axis=-1)
    along = (points - lesion.centre) @ lesion.axes.T / lesion.half_axes_mm
    depth = (1 - np.linalg.norm(along, axis=-1)) * lesion.radius_mm
    return depth.astype(np.float32), lesion.radius_mm
