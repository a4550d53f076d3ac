"""Define the built-in imaging sites of a simulated cohort and the voxel grid of their scans.

Scanners, field strengths and sequence times are among those of Tables 1 and 2 of Wahlig et al. 2023, where most studies
are 3-D at 3 T.
Frames: W scanner mm.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Literal

import numpy as np

from lesionlab.errors import SpecError
from lesionlab.simulation.frames import Grid, rigid

Range = tuple[float, float]


@dataclass(frozen=True)
class Sequence:
    """Sequence times in seconds, each drawn from a range."""

    echo_s: Range
    repetition_s: Range
    inversion_s: Range | None = None


@dataclass(frozen=True)
class Site:
    """One scanner and its protocol."""

    name: str
    manufacturer: str
    model: str
    field_T: float
    acquisition: Literal["2D", "3D"]
    spacing_mm: tuple[float, float, float]
    """Voxel size along the voxel axes, in the order of `axcodes`."""
    axcodes: str
    """Direction of increasing voxel index, one letter per axis, as nibabel.aff2axcodes gives them."""
    tilt_degrees: float
    """Rotation of the grid about the left-right axis."""
    skull_stripped: bool
    noise: float
    """SD of the noise in each channel, in units of white matter, at 1 mm³."""
    grey_gain: float
    """FLAIR signal of grey matter relative to white matter."""
    fat: float
    """FLAIR signal of the scalp relative to white matter; low with fat saturation."""
    brightness: float
    """White-matter signal in scanner units."""
    flair: Sequence
    t1: Sequence


_GE_FLAIR = Sequence(echo_s=(0.120, 0.148), repetition_s=(5.0, 7.202), inversion_s=(1.6, 2.0))
_GRE_T1 = Sequence(echo_s=(0.002, 0.004), repetition_s=(0.005, 0.010))

_BUILT_IN = (
    Site(
        name="skyra",
        manufacturer="Siemens",
        model="Skyra",
        field_T=3.0,
        acquisition="3D",
        spacing_mm=(1.0, 1.0, 1.0),
        axcodes="PIR",
        tilt_degrees=0.0,
        skull_stripped=False,
        noise=0.032,
        grey_gain=1.20,
        fat=0.75,
        brightness=210,
        flair=Sequence(echo_s=(0.387, 0.388), repetition_s=(5.0, 6.0), inversion_s=(1.65, 1.8)),
        t1=Sequence(echo_s=(0.002, 0.003), repetition_s=(2.3, 2.451), inversion_s=(0.9, 0.95)),
    ),
    Site(
        name="premier",
        manufacturer="GE",
        model="Signa Premier",
        field_T=3.0,
        acquisition="3D",
        spacing_mm=(1.0, 1.0, 1.0),
        axcodes="LAS",
        tilt_degrees=0.0,
        skull_stripped=True,
        noise=0.025,
        grey_gain=1.14,
        fat=0.6,
        brightness=640,
        flair=_GE_FLAIR,
        t1=_GRE_T1,
    ),
    Site(
        name="mr750",
        manufacturer="GE",
        model="Discovery MR750",
        field_T=3.0,
        acquisition="3D",
        spacing_mm=(1.0, 1.0, 1.0),
        axcodes="LPS",
        tilt_degrees=0.0,
        skull_stripped=False,
        noise=0.036,
        grey_gain=1.17,
        fat=0.5,
        brightness=900,
        flair=_GE_FLAIR,
        t1=_GRE_T1,
    ),
    Site(
        name="ingenia",
        manufacturer="Philips",
        model="Ingenia",
        field_T=3.0,
        acquisition="3D",
        spacing_mm=(1.0, 1.0, 1.0),
        axcodes="RAS",
        tilt_degrees=0.0,
        skull_stripped=True,
        noise=0.028,
        grey_gain=1.22,
        fat=0.6,
        brightness=330,
        flair=Sequence(echo_s=(0.275, 0.340), repetition_s=(5.0, 5.2), inversion_s=(1.6, 1.65)),
        t1=_GRE_T1,
    ),
    Site(
        name="hdxt",
        manufacturer="GE",
        model="Signa HDxt",
        field_T=1.5,
        acquisition="2D",
        spacing_mm=(0.9, 0.9, 4.0),
        axcodes="LPS",
        tilt_degrees=9.0,
        skull_stripped=False,
        noise=0.07,
        grey_gain=1.12,
        fat=0.45,
        brightness=420,
        flair=Sequence(echo_s=(0.116, 0.127), repetition_s=(8.0, 10.0), inversion_s=(2.2, 2.25)),
        t1=Sequence(echo_s=(0.009, 0.014), repetition_s=(0.45, 0.626)),
    ),
)
SITES = {site.name: site for site in _BUILT_IN}

_HEAD_W_MM = np.array([[-86.0, 86.0], [-124.0, 96.0], [-76.0, 98.0]])
_BRAIN_W_MM = np.array([[-78.0, 78.0], [-116.0, 86.0], [-72.0, 90.0]])
_DIRECTIONS = {"R": (0, 1), "L": (0, -1), "A": (1, 1), "P": (1, -1), "S": (2, 1), "I": (2, -1)}


def sites_named(names: tuple[str, ...] | None) -> tuple[Site, ...]:
    """Built-in sites by name, in the given order; None: all of them.

    Raises SpecError if a name is not built in.
    """
    if names is None:
        return tuple(SITES.values())
    unknown = [name for name in names if name not in SITES]
    if unknown or not names:
        raise SpecError(
            f"sites: wanted built-in sites, found {', '.join(unknown) or 'none'}; choose from {', '.join(SITES)}"
        )
    return tuple(SITES[name] for name in names)


def scan_grid(site: Site, spacing_mm: float | None) -> Grid:
    """Voxel grid of the site's scans; `spacing_mm` replaces the site's own spacing by an isotropic one."""
    box = _BRAIN_W_MM if site.skull_stripped else _HEAD_W_MM
    spacing = (spacing_mm,) * 3 if spacing_mm else site.spacing_mm
    linear = np.zeros((3, 3))
    shape = []
    for axis, (letter, step) in enumerate(zip(site.axcodes, spacing, strict=True)):
        world, sign = _DIRECTIONS[letter]
        linear[world, axis] = sign * step
        # An even number of voxels, so that the volume also splits into halves.
        shape.append(2 * ceil((box[world, 1] - box[world, 0]) / step / 2))
    centre = box.mean(axis=1)
    affine = np.eye(4)
    affine[:3, :3] = linear
    affine[:3, 3] = centre - linear @ ((np.array(shape) - 1) / 2)
    tilt = rigid(np.array([site.tilt_degrees, 0.0, 0.0]), np.zeros(3), centre)
    return Grid((shape[0], shape[1], shape[2]), tilt @ affine)


def splits(grid: Grid) -> tuple[int, int, int]:
    """Number of parts per voxel along each axis while signals are computed: steps under 1.5 mm through thick slices."""
    thick_mm = 2 * min(grid.spacing_mm)
    i, j, k = (ceil(step / 1.5) if step > thick_mm else 1 for step in grid.spacing_mm)
    return i, j, k
