"""A disease, a subject and chance in; the lesions of one or two visits out.

Counts of MS lesions are those of Wahlig et al. 2023: 2–216 a patient, median 26; new ones 1–64, median 3; enhancing 1–3.
Sizes, shapes and places of MS lesions were measured on 20 consensus masks of Lesjak et al. 2018 (doi:10.1007/s12021-017-9348-7):
components of 10 mm³ or more have a log-normal volume with median 43 mm³ and SD 1.22 of the logarithm, half axes about
2.5 : 1.5 : 1; 54 % lie at the cortex, 8 % below the tentorium, 12 % touch the ventricles: 7 % of the small ones, 44 % of
those above 200 mm³. Smaller components, crumbs of the raters' outlines, are not drawn. Near the ventricles we draw about
twice as many as measured, because the masks were compared with the ventricles of the average brain, not the patient's.
Frames: S subject mm. Array axes: a b c lattice knots.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from lesionlab.simulation.frames import Floats, at_points, lattice_points, smooth_noise
from lesionlab.simulation.lesions import Findings, Patch, Spot
from lesionlab.simulation.places import Places, draw_places
from lesionlab.simulation.subject import Mass, Subject
from storage_schemas.cohorts import Pathology


@dataclass(frozen=True)
class Count:
    """How many: log-normal around a median, cut at both ends."""

    median: float
    spread: float
    least: int
    most: int

    def draw(self, rng: np.random.Generator) -> int:
        """One patient's number."""
        return int(np.clip(round(self.median * np.exp(self.spread * rng.standard_normal())), self.least, self.most))


MS_LESIONS = Count(26, 1.0, 2, 216)
MS_NEW_LESIONS = Count(3, 1.1, 1, 64)
METASTASES = Count(6, 0.9, 1, 60)

_MS_CONFLUENT_ABOVE = 40
_MS_VOLUME_MM3, _MS_VOLUME_SPREAD, _MS_VOLUME_RANGE_MM3 = 43.0, 1.22, (10.0, 6000.0)


def draw_mass(pathology: Pathology, rng: np.random.Generator) -> Mass | None:
    """The growth that the head must make room for, decided before the head itself; only gliomas push."""
    if pathology != "glioma":
        return None
    side = rng.choice([-1.0, 1.0])
    centre = np.array([side * rng.uniform(18, 38), rng.uniform(-58, 36), rng.uniform(-2, 40)], dtype=np.float32)
    radius = float(rng.uniform(9, 21))
    return Mass(centre, radius, push_mm=float(radius * rng.uniform(0.15, 0.4)))


def draw_visits(
    pathology: Pathology, subject: Subject, mass: Mass | None, timepoints: int, gap_mm: float, rng: np.random.Generator
) -> tuple[Findings, ...]:
    """Lesions at each visit, in the order of the visits; lesions keep `gap_mm` from each other where there is room."""
    places = draw_places(subject, gap_mm, rng)
    boldness = float(np.clip(rng.normal(1.0, 0.15), 0.7, 1.3))
    if pathology == "ms":
        count = MS_LESIONS.draw(rng)
        patches = (_confluent(subject, places, boldness, rng),) if count > _MS_CONFLUENT_ABOVE else ()
        first = Findings(_some_enhance(_ms_spots(places, count, boldness, rng), rng), patches)
    elif pathology == "metastases":
        first = _metastases(places, METASTASES.draw(rng), boldness, rng)
    elif mass is not None:
        first = _glioma(mass, boldness, rng)
    elif pathology == "leukodystrophy":
        first = Findings(patches=(_leukodystrophy(subject, boldness, rng),))
    else:
        first = _small_vessel(subject, places, boldness, rng)
    if timepoints == 1:
        return (first,)
    return first, _later(pathology, first, places, boldness, rng)


def _later(
    pathology: Pathology, first: Findings, places: Places, boldness: float, rng: np.random.Generator
) -> Findings:
    """The second visit: old spots stay or shrink a little and stop enhancing, new ones appear, patches grow."""
    old = tuple(replace(s, radii_mm=s.radii_mm * _shrinkage(rng), enhancing=0.0) for s in first.spots)
    patches = tuple(replace(p, level_mm=p.level_mm + float(rng.uniform(1.0, 4.0))) for p in first.patches)
    if pathology == "ms":
        fresh = _ms_spots(places, MS_NEW_LESIONS.draw(rng), boldness, rng)
        return Findings((*old, *_some_enhance(fresh, rng)), patches)
    if pathology == "metastases":
        fresh = _metastases(places, int(rng.integers(1, 5)), boldness, rng).spots
        return Findings((*first.spots, *fresh), patches)
    return Findings(old, patches)


def _shrinkage(rng: np.random.Generator) -> np.float32:
    return np.float32(rng.choice([1.0, rng.uniform(0.8, 1.0)]))


