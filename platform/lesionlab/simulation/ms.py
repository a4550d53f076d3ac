"""Chance in; the plaques of one patient with multiple sclerosis, visit by visit, out.

Numbers follow Wahlig et al. 2023: 2-216 lesions, median 26; 1-3 enhancing; 1-64 new ones at the second visit, median 3.
Sizes and places are guided by the 20 consensus masks of Lesjak et al. 2018 (doi 10.1007/s12021-017-9348-7). Of their
2029 components of at least 3 mm³, 10 % reach within 4 mm of the lateral ventricles (median 66 mm³, 95th percentile
5200 mm³), 47 % touch the cortex (median 26 mm³), 35 % lie deep (median 13 mm³), 7 % below the tentorium (median
28 mm³); the standard deviation of log volume is 1.4; the longest axis is 2.5 times the shortest in the median. Those masks
hold about 60 components per patient where the paper's readers marked 26: the smallest specks are left out here, so
the medians adopted in `PLACES` are larger and the share of periventricular lesions is higher.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lesionlab.simulation.anatomy import Map, Template
from lesionlab.simulation.places import Place, Room
from lesionlab.simulation.shapes import Ellipsoid

PLACES: dict[Place, tuple[float, float, float]] = {
    "periventricular": (0.28, 110.0, 1.2),
    "infratentorial": (0.08, 45.0, 0.8),
    "juxtacortical": (0.38, 55.0, 0.9),
    "deep": (0.26, 40.0, 0.9),
}
"""Share of the lesions, median volume in mm³, standard deviation of log volume; those with least room come first."""
VOLUME_MM3 = (6.0, 9000.0)


def draw_plaques(
    template: Template, visits: int, gap_mm: float, rng: np.random.Generator
) -> tuple[tuple[tuple[Ellipsoid, ...], ...], int]:
    """The plaques at each visit, and how many of them are old: the new ones follow these in the second visit's list."""
    count = _count(rng, median=26, spread=0.95, least=2, most=216)
    new = _count(rng, median=3, spread=1.0, least=1, most=64) if visits == 2 else 0
    shares = [share for share, _, _ in PLACES.values()]
    numbers = rng.multinomial(count + new, shares)
    scale = float(np.exp(rng.normal(0.0, 0.35)))
    room = Room(gap_mm, rng)
    drawn = [
        draw_plaque(template, place, scale, room, rng)
        for place, number in zip(PLACES, numbers, strict=True)
        for _ in range(number)
    ]
    mixed = [drawn[n] for n in rng.permutation(len(drawn))]
    active = int(rng.integers(1, 4))
    old = (*map(_enhanced, mixed[: min(active, count)]), *mixed[min(active, count) : count])
    if visits == 1:
        return (old,), count
    later = tuple(_aged(plaque, rng) for plaque in old)
    fresh = (*map(_enhanced, mixed[count : count + active]), *mixed[count + active :])
    return (old, (*later, *fresh)), count


def draw_plaque(template: Template, place: Place, scale: float, room: Room, rng: np.random.Generator) -> Ellipsoid:
    """One ovoid plaque; `scale` multiplies the median volume of its place."""
    _, median_mm3, spread = PLACES[place]
    volume_mm3 = np.clip(scale * median_mm3 * np.exp(rng.normal(0, spread)), *VOLUME_MM3)
    elongation = float(np.clip(np.exp(rng.normal(np.log(1.8), 0.25)), 1.0, 3.5))
    flatness = float(rng.uniform(0.8, 1.0))
    unit_mm = (volume_mm3 / (4 / 3 * np.pi * elongation * flatness)) ** (1 / 3)
    half_axes_mm = unit_mm * np.array([elongation, 1.0, flatness])
    centre = room.take(place, float(half_axes_mm[0]))
    return Ellipsoid(
        seed=int(rng.integers(2**31)),
        brightness=_brightness(rng),
        roughness=float(rng.uniform(0.08, 0.22)),
        centre=centre,
        half_axes_mm=half_axes_mm,
        axes=_axes(template, place, centre, rng),
    )


def _count(rng: np.random.Generator, median: float, spread: float, least: int, most: int) -> int:
    return int(np.clip(np.round(np.exp(rng.normal(np.log(median), spread))), least, most))


def _brightness(rng: np.random.Generator) -> float:
    """Most lesions stand out clearly; about one in eight is faint."""
    return float(rng.uniform(0.22, 0.4)) if rng.random() < 0.12 else float(np.clip(rng.normal(0.72, 0.16), 0.4, 1.2))


def _enhanced(plaque: Ellipsoid) -> Ellipsoid:
    kind: Literal["ring", "solid"] = "ring" if plaque.radius_mm > 5 else "solid"
    return replace(plaque, enhancement=kind)


def _aged(plaque: Ellipsoid, rng: np.random.Generator) -> Ellipsoid:
    """The plaque months later: as large or slightly smaller, and no longer enhancing."""
    return replace(plaque, half_axes_mm=plaque.half_axes_mm * rng.uniform(0.95, 1.0), enhancement="none")


def _axes(
    template: Template, place: Place, centre: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Rows are unit axes, the longest first: off the ventricle's wall where it is near (Dawson's fingers)."""
    first = rng.standard_normal(3)
    if place == "periventricular":
        first = _slope(template.ventricle_mm, centre) + 0.2 * first
    basis, _ = np.linalg.qr(np.column_stack([first, rng.standard_normal((3, 2))]))
    return np.asarray(basis.T)


def _slope(values: Map, at: NDArray[np.float64]) -> NDArray[np.float64]:
    x, y, z = np.clip(np.round(at).astype(int), 3, np.array(values.shape) - 4)
    near = values[x - 3 : x + 4, y - 3 : y + 4, z - 3 : z + 4]
    slope = np.array([part.mean() for part in np.gradient(near)])
    return np.asarray(slope / max(float(np.linalg.norm(slope)), 1e-6))
