"""Nothing in; the imaging sites that a cohort can come from, and the grid of one of their scans, out.

Scanners, field strengths and sequence times are among those of Tables 1 and 2 of Wahlig et al. 2023: most studies 3-D at 3 T.
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
    """Times of one sequence in seconds, each drawn from a range."""

    echo_s: Range
    repetition_s: Range
    inversion_s: Range | None = None


@dataclass(frozen=True)
class Site:
    """One scanner and how it is used."""

    name: str
    manufacturer: str
    model: str
    field_T: float
    acquisition: Literal["2D", "3D"]
    spacing_mm: tuple[float, float, float]
    """Along the voxel axes, as `axcodes` names them."""
    axcodes: str
    """Direction of growing voxel index, one letter an axis, as nibabel.aff2axcodes gives them."""
    tilt_degrees: float
    """Turn of the grid about the left-right axis."""
    skull_stripped: bool
    noise: float
    """SD of the noise in each channel, in units of white matter, at 1 mm³."""
    grey_gain: float
    """FLAIR: grey against white matter."""
    fat: float
    """FLAIR: scalp against white matter; low with fat saturation."""
    brightness: float
    """White matter in the numbers that the scanner writes."""
    flair: Sequence
    t1: Sequence


_GE_FLAIR = Sequence(echo_s=(0.120, 0.148), repetition_s=(5.0, 7.202), inversion_s=(1.6, 2.0))
_GRE_T1 = Sequence(echo_s=(0.002, 0.004), repetition_s=(0.005, 0.010))

SITES: dict[str, Site] = {
    site.name: site
    for site in (
        Site(
            "skyra", "Siemens", "Skyra", 3.0, "3D", (1.0, 1.0, 1.0), "PIR", 0.0, False, 0.032, 1.20, 0.75, 210,
            Sequence(echo_s=(0.387, 0.389), repetition_s=(5.0, 6.0), inversion_s=(1.65, 1.8)),
            Sequence(echo_s=(0.002, 0.003), repetition_s=(2.3, 2.451), inversion_s=(0.9, 0.95)),
        ),
        Site(
            "premier", "GE", "Signa Premier", 3.0, "3D", (1.0, 1.0, 1.0), "LAS", 0.0, True, 0.025, 1.14, 0.6, 640,
            _GE_FLAIR, _GRE_T1,
        ),
        Site(
            "mr750", "GE", "Discovery MR750", 3.0, "3D", (1.0, 1.0, 1.0), "LPS", 0.0, False, 0.036, 1.17, 0.5, 900,
            _GE_FLAIR, _GRE_T1,
        ),
        Site(
            "ingenia", "Philips", "Ingenia", 3.0, "3D", (1.0, 1.0, 1.0), "RAS", 0.0, True, 0.028, 1.22, 0.6, 330,
            Sequence(echo_s=(0.275, 0.340), repetition_s=(4.8, 5.0), inversion_s=(1.6, 1.65)), _GRE_T1,
        ),
        Site(
            "hdxt", "GE", "Signa HDxt", 1.5, "2D", (0.9, 0.9, 4.0), "LPS", 9.0, False, 0.07, 1.12, 0.45, 420,
            Sequence(echo_s=(0.116, 0.127), repetition_s=(8.0, 10.0), inversion_s=(2.2, 2.25)),
            Sequence(echo_s=(0.009, 0.014), repetition_s=(0.45, 0.626)),
        ),
    )
}  # fmt: skip

_HEAD_W_MM = np.array([[-86.0, 86.0], [-124.0, 96.0], [-76.0, 98.0]])
_BRAIN_W_MM = np.array([[-78.0, 78.0], [-116.0, 86.0], [-72.0, 90.0]])
_DIRECTIONS = {"R": (0, 1), "L": (0, -1), "A": (1, 1), "P": (1, -1), "S": (2, 1), "I": (2, -1)}


def sites_named(names: tuple[str, ...] | None) -> tuple[Site, ...]:
    """Built-in sites by name, in this order; None: all of them.

    Raises SpecError where a name is not built in.
    """
    if names is None:
        return tuple(SITES.values())
    unknown = [name for name in names if name not in SITES]
    if unknown or not names:
        raise SpecError(f"sites: {', '.join(unknown) or 'none'} not built in; choose from {', '.join(SITES)}")
    return tuple(SITES[name] for name in names)


def scan_grid(site: Site, spacing_mm: float | None) -> Grid:
    """The voxel grid that the site writes; `spacing_mm` replaces its own spacing by an isotropic one."""
    box = _BRAIN_W_MM if site.skull_stripped else _HEAD_W_MM
    spacing = (spacing_mm,) * 3 if spacing_mm else site.spacing_mm
    linear = np.zeros((3, 3))
    shape = []
    for axis, (letter, step) in enumerate(zip(site.axcodes, spacing, strict=True)):
        world, sign = _DIRECTIONS[letter]
        linear[world, axis] = sign * step
        # An even count, so that the volume also splits into halves.
        shape.append(2 * ceil((box[world, 1] - box[world, 0]) / step / 2))
    centre = box.mean(axis=1)
    affine = np.eye(4)
    affine[:3, :3] = linear
    affine[:3, 3] = centre - linear @ ((np.array(shape) - 1) / 2)
    tilt = rigid(np.array([site.tilt_degrees, 0.0, 0.0]), np.zeros(3), centre)
    return Grid((shape[0], shape[1], shape[2]), tilt @ affine)


def splits(grid: Grid) -> tuple[int, int, int]:
    """Into how many parts each voxel is split while signals are composed: thick slices into steps under 1.5 mm."""
    i, j, k = (1 if step <= 2.5 else ceil(step / 1.5) for step in grid.spacing_mm)
    return i, j, k
