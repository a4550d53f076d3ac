"""Draw one person's head from the template at random; compute its tissues on any grid.

Frames: S subject mm, T template mm (see frames.py). Array axes: a b c lattice knots; I J K voxels of a view.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lesionlab.simulation.frames import (
    LATTICE_SPACING_MM,
    Floats,
    View,
    at_points,
    lattice_points,
    smooth_noise,
)
from lesionlab.simulation.template import Map, Template

_CENTRE_S_MM = np.array([0.0, -18.0, 8.0], dtype=np.float32)
_SQUARINGS = 4
_THIN_CORTEX = np.float32(1.3)
"""Odds of white against grey matter; corrects the template's cortex, which averaging has thickened."""


@dataclass(frozen=True)
class Mass:
    """A tumour with mass effect: it displaces the brain around it."""

    centre_S_mm: Floats
    radius_mm: float
    push_mm: float


@dataclass(frozen=True)
class Subject:
    """One head. All fields are on the subject lattice, so two visits of one person share them."""

    template: Template
    displacement_mm: Floats
    """Displacement from subject to template, shape (3, a, b, c)."""
    sulci: Floats
    """Log odds of fluid against cortex: atrophy and individual folding."""
    grey_tone: Floats
    """Slow regional variation of the cortical signal, SD 1."""
    fluid_flow: Floats
    """Where CSF pulsation is likely to cause bright FLAIR artefacts, SD 1."""
    rim: Floats
    """Strength of the normal bright FLAIR rim along the ventricles, 0 or more."""

    def at(self, map_T: Map, points_S_mm: Floats) -> Floats:
        """Value of a template map at subject points (3, N), shape (N,)."""
        return map_T.at(self.to_template(points_S_mm))

    def to_template(self, points_S_mm: Floats) -> Floats:
        """Template mm of subject points, both (3, …)."""
        return np.stack([p + at_points(d, points_S_mm) for p, d in zip(points_S_mm, self.displacement_mm, strict=True)])


@dataclass(frozen=True)
class Tissues:
    """Content of each voxel of a view, shape (I, J, K): tissue fractions 0–1, distances and template position."""

    grey: Floats
    white: Floats
    csf: Floats
    detail: Floats
    ventricle_mm: Floats
    outside_mm: Floats
    stripped: NDArray[np.bool_]
    """Mask that a skull-stripping tool would keep."""
    points_T_mm: Floats
    """Shape (3, I, J, K)."""


def draw_subject(template: Template, age: float, mass: Mass | None, rng: np.random.Generator) -> Subject:
    """Draw a random person of this age: head shape, ventricles and atrophy (both grow with age), space for a `mass`.

    The deformation is exp(v) of a stationary velocity field v, so it never folds. Typical displacement 3–6 mm.
    """
    points = lattice_points()
    velocity = np.stack([2.6 * smooth_noise(rng, 22.0) + 1.7 * smooth_noise(rng, 8.0) for _ in range(3)])
    years = max(0.0, age - 30) / 40
    velocity += _towards_ventricles(template, points) * rng.normal(0.6 + 3.2 * years, 1.5)
    if mass is not None:
        velocity += _away_from(mass, points)
    displacement = _exponential(velocity.astype(np.float32))
    # The template is larger than most heads.
    size = rng.normal(0.92, [0.03, 0.035, 0.03]).astype(np.float32)
    displacement += (1 / size - 1)[:, None, None, None] * (points - _CENTRE_S_MM[:, None, None, None])
    atrophy = rng.normal(1.4 + 0.9 * years, 0.35)
    return Subject(
        template=template,
        displacement_mm=displacement,
        sulci=(atrophy + 1.2 * smooth_noise(rng, 4.5)).astype(np.float32),
        grey_tone=smooth_noise(rng, 14.0),
        fluid_flow=smooth_noise(rng, 5.0),
        rim=np.maximum(0, rng.normal(0.5 + years, 0.4) + 0.5 * smooth_noise(rng, 7.0)).astype(np.float32),
    )


def tissues_on(subject: Subject, view: View) -> Tissues:
    """Compute the subject's tissues on the grid of a view; each map is interpolated only once, from the template."""
    knots_S = view.knots_S_mm()
    points_T = np.stack([view.spread(axis) for axis in subject.to_template(knots_S)])
    template = subject.template
    grey, white, csf = (m.at(points_T) for m in (template.grey, template.white, template.csf))
    outside_mm = template.outside_mm.at(points_T)
    stripped = grey + white + csf > 0.5
    csf = np.maximum(csf, np.clip((2.0 - outside_mm) / 1.0, 0, 1) * (1 - grey - white))
    inside = np.minimum(grey + white + csf, 1)
    odds = np.exp(view.spread(at_points(subject.sulci, knots_S)))
    # The odds matter only where fluid and cortex meet; pure tissue stays unchanged.
    white *= _THIN_CORTEX
    csf *= odds
    total = grey + white + csf + 1e-6
    return Tissues(
        grey=grey / total * inside,
        white=white / total * inside,
        csf=csf / total * inside,
        detail=template.detail.at(points_T),
        ventricle_mm=template.ventricle_mm.at(points_T),
        outside_mm=outside_mm,
        stripped=stripped,
        points_T_mm=points_T,
    )


def _exponential(velocity_mm: Floats) -> Floats:
    """Displacement of exp(velocity), by scaling and squaring."""
    step = velocity_mm / (2**_SQUARINGS * LATTICE_SPACING_MM)
    knots = np.indices(step.shape[1:]).astype(np.float32)
    for _ in range(_SQUARINGS):
        moved = knots + step
        step = step + np.stack([ndimage.map_coordinates(axis, moved, order=1, mode="nearest") for axis in step])
    return step * LATTICE_SPACING_MM  # type: ignore[no-any-return]


def _towards_ventricles(template: Template, points: Floats) -> Floats:
    """Field of maximum norm 1 that, added to a pull-back, widens the lateral ventricles."""
    near = ndimage.gaussian_filter((template.ventricle_mm.at(points) < 1.5).astype(np.float32), 1.2)
    slope = np.stack(np.gradient(near))
    return slope / np.linalg.norm(slope, axis=0).max()  # type: ignore[no-any-return]


def _away_from(mass: Mass, points: Floats) -> Floats:
    """Pull-back that moves tissue outward, most at the edge of the mass, fading within two radii."""
    offset = points - mass.centre_S_mm[:, None, None, None]
    reach = np.linalg.norm(offset, axis=0) / mass.radius_mm
    pull: Floats = -offset / mass.radius_mm * mass.push_mm * np.exp(-0.5 * reach**2) * 1.65
    return pull
