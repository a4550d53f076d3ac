"""Draw large lesions of irregular shape at random, as level fields on the subject lattice.

Frames: S subject mm. Array axes: a b c lattice knots.
"""

from __future__ import annotations

import numpy as np

from lesionlab.simulation.frames import Floats, at_points, lattice_points, smooth_noise
from lesionlab.simulation.lesions import Patch, Spot
from lesionlab.simulation.subject import Mass, Subject


def glioma(mass: Mass, conspicuity: float, rng: np.random.Generator) -> tuple[Patch, Patch]:
    """An irregular solid tumour, usually with an enhancing rim around a necrotic core, and its oedema."""
    distance = _distance_mm(mass.centre_S_mm)
    uneven = smooth_noise(rng, 8.0)
    core = mass.radius_mm * (1 + 0.22 * uneven + 0.14 * smooth_noise(rng, 5.0)) - distance
    reach = mass.radius_mm * rng.uniform(1.3, 2.0) + 3
    halo = reach * (1 + 0.22 * smooth_noise(rng, 11.0) + 0.08 * smooth_noise(rng, 5.0)) - distance
    # The falx stops it at the midline.
    own_side = np.sign(mass.centre_S_mm[0]) * lattice_points()[0]
    core, halo = np.minimum(core, own_side), np.minimum(halo, own_side + 4)
    enhances = rng.random() < 0.75
    tumour = Patch(
        level_mm=core.astype(np.float32),
        tone=smooth_noise(rng, 5.0),
        grey_share=1.0,
        flair_gain=float(rng.uniform(0.5, 0.85) * conspicuity),
        t1_loss=float(rng.uniform(0.2, 0.4)),
        edge_mm=3.0,
        solid=True,
        rim_mm=float(rng.uniform(0.15, 0.35) * mass.radius_mm) if enhances else 0.0,
        enhancing=float(rng.uniform(0.5, 1.0)) if enhances else 0.0,
    )
    return _oedema(np.maximum(halo, core).astype(np.float32), conspicuity, rng), tumour


def oedema_around(spots: tuple[Spot, ...], conspicuity: float, rng: np.random.Generator) -> tuple[Patch, ...]:
    """Oedema around about half of the given spots, as one patch; empty if no spot has oedema."""
    swollen = [s for s in spots if rng.random() < 0.5]
    if not swollen:
        return ()
    levels = [float(s.radii_mm.mean() * rng.uniform(1.2, 2.2)) - _distance_mm(s.centre_S_mm) for s in swollen]
    level = np.maximum.reduce(levels) + 1.5 * smooth_noise(rng, 6.0)
    return (_oedema(level.astype(np.float32), conspicuity, rng),)


def leukodystrophy(subject: Subject, conspicuity: float, rng: np.random.Generator) -> Patch:
    """Confluent, symmetric white-matter disease, most severe at one end of the brain, fading towards the cortex."""
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
        flair_gain=float(rng.uniform(0.4, 0.75) * conspicuity),
        t1_loss=float(rng.uniform(0.15, 0.35)),
        edge_mm=5.0,
    )


def vascular_caps(subject: Subject, conspicuity: float, rng: np.random.Generator) -> Patch:
    """Small-vessel disease around the ventricles: caps on the horns and a confluent border."""
    points = lattice_points()
    points_T = subject.to_template(points)
    depth = subject.template.ventricle_mm.at(points_T)
    horns = np.exp(-(((np.abs(points_T[1] + 13) - 42) / 14) ** 2))
    level = rng.uniform(1.5, 5.0) + rng.uniform(2, 6) * horns + 2.5 * smooth_noise(rng, 7.0) - depth
    level = np.minimum(level, points[2] + 8)
    return Patch(
        level_mm=level.astype(np.float32),
        tone=smooth_noise(rng, 6.0),
        grey_share=0.1,
        flair_gain=float(rng.uniform(0.4, 0.7) * conspicuity),
        t1_loss=float(rng.uniform(0.08, 0.2)),
        edge_mm=3.0,
    )


def confluent_ms(subject: Subject, conspicuity: float, rng: np.random.Generator) -> Patch:
    """Confluent periventricular lesions, as seen in patients with a high lesion load."""
    points = lattice_points()
    depth = subject.template.ventricle_mm.at(subject.to_template(points))
    level = rng.uniform(-2.5, 1.5) + 4.0 * smooth_noise(rng, 6.0) - np.abs(depth - 3.0)
    level = np.minimum.reduce([level, points[2] + 2, np.abs(points[0]) - 9])
    return Patch(
        level_mm=level.astype(np.float32),
        tone=smooth_noise(rng, 5.0),
        grey_share=0.0,
        flair_gain=float(rng.uniform(0.4, 0.6) * conspicuity),
        t1_loss=float(rng.uniform(0.1, 0.25)),
        edge_mm=3.0,
    )


def _oedema(level_mm: Floats, conspicuity: float, rng: np.random.Generator) -> Patch:
    """Oedema, which follows white matter, spares the cortex and fades at its edge."""
    return Patch(
        level_mm=level_mm,
        tone=smooth_noise(rng, 5.0),
        grey_share=0.25,
        flair_gain=float(rng.uniform(0.5, 0.8) * conspicuity),
        t1_loss=float(rng.uniform(0.1, 0.2)),
        edge_mm=4.0,
    )


def _distance_mm(centre_S_mm: Floats) -> Floats:
    distance: Floats = np.linalg.norm(lattice_points() - centre_S_mm[:, None, None, None], axis=0)
    return distance
