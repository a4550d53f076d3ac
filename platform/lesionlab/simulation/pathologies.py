"""A disease, a subject and chance in; the lesions of one or two visits out.

Frames: S subject mm.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from lesionlab.simulation.lesions import Findings
from lesionlab.simulation.patches import confluent_ms, glioma, leukodystrophy, swelling_around, vascular_caps
from lesionlab.simulation.places import Places, draw_places
from lesionlab.simulation.spots import (
    METASTASES,
    MS_LESIONS,
    MS_NEW_LESIONS,
    metastases,
    ms_spots,
    some_enhance,
    vascular_spots,
)
from lesionlab.simulation.subject import Mass, Subject
from storage_schemas.cohorts import Pathology

_MS_CONFLUENT_ABOVE = 40
"""With more lesions than this, some have run together along the ventricles."""


def draw_mass(pathology: Pathology, rng: np.random.Generator) -> Mass | None:
    """The growth that the head must make room for, decided before the head itself; only gliomas push."""
    if pathology != "glioma":
        return None
    side = rng.choice([-1.0, 1.0])
    centre = np.array([side * rng.uniform(18, 38), rng.uniform(-58, 36), rng.uniform(-2, 40)], dtype=np.float32)
    radius = float(rng.uniform(9, 21))
    return Mass(centre, radius, push_mm=float(radius * rng.uniform(0.15, 0.4)))


def draw_visits(
    pathology: Pathology,
    subject: Subject,
    mass: Mass | None,
    timepoints: int,
    spacing_mm: Sequence[float],
    rng: np.random.Generator,
) -> tuple[Findings, ...]:
    """Lesions at each visit, in the order of the visits, such that they show at the spacing of the written grid."""
    places = draw_places(subject, spacing_mm, rng)
    boldness = float(np.clip(rng.normal(1.0, 0.15), 0.7, 1.3))
    first = _first(pathology, subject, mass, places, boldness, rng)
    if timepoints == 1:
        return (first,)
    return first, _later(pathology, first, places, boldness, rng)


def new_findings(first: Findings, second: Findings) -> Findings:
    """What the second visit adds: spots that were not there, and patches that have grown (as a whole)."""
    grown = tuple(p for p, was in zip(second.patches, first.patches, strict=True) if p is not was)
    return Findings(second.spots[len(first.spots) :], grown)


def _first(
    pathology: Pathology,
    subject: Subject,
    mass: Mass | None,
    places: Places,
    boldness: float,
    rng: np.random.Generator,
) -> Findings:
    if mass is not None:
        return Findings(patches=glioma(mass, boldness, rng))
    if pathology == "leukodystrophy":
        return Findings(patches=(leukodystrophy(subject, boldness, rng),))
    if pathology == "small-vessel":
        caps = vascular_caps(subject, boldness, rng)
        places.keep_clear_of(caps.level_mm)
        return Findings(vascular_spots(places, boldness, rng), (caps,))
    if pathology == "metastases":
        spots = metastases(places, METASTASES.draw(rng), boldness, rng)
        return Findings(spots, swelling_around(spots, boldness, rng))
    count = MS_LESIONS.draw(rng)
    patches = (confluent_ms(subject, boldness, rng),) if count > _MS_CONFLUENT_ABOVE else ()
    for patch in patches:
        places.keep_clear_of(patch.level_mm)
    return Findings(some_enhance(ms_spots(places, count, boldness, rng), rng), patches)


def _later(
    pathology: Pathology, first: Findings, places: Places, boldness: float, rng: np.random.Generator
) -> Findings:
    """The second visit. MS: old lesions stay or shrink a little and enhance no more, new ones appear; others grow."""
    if pathology == "ms":
        old = tuple(replace(s, radii_mm=s.radii_mm * _shrinkage(rng), enhancing=0.0) for s in first.spots)
        fresh = ms_spots(places, MS_NEW_LESIONS.draw(rng), boldness, rng)
        return Findings((*old, *some_enhance(fresh, rng)), first.patches)
    patches = tuple(replace(p, level_mm=p.level_mm + float(rng.uniform(1.0, 4.0))) for p in first.patches)
    if pathology == "metastases":
        fresh = metastases(places, int(rng.integers(1, 5)), boldness, rng)
        return Findings((*first.spots, *fresh), patches)
    return Findings(first.spots, patches)


def _shrinkage(rng: np.random.Generator) -> np.float32:
    return np.float32(rng.choice([1.0, rng.uniform(0.8, 1.0)]))
