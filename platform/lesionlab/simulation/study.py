"""Simulate one patient of a plan: all images and masks, in memory.

Frames: S subject mm, W scanner mm. Array axes: I J K voxels of the written grid.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lesionlab.simulation.contrast import signal
from lesionlab.simulation.frames import Grid, View, rigid
from lesionlab.simulation.lesions import Findings, Mask, paint, replace_solid
from lesionlab.simulation.pathologies import draw_mass, draw_visits, new_findings
from lesionlab.simulation.scanner import acquire
from lesionlab.simulation.sites import Site, scan_grid, splits
from lesionlab.simulation.subject import Subject, Tissues, draw_subject, tissues_on
from lesionlab.simulation.template import load_template
from storage_schemas.cohorts import CohortPlan, Contrast, Pathology

_CENTRE_MM = np.array([0.0, -18.0, 8.0])


@dataclass(frozen=True)
class Visit:
    """Images and masks of one session, on one grid."""

    grid: Grid
    images: dict[Contrast, NDArray[np.int16]]
    lesion: Mask
    enhancing: Mask


@dataclass(frozen=True)
class Patient:
    """One simulated patient."""

    age: int
    sex: str
    pathology: Pathology
    site: Site
    visits: tuple[Visit, ...]
    new_lesion: Mask | None
    """On the grid of the first visit; None if there is only one visit."""


def simulate_patient(plan: CohortPlan, pathology: Pathology, site: Site, rng: np.random.Generator) -> Patient:
    """Draw a head, its lesions and its scans."""
    grid = scan_grid(site, plan.spacing_mm)
    factors = splits(grid)
    age, sex = _person(pathology, rng)
    mass = draw_mass(pathology, rng)
    step_mm = float(max(grid.spacing_mm / factors))
    # A grid coarser than the template needs a template blurred to its voxel size.
    template = load_template(round(0.4 * step_mm, 2) if step_mm > 1.4 else 0.0)
    subject = draw_subject(template, age, mass, rng)
    findings = draw_visits(pathology, subject, mass, plan.timepoints, grid.spacing_mm.tolist(), rng)
    pose = rigid(rng.normal(0, [3.0, 1.5, 2.0]), rng.normal(0, [1.5, 2.0, 2.0]), _CENTRE_MM)
    first = View(grid.finer(factors), pose)
    tissues = tissues_on(subject, first)
    visits = [_scan(subject, tissues, findings[0], first, grid, factors, plan, site, rng)]
    if plan.timepoints == 1:
        return Patient(age, sex, pathology, site, tuple(visits), new_lesion=None)
    new = new_findings(findings[0], findings[1])
    new_lesion = paint(new, replace_solid(new, tissues, first), first, factors).lesion_IJK & ~visits[0].lesion
    moved = pose @ rigid(rng.normal(0, 2.0, 3), rng.normal(0, 2.0, 3), _CENTRE_MM)
    second = View(first.grid, moved)
    visits.append(_scan(subject, tissues_on(subject, second), findings[1], second, grid, factors, plan, site, rng))
    return Patient(age, sex, pathology, site, tuple(visits), new_lesion=new_lesion)


def _scan(
    subject: Subject,
    tissues: Tissues,
    findings: Findings,
    view: View,
    grid: Grid,
    factors: tuple[int, int, int],
    plan: CohortPlan,
    site: Site,
    rng: np.random.Generator,
) -> Visit:
    tissues = replace_solid(findings, tissues, view)
    painting = paint(findings, tissues, view, factors)
    images = {
        contrast: acquire(signal(contrast, subject, tissues, painting, view, site), view, factors, site, rng)
        for contrast in plan.contrasts
    }
    return Visit(grid, images, painting.lesion_IJK, painting.enhancing_IJK)


def _person(pathology: Pathology, rng: np.random.Generator) -> tuple[int, str]:
    """Age in years and sex; for MS as in Table 1 of Wahlig et al. 2023 (45 ± 12 years, 70 % female)."""
    mean, spread, female = {
        "ms": (45, 12, 0.7),
        "glioma": (58, 13, 0.42),
        "leukodystrophy": (34, 11, 0.5),
        "small-vessel": (70, 9, 0.5),
        "metastases": (61, 11, 0.5),
    }[pathology]
    return int(np.clip(round(rng.normal(mean, spread)), 18, 89)), "F" if rng.random() < female else "M"
