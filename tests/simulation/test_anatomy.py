"""Simulated heads differ from each other, change with age and never fold."""

from __future__ import annotations

import numpy as np
import pytest

from lesionlab.simulation.frames import LATTICE_SPACING_MM, Floats, View, lattice_points
from lesionlab.simulation.pathologies import draw_mass
from lesionlab.simulation.sites import SITES, scan_grid
from lesionlab.simulation.subject import Mass, Subject, draw_subject, tissues_on
from lesionlab.simulation.template import load_template

COARSE = View(scan_grid(SITES["premier"], 4.0), np.eye(4))


def person(seed: int, age: float = 45, mass: Mass | None = None) -> Subject:
    return draw_subject(load_template(0.8), age, mass, np.random.default_rng(seed))


def jacobian(subject: Subject) -> Floats:
    mapping = lattice_points() + subject.displacement_mm
    slopes = np.stack([np.stack(np.gradient(axis, LATTICE_SPACING_MM)) for axis in mapping])
    return np.linalg.det(np.moveaxis(slopes, (0, 1), (-2, -1)))


def ventricle_ml(subject: Subject) -> float:
    tissues = tissues_on(subject, COARSE)
    return float(tissues.csf[tissues.ventricle_mm < 2].sum()) * 64 / 1000


@pytest.mark.parametrize("seed", range(5))
def test_the_deformation_of_a_head_never_folds(seed: int) -> None:
    rng = np.random.default_rng(seed)
    assert jacobian(person(seed, mass=draw_mass("glioma", rng))).min() > 0.1


def test_old_brains_have_wider_ventricles() -> None:
    young, old = (np.mean([ventricle_ml(person(seed, age)) for seed in range(6)]) for age in (25, 80))
    assert old > 1.2 * young


def test_no_two_heads_are_alike() -> None:
    brains = [tissues_on(person(seed), COARSE).white for seed in range(3)]
    for i, j in [(0, 1), (0, 2), (1, 2)]:
        assert np.corrcoef(brains[i].ravel(), brains[j].ravel())[0, 1] < 0.93


def test_tissue_fractions_of_a_voxel_sum_to_at_most_one() -> None:
    tissues = tissues_on(person(0), COARSE)
    total = tissues.grey + tissues.white + tissues.csf
    assert total.max() <= 1 + 1e-5
    assert min(t.min() for t in (tissues.grey, tissues.white, tissues.csf)) >= 0


def test_a_tumour_displaces_the_ventricle() -> None:
    mass = Mass(np.array([36.0, -20.0, 20.0], dtype=np.float32), 18.0, push_mm=7.0)
    wall = np.array([[20.0], [-20.0], [18.0]], dtype=np.float32)
    free, pushed = (s.at(s.template.ventricle_mm, wall)[0] for s in (person(4), person(4, mass=mass)))
    assert pushed > free + 1