def _ms_spots(places: Places, count: int, boldness: float, rng: np.random.Generator) -> tuple[Spot, ...]:
    volumes = np.exp(rng.normal(np.log(_MS_VOLUME_MM3), _MS_VOLUME_SPREAD, count)).clip(*_MS_VOLUME_RANGE_MM3)
    spots = []
    # The large ones first, while there is room for them.
    for volume in sorted(volumes, reverse=True):
        kind = _ms_place(volume, rng)
        # Away from the ventricles lesions stay small.
        volume = volume if kind == "periventricular" else min(volume, 600.0)
        spot = _place_spot(places, kind, volume, elongation=2.5, rng=rng)
        if spot is not None:
            gain = float(np.clip(rng.normal(0.55, 0.16) * boldness, 0.2, 0.95))
            loss = float(np.clip(rng.normal(0.16, 0.1), 0.0, 0.5))
            spots.append(replace(spot, flair_gain=gain, t1_loss=loss))
    return tuple(spots)


def _confluent(subject: Subject, places: Places, boldness: float, rng: np.random.Generator) -> Patch:
    """Lesions run together along the ventricles, as they do in patients with many; other lesions keep away from it."""
    points = lattice_points()
    depth = subject.template.ventricle_mm.at(subject.to_template(points))
    level = rng.uniform(-2.5, 1.5) + 4.0 * smooth_noise(rng, 6.0) - np.abs(depth - 3.0)
    level = np.minimum.reduce([level, points[2] + 2, np.abs(points[0]) - 9])
    patch = Patch(
        level_mm=level.astype(np.float32),
        tone=smooth_noise(rng, 5.0),
        grey_share=0.0,
        flair_gain=float(rng.uniform(0.4, 0.6) * boldness),
        t1_loss=float(rng.uniform(0.1, 0.25)),
        edge_mm=3.0,
    )
    places.keep_clear_of(patch.level_mm)
    return patch


def _ms_place(volume_mm3: float, rng: np.random.Generator) -> str:
    near_ventricle = 0.2 + 0.4 * np.clip(np.log(volume_mm3 / 40) / np.log(10), 0, 1)
    chance = [near_ventricle, (1 - near_ventricle) * 0.6, 0.08, (1 - near_ventricle) * 0.4 - 0.08]
    return str(rng.choice(["periventricular", "juxtacortical", "infratentorial", "deep"], p=chance))


def _place_spot(
    places: Places, kind: str, volume_mm3: float, elongation: float, rng: np.random.Generator
) -> Spot | None:
    """An ellipsoid of this volume; beside the ventricles it stands upright on their wall (Dawson's fingers)."""
    long, middle = np.maximum(1, rng.normal([elongation, 0.6 * elongation], 0.25 * elongation))
    short_mm = (3 * volume_mm3 / (4 * np.pi * long * middle)) ** (1 / 3)
    radii = (short_mm * np.array([long, middle, 1.0])).astype(np.float32)
    index = places.take(kind, float(radii.max()), rng)
    if index is None:
        return None
    towards = rng.standard_normal(3)
    if kind == "periventricular":
        towards = places.away_from_ventricle[:, index] + 0.3 * towards
    return Spot(
        centre_S_mm=places.points_S_mm[:, index],
        axes=_frame_along(towards, rng),
        radii_mm=radii,
        bumps=rng.normal(0, 2.2, (3, 4)).astype(np.float32),
        flair_gain=0.0,
        t1_loss=0.0,
    )


def _frame_along(towards: Floats, rng: np.random.Generator) -> Floats:
    """Three orthonormal rows, the first along `towards`."""
    basis, _ = np.linalg.qr(np.column_stack([towards, rng.standard_normal((3, 2))]))
    return basis.T.astype(np.float32)


def _some_enhance(spots: tuple[Spot, ...], rng: np.random.Generator) -> tuple[Spot, ...]:
    """One to three of the lesions are active; those above 8 mm across enhance as a ring."""
    active = set(rng.choice(len(spots), min(len(spots), int(rng.integers(1, 4))), replace=False)) if spots else set()
    return tuple(
        replace(s, enhancing=float(rng.uniform(0.5, 1.0)), ring=bool(s.radii_mm.min() > 4)) if i in active else s
        for i, s in enumerate(spots)
    )


def _metastases(places: Places, count: int, boldness: float, rng: np.random.Generator) -> Findings:
    spots: list[Spot] = []
    swelling: list[Floats] = []
    for radius in sorted(np.exp(rng.normal(np.log(3.0), 0.55, count)).clip(1.3, 12), reverse=True):
        kind = "junction" if rng.random() < 0.85 else "infratentorial"
        spot = _place_spot(places, kind, 4 / 3 * np.pi * radius**3, elongation=1.05, rng=rng)
        if spot is None:
            continue
        spots.append(
            replace(
                spot,
                flair_gain=float(rng.uniform(0.25, 0.6) * boldness),
                t1_loss=float(rng.uniform(0.05, 0.3)),
                enhancing=float(rng.uniform(0.6, 1.2)),
                ring=bool(radius > 5),
            )
        )
        if rng.random() < 0.5:
            swelling.append(radius * rng.uniform(1.2, 2.2) - _distance_mm(spot.centre_S_mm))
    if not swelling:
        return Findings(tuple(spots))
    level = np.maximum.reduce(swelling) + 1.5 * smooth_noise(rng, 6.0)
    return Findings(tuple(spots), (_swelling(level.astype(np.float32), boldness, rng),))


