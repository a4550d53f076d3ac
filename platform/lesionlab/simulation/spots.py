"""Draw focal lesions at random at a subject's free places.

Counts of MS lesions follow Wahlig et al. 2023: 2–216 per patient, median 26; new lesions 1–64, median 3.
Sizes, shapes and locations were measured on 20 consensus masks of Lesjak et al. 2018
(doi:10.1007/s12021-017-9348-7). Components of 10 mm³ or more have a log-normal volume with median 43 mm³ and SD 1.22 of
the logarithm, and semi-axes of about 2.5 : 1.5 : 1. 54 % are at the cortex, 8 % below the tentorium, 12 % within 4 mm
of the ventricles (44 % of those above 200 mm³). Smaller components, mostly fragments of the raters' outlines, are not
drawn, nor are lesions that a coarse image could not show. Near the ventricles we draw about twice as many lesions as
measured, because the masks could only be compared with the ventricles of the average brain, which are narrower than a
patient's.
Frames: S subject mm.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lesionlab.simulation.frames import Floats
from lesionlab.simulation.lesions import Spot
from lesionlab.simulation.places import Places


@dataclass(frozen=True)
class Count:
    """Distribution of a lesion count: log-normal around a median, truncated at both ends."""

    median: float
    spread: float
    least: int
    most: int

    def draw(self, rng: np.random.Generator) -> int:
        """Draw the count of one patient."""
        return int(np.clip(round(self.median * np.exp(self.spread * rng.standard_normal())), self.least, self.most))


MS_LESIONS = Count(26, 1.0, 2, 216)
MS_NEW_LESIONS = Count(3, 1.1, 1, 64)
METASTASES = Count(6, 0.9, 1, 60)

_MS_VOLUME_MM3, _MS_VOLUME_SPREAD, _MS_VOLUME_RANGE_MM3 = 43.0, 1.22, (10.0, 6000.0)


def ms_spots(places: Places, count: int, conspicuity: float, rng: np.random.Generator) -> tuple[Spot, ...]:
    """Place `count` non-enhancing MS plaques, or fewer if there is no room."""
    volumes = np.exp(rng.normal(np.log(_MS_VOLUME_MM3), _MS_VOLUME_SPREAD, count)).clip(*_MS_VOLUME_RANGE_MM3)
    volumes = volumes.clip(min=places.smallest_mm3)
    spots = []
    # Large lesions first, while there is room for them.
    for volume in sorted(volumes, reverse=True):
        kind = _ms_place(volume, rng)
        # Away from the ventricles lesions stay small.
        volume = volume if kind == "periventricular" else min(volume, 600.0)
        spot = _place_spot(places, kind, volume, elongation=2.5, rng=rng)
        if spot is None:  # The ventricular wall fills up quickly; the cortex hardly ever does.
            spot = _place_spot(places, "juxtacortical", min(volume, 300.0), elongation=2.5, rng=rng)
        if spot is not None:
            gain = float(np.clip(rng.normal(0.55, 0.16) * conspicuity, 0.2, 0.95))
            loss = float(np.clip(rng.normal(0.16, 0.1), 0.0, 0.5))
            spots.append(replace(spot, flair_gain=gain, t1_loss=loss))
    return tuple(spots)


def some_enhance(spots: tuple[Spot, ...], rng: np.random.Generator) -> tuple[Spot, ...]:
    """Make one to three lesions active; those above 8 mm in diameter show ring enhancement."""
    active = set(rng.choice(len(spots), min(len(spots), int(rng.integers(1, 4))), replace=False)) if spots else set()
    return tuple(
        replace(s, enhancing=float(rng.uniform(0.5, 1.0)), ring=bool(s.radii_mm.min() > 4)) if i in active else s
        for i, s in enumerate(spots)
    )


def metastases(places: Places, count: int, conspicuity: float, rng: np.random.Generator) -> tuple[Spot, ...]:
    """Place round, enhancing lesions, mostly at the grey-white junction; large ones show ring enhancement."""
    spots = []
    for radius in sorted(np.exp(rng.normal(np.log(3.0), 0.55, count)).clip(1.3, 12), reverse=True):
        kind = "junction" if rng.random() < 0.85 else "infratentorial"
        spot = _place_spot(places, kind, 4 / 3 * np.pi * radius**3, elongation=1.05, rng=rng)
        if spot is not None:
            gain, loss = float(rng.uniform(0.25, 0.6) * conspicuity), float(rng.uniform(0.05, 0.3))
            enhancing = float(rng.uniform(0.6, 1.2))
            spots.append(replace(spot, flair_gain=gain, t1_loss=loss, enhancing=enhancing, ring=bool(radius > 5)))
    return tuple(spots)


def vascular_spots(places: Places, conspicuity: float, rng: np.random.Generator) -> tuple[Spot, ...]:
    """Place a few separate lesions of small-vessel disease in deep white matter."""
    spots = []
    for volume in np.exp(rng.normal(np.log(90), 0.8, int(rng.integers(4, 18)))).clip(15, 900):
        spot = _place_spot(places, "deep", volume, elongation=1.8, rng=rng)
        if spot is not None:
            gain = float(np.clip(rng.normal(0.5, 0.12) * conspicuity, 0.2, 0.9))
            spots.append(replace(spot, flair_gain=gain, t1_loss=float(rng.uniform(0.05, 0.2))))
    return tuple(spots)


def _ms_place(volume_mm3: float, rng: np.random.Generator) -> str:
    near_ventricle = 0.2 + 0.4 * np.clip(np.log(volume_mm3 / 40) / np.log(10), 0, 1)
    chance = [near_ventricle, (1 - near_ventricle) * 0.6, 0.08, (1 - near_ventricle) * 0.4 - 0.08]
    return str(rng.choice(["periventricular", "juxtacortical", "infratentorial", "deep"], p=chance))


def _place_spot(
    places: Places, kind: str, volume_mm3: float, elongation: float, rng: np.random.Generator
) -> Spot | None:
    """Place an ellipsoid of this volume, perpendicular to the wall if next to the ventricles (Dawson's fingers)."""
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


def _frame_along(towards: NDArray[np.floating], rng: np.random.Generator) -> Floats:
    """Three orthonormal rows, the first along `towards`."""
    basis, _ = np.linalg.qr(np.column_stack([towards, rng.standard_normal((3, 2))]))
    return basis.T.astype(np.float32)
