"""Choose points of a subject's brain where lesions may be placed, and keep the lesions apart.

Frames: S subject mm. Array axes: N candidate points.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lesionlab.simulation.frames import Floats, at_points, smooth_noise
from lesionlab.simulation.subject import Subject

_CANDIDATES = 40_000
_BOX_S_MM = np.array([[-74, 74], [-112, 78], [-66, 84]])


@dataclass
class Places:
    """Random points of the brain and their surroundings; taking one excludes the points around it."""

    points_S_mm: Floats
    """Shape (3, N)."""
    white: Floats
    grey: Floats
    ventricle_mm: Floats
    cortex_mm: Floats
    away_from_ventricle: Floats
    """Unit vectors, shape (3, N)."""
    proneness: Floats
    """Relative lesion density: lesions cluster in some regions of a patient and spare others; shape (N,)."""
    gap_mm: float
    """Minimum distance between the surfaces of two lesions: two written voxels, so they stay separate in the mask."""
    smallest_mm3: float
    """Minimum lesion volume: two written voxels along each axis; smaller lesions would not be visible to a reader."""
    clear_mm: Floats
    """Distance to the nearest lesion placed so far, shape (N,)."""

    def weights(self, kind: str) -> Floats:
        """Sampling weight of each point as the centre of a lesion of this kind, shape (N,)."""
        x, y, z = self.points_S_mm
        below = (z < -16) & (y < -6) & (abs(x) < 50)
        white = (self.white > 0.8) & ~below
        if kind == "periventricular":
            weights = white & (self.ventricle_mm > 1.5) & (self.ventricle_mm < 7) & (abs(x) > 6)
        elif kind == "juxtacortical":
            weights = white & (self.cortex_mm < 4.5) & (self.ventricle_mm > 11)
        elif kind == "infratentorial":
            weights = (z < -18) & (y < -14) & (abs(x) < 40) & (self.white > 0.55)
        elif kind == "junction":
            weights = (self.white > 0.35) & (self.grey > 0.25) & (self.ventricle_mm > 11)
        else:
            weights = white & (self.cortex_mm > 4) & (self.ventricle_mm > 6)
        chances: Floats = weights.astype(np.float32)
        return chances

    def take(self, kind: str, reach_mm: float, rng: np.random.Generator) -> int | None:
        """Take a point of this kind and return its index, or None if no room is left.

        A lesion with radius `reach_mm` at this point keeps `gap_mm` from all lesions placed before.
        """
        weights = self.weights(kind) * self.proneness * (self.clear_mm >= reach_mm + self.gap_mm)
        total = weights.sum(dtype=np.float64)
        if total == 0:
            return None
        chosen = int(rng.choice(weights.size, p=weights.astype(np.float64) / total))
        apart = np.linalg.norm(self.points_S_mm - self.points_S_mm[:, chosen, None], axis=0)
        np.minimum(self.clear_mm, apart - reach_mm, out=self.clear_mm)
        return chosen

    def keep_clear_of(self, level_mm: Floats) -> None:
        """Exclude the region where this lattice field is above 0 from further placement."""
        np.minimum(self.clear_mm, -at_points(level_mm, self.points_S_mm), out=self.clear_mm)


def draw_places(subject: Subject, spacing_mm: Sequence[float], rng: np.random.Generator) -> Places:
    """Scatter candidate points over the head for lesions that will be written at this spacing."""
    low, high = _BOX_S_MM.T
    points = (low[:, None] + rng.random((3, _CANDIDATES)) * (high - low)[:, None]).astype(np.float32)
    template = subject.template
    grey, white = subject.at(template.grey, points), subject.at(template.white, points)
    keep = grey + white > 0.6
    points, grey, white = points[:, keep], grey[keep], white[keep]
    slope = np.stack(
        [_ventricle_mm(subject, points, axis, 3) - _ventricle_mm(subject, points, axis, -3) for axis in range(3)]
    )
    return Places(
        points_S_mm=points,
        white=white,
        grey=grey,
        ventricle_mm=subject.at(template.ventricle_mm, points),
        cortex_mm=subject.at(template.cortex_mm, points),
        away_from_ventricle=slope / (np.linalg.norm(slope, axis=0) + 1e-3),
        proneness=np.exp(0.9 * at_points(smooth_noise(rng, 14.0), points)),
        gap_mm=2.0 * max(spacing_mm),
        smallest_mm3=8.0 * math.prod(spacing_mm),
        clear_mm=np.full(points.shape[1], np.inf, dtype=np.float32),
    )


def _ventricle_mm(subject: Subject, points_S_mm: Floats, axis: int, shift_mm: float) -> Floats:
    moved = points_S_mm.copy()
    moved[axis] += shift_mm
    return subject.at(subject.template.ventricle_mm, moved)