def _glioma(mass: Mass, boldness: float, rng: np.random.Generator) -> Findings:
    distance = _distance_mm(mass.centre_S_mm)
    uneven = smooth_noise(rng, 8.0)
    core = mass.radius_mm * (1 + 0.22 * uneven + 0.14 * smooth_noise(rng, 5.0)) - distance
    reach = mass.radius_mm * rng.uniform(1.3, 2.0) + 3
    halo = reach * (1 + 0.22 * smooth_noise(rng, 11.0) + 0.08 * smooth_noise(rng, 5.0)) - distance
    # The falx holds it back.
    own_side = np.sign(mass.centre_S_mm[0]) * lattice_points()[0]
    core, halo = np.minimum(core, own_side), np.minimum(halo, own_side + 4)
    enhances = rng.random() < 0.75
    tumour = Patch(
        level_mm=core.astype(np.float32),
        tone=smooth_noise(rng, 5.0),
        grey_share=1.0,
        flair_gain=float(rng.uniform(0.5, 0.85) * boldness),
        t1_loss=float(rng.uniform(0.2, 0.4)),
        edge_mm=3.0,
        solid=True,
        rind_mm=float(rng.uniform(0.15, 0.35) * mass.radius_mm) if enhances else 0.0,
        enhancing=float(rng.uniform(0.5, 1.0)) if enhances else 0.0,
    )
    return Findings(patches=(_swelling(np.maximum(halo, core).astype(np.float32), boldness, rng), tumour))


def _swelling(level_mm: Floats, boldness: float, rng: np.random.Generator) -> Patch:
    """Oedema: follows white matter, spares the cortex, fades at its edge."""
    return Patch(
        level_mm=level_mm,
        tone=smooth_noise(rng, 5.0),
        grey_share=0.25,
        flair_gain=float(rng.uniform(0.5, 0.8) * boldness),
        t1_loss=float(rng.uniform(0.1, 0.2)),
        edge_mm=4.0,
    )


def _leukodystrophy(subject: Subject, boldness: float, rng: np.random.Generator) -> Patch:
    """Confluent and symmetric, heaviest at one end of the brain, thinning out towards the cortex."""
    points = lattice_points()
    end = rng.choice([-1.0, 1.0]) * (points[1] + 18) / 60
    symmetric = smooth_noise(rng, 9.0)
    symmetric = at_points(symmetric, np.stack([np.abs(points[0]), points[1], points[2]]))
    depth = subject.template.ventricle_mm.at(subject.to_template(points))
    level = rng.uniform(7, 13) * (1 + 0.7 * end) + 3.5 * symmetric + 1.2 * smooth_noise(rng, 5.0) - depth
    level = np.minimum(level, points[2] + 14)
    return Patch(
        level_mm=level.astype(np.float32),
        tone=smooth_noise(rng, 8.0),
        grey_share=0.0,
        flair_gain=float(rng.uniform(0.4, 0.75) * boldness),
        t1_loss=float(rng.uniform(0.15, 0.35)),
        edge_mm=5.0,
    )


def _small_vessel(subject: Subject, places: Places, boldness: float, rng: np.random.Generator) -> Findings:
    """Caps on the horns and a confluent border along the ventricles, with a few separate patches in deep white matter."""
    points = lattice_points()
    points_T = subject.to_template(points)
    depth = subject.template.ventricle_mm.at(points_T)
    horns = np.exp(-(((np.abs(points_T[1] + 13) - 42) / 14) ** 2))
    level = rng.uniform(1.5, 5.0) + rng.uniform(2, 6) * horns + 2.5 * smooth_noise(rng, 7.0) - depth
    level = np.minimum(level, points[2] + 8)
    caps = Patch(
        level_mm=level.astype(np.float32),
        tone=smooth_noise(rng, 6.0),
        grey_share=0.1,
        flair_gain=float(rng.uniform(0.4, 0.7) * boldness),
        t1_loss=float(rng.uniform(0.08, 0.2)),
        edge_mm=3.0,
    )
    places.keep_clear_of(caps.level_mm)
    spots = []
    for volume in np.exp(rng.normal(np.log(90), 0.8, int(rng.integers(4, 18)))).clip(15, 900):
        spot = _place_spot(places, "deep", volume, elongation=1.8, rng=rng)
        if spot is not None:
            gain = float(np.clip(rng.normal(0.5, 0.12) * boldness, 0.2, 0.9))
            spots.append(replace(spot, flair_gain=gain, t1_loss=float(rng.uniform(0.05, 0.2))))
    return Findings(tuple(spots), (caps,))


def _distance_mm(centre_S_mm: Floats) -> Floats:
    return np.linalg.norm(lattice_points() - centre_S_mm[:, None, None, None], axis=0)  # type: ignore[return-value]
