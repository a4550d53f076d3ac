"""A pathology and chance in; the lesions of one patient, visit by visit, out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from lesionlab.simulation.anatomy import ORIGIN_MM, Template
from lesionlab.simulation.ms import draw_plaque, draw_plaques
from lesionlab.simulation.places import Room
from lesionlab.simulation.shapes import Ellipsoid, Lesion, Sheet
from lesionlab.simulation.subject import Mass
from storage_schemas.cohorts import Pathology

Drawn = tuple[tuple[Lesion, ...], tuple[Mass, ...]]


@dataclass(frozen=True)
class Findings:
    """Lesions at each visit; those after the first `old` of the second visit were not there at the first one."""

    visits: tuple[tuple[Lesion, ...], ...]
    old: int
    masses: tuple[Mass, ...] = ()
    """What displaces the brain around it."""


def draw_findings(
    template: Template, pathology: Pathology, visits: int, gap_mm: float, rng: np.random.Generator
) -> Findings:
    """The lesions of one patient at one or two visits, at least `gap_mm` apart where there is room."""
    if pathology == "ms":
        plaques, old = draw_plaques(template, visits, gap_mm, rng)
        return Findings(plaques, old)
    lesions, masses = _DRAW[pathology](template, gap_mm, rng)
    later = tuple(_grown(lesion, rng) for lesion in lesions)
    return Findings((lesions, later)[:visits], len(lesions), masses)


def _grown(lesion: Lesion, rng: np.random.Generator) -> Lesion:
    if isinstance(lesion, Ellipsoid):
        return replace(lesion, half_axes_mm=lesion.half_axes_mm * rng.uniform(1.0, 1.15))
    return lesion


def _draw_glioma(template: Template, gap_mm: float, rng: np.random.Generator) -> Drawn:
    """One mass, rarely two; in a third of the patients of low grade, that is without enhancement."""
    low_grade = rng.random() < 0.33
    room = Room(gap_mm + 10, rng)
    radii_mm = [float(rng.uniform(13, 24))] + [float(rng.uniform(7, 11))] * bool(rng.random() < 0.1)
    lesions = [
        Ellipsoid(
            seed=int(rng.integers(2**31)),
            brightness=float(rng.uniform(0.6, 0.95)),
            roughness=float(rng.uniform(0.16, 0.3)),
            enhancement="none" if low_grade else "ring",
            oedema_mm=float(rng.uniform(0, 5) if low_grade else rng.uniform(6, 16)),
            centre=room.take("deep", radius_mm),
            half_axes_mm=radius_mm * rng.uniform(0.75, 1.25, 3),
            axes=np.linalg.qr(rng.standard_normal((3, 3)))[0],
        )
        for radius_mm in radii_mm
    ]
    masses = tuple(
        Mass(lesion.centre + ORIGIN_MM, lesion.radius_mm, float(rng.uniform(0.1, 0.3)) * lesion.radius_mm)
        for lesion in lesions
    )
    return tuple(lesions), masses


def _draw_leukodystrophy(template: Template, gap_mm: float, rng: np.random.Generator) -> Drawn:
    """Confluent symmetric change that spares the subcortical fibres."""
    reach_mm, sparing_mm = float(rng.uniform(12, 30)), float(rng.uniform(2, 5))
    forward, brightness = float(rng.uniform(-1, 1)), float(rng.uniform(0.45, 0.8))
    return _both_sides(rng, reach_mm, sparing_mm, forward, brightness, roughness=0.15), ()


def _draw_small_vessel(template: Template, gap_mm: float, rng: np.random.Generator) -> Drawn:
    """Confluent caps and rims about the ventricles, and a few patches further out."""
    rims = _both_sides(rng, float(rng.uniform(4, 9)), 4.0, float(rng.uniform(-0.3, 0.3)), 0.6, roughness=0.3)
    room = Room(gap_mm, rng)
    patches = [draw_plaque(template, "deep", 3.0, room, rng) for _ in range(int(rng.integers(4, 19)))]
    return (*rims, *(replace(patch, roughness=0.3, brightness=0.85 * patch.brightness) for patch in patches)), ()


def _both_sides(
    rng: np.random.Generator, reach_mm: float, sparing_mm: float, forward: float, brightness: float, roughness: float
) -> tuple[Sheet, Sheet]:
    left, right = (
        Sheet(
            seed=int(rng.integers(2**31)),
            brightness=brightness,
            roughness=roughness,
            side=side,
            reach_mm=reach_mm * float(rng.uniform(0.9, 1.1)),
            sparing_mm=sparing_mm,
            forward=forward,
        )
        for side in (-1, 1)
    )
    return left, right


def _draw_metastases(template: Template, gap_mm: float, rng: np.random.Generator) -> Drawn:
    """Many round masses where grey meets white matter, each with a little oedema."""
    count = int(np.clip(np.round(np.exp(rng.normal(np.log(9), 0.8))), 2, 45))
    room = Room(gap_mm, rng)
    lesions = []
    for _ in range(count):
        radius_mm = float(np.clip(np.exp(rng.normal(np.log(3.2), 0.45)), 1.8, 11))
        oedema_mm = float(rng.uniform(0.2, 1.1)) * radius_mm
        lesions.append(
            Ellipsoid(
                seed=int(rng.integers(2**31)),
                brightness=float(rng.uniform(0.45, 0.8)),
                roughness=0.06,
                enhancement="ring" if radius_mm > 5 else "solid",
                oedema_mm=oedema_mm,
                centre=room.take("junction", radius_mm + oedema_mm),
                half_axes_mm=radius_mm * rng.uniform(0.9, 1.1, 3),
            )
        )
    return tuple(lesions), ()


_DRAW: dict[Pathology, Callable[[Template, float, np.random.Generator], Drawn]] = {
    "glioma": _draw_glioma,
    "leukodystrophy": _draw_leukodystrophy,
    "small-vessel": _draw_small_vessel,
    "metastases": _draw_metastases,
}
