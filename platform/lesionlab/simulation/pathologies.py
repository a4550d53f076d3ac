"""Draw the lesions of one or two visits for a disease and a subject.

Frames: S subject mm.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from lesionlab.simulation.lesions import Findings
from lesionlab.simulation.patches import confluent_ms, glioma, leukodystrophy, oedema_around, vascular_caps
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
"""With more lesions than this, some are confluent along the ventricles."""


def draw_mass(pathology: Pathology, rng: np.random.Generator) -> Mass | None:
    """The tumour that displaces brain tissue, drawn before the head itself; only gliomas have a mass effect."""
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
    """Lesions at each visit, in visit order, large enough to be visible at the spacing of the written grid."""
    places = draw_places(subject, spacing_mm, rng)
    conspicuity = float(np.clip(rng.normal(1.0, 0.15), 0.7, 1.3))
    first = _first(pathology, subject, mass, places, conspicuity, rng)
    if timepoints == 1:
        return (first,)
    return first, _later(pathology, first, places, conspicuity, rng)


def new_findings(first: Findings, second: Findings) -> Findings:
    """Lesions added by the second visit: new spots, and patches that have grown (each as a whole)."""
    grown = tuple(p for p, was in zip(second.patches, first.patches, strict=True) if p is not was)
    return Findings(second.spots[len(first.spots) :], grown)


def _first(
    pathology: Pathology,
    subject: Subject,
    mass: Mass | None,
    places: Places,
    conspicuity: float,
    rng: np.random.Generator,
) -> Findings:
    if mass is not None:
        return Findings(patches=glioma(mass, conspicuity, rng))
    if pathology == "leukodystrophy":
        return Findings(patches=(leukodystrophy(subject, conspicuity, rng),))
    if pathology == "small-vessel":
        caps = vascular_caps(subject, conspicuity, rng)
        places.keep_clear_of(caps.level_mm)
        return Findings(vascular_spots(places, conspicuity, rng), (caps,))
    if pathology == "metastases":
        spots = metastases(places, METASTASES.draw(rng), conspicuity, rng)
        return Findings(spots, oedema_around(spots, conspicuity, rng))
    count = MS_LESIONS.draw(rng)
    patches = (confluent_ms(subject, conspicuity, rng),) if count > _MS_CONFLUENT_ABOVE else ()
    for patch in patches:
        places.keep_clear_of(patch.level_mm)
    return Findings(some_enhance(ms_spots(places, count, conspicuity, rng), rng), patches)


def _later(
    pathology: Pathology, first: Findings, places: Places, conspicuity: float, rng: np.random.Generator
) -> Findings:
    """Lesions of the second visit. MS: old ones persist or shrink and stop enhancing, new ones appear. Others grow."""
    if pathology == "ms":
        old = tuple(replace(s, radii_mm=s.radii_mm * _shrinkage(rng), enhancing=0.0) for s in first.spots)
        new = ms_spots(places, MS_NEW_LESIONS.draw(rng), conspicuity, rng)
        return Findings((*old, *some_enhance(new, rng)), first.patches)
    patches = tuple(replace(p, level_mm=p.level_mm + float(rng.uniform(1.0, 4.0))) for p in first.patches)
    if pathology == "metastases":
        new = metastases(places, int(rng.integers(1, 5)), conspicuity, rng)
        return Findings((*first.spots, *new), patches)
    return Findings(first.spots, patches)


def _shrinkage(rng: np.random.Generator) -> np.float32:
    return np.float32(rng.choice([1.0, rng.uniform(0.8, 1.0)]))
