"""A plan's line (pathology, site, visits) and chance in; one patient's scans and reference masks out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from lesionlab.simulation.anatomy import Template
from lesionlab.simulation.contrast import render
from lesionlab.simulation.head import Head, Pose, sample_head
from lesionlab.simulation.masks import mask, settle
from lesionlab.simulation.pathology import Findings, draw_findings
from lesionlab.simulation.shapes import LesionMaps, paint
from lesionlab.simulation.sites import CENTRE_MM, Site
from lesionlab.simulation.subject import Subject, draw_subject
from storage_schemas.cohorts import Contrast, Pathology

MaskName = Literal["label-lesion", "label-enhancing", "space-ses01_label-newlesion"]


@dataclass(frozen=True)
class Patient:
    """One person: anatomy, lesions at each visit, and how the head lay in the scanner each time."""

    age: int
    sex: Literal["F", "M"]
    subject: Subject
    findings: Findings
    poses: tuple[Pose, ...]


@dataclass(frozen=True)
class Visit:
    """Images (int16) and masks (uint8) of one visit, i × j × k, all on one grid.

    The mask of new lesions is the exception: it lies on the grid, and in the pose, of the first visit.
    """

    affine: NDArray[np.float64]
    images: Mapping[Contrast, NDArray[np.int16]]
    masks: Mapping[MaskName, NDArray[np.uint8]]


def draw_patient(
    template: Template, pathology: Pathology, visits: int, voxel_mm: float, rng: np.random.Generator
) -> Patient:
    """A random patient; lesions keep `voxel_mm`, the longest edge of a voxel, between each other where possible."""
    mean, spread = (42, 11) if pathology == "ms" else (58, 13)
    age = int(np.clip(rng.normal(mean, spread), 18, 85))
    sex: Literal["F", "M"] = "F" if rng.random() < (0.72 if pathology == "ms" else 0.5) else "M"
    findings = draw_findings(template, pathology, visits, 1.5 + voxel_mm, rng)
    subject = draw_subject(template, rng, age, findings.masses)
    return Patient(age, sex, subject, findings, tuple(_pose(rng) for _ in range(visits)))


def scan_visits(
    template: Template,
    patient: Patient,
    site: Site,
    spacing_mm: float | None,
    contrasts: Sequence[Contrast],
    rng: np.random.Generator,
) -> tuple[Visit, ...]:
    """Every visit's images of the wanted sequences and the masks that belong to them."""
    shape, affine = site.grid(spacing_mm)
    with_gadolinium = "ce-gadolinium_T1w" in contrasts

    def head_with(maps: LesionMaps, pose: Pose) -> Head:
        return settle(
            sample_head(
                template,
                patient.subject,
                maps,
                shape,
                affine,
                pose,
                skull_stripped=site.skull_stripped,
                with_vessels=with_gadolinium,
            )
        )

    visits = []
    for number, (lesions, pose) in enumerate(zip(patient.findings.visits, patient.poses, strict=True)):
        head = head_with(paint(template, lesions), pose)
        masks: dict[MaskName, NDArray[np.uint8]] = {"label-lesion": mask(head, "fraction")}
        if with_gadolinium:
            masks["label-enhancing"] = mask(head, "enhancing")
        if number > 0:
            fresh = head_with(paint(template, lesions[patient.findings.old :]), patient.poses[0])
            masks["space-ses01_label-newlesion"] = mask(fresh, "fraction")
        images = {contrast: render(head, contrast, site, rng) for contrast in contrasts}
        visits.append(Visit(affine, images, masks))
    return tuple(visits)


def _pose(rng: np.random.Generator) -> Pose:
    """Rigid placement of the head in the scanner: a few degrees and millimetres from straight."""
    turn = Rotation.from_euler("xyz", rng.normal(0, (4.0, 2.0, 2.5)), degrees=True).as_matrix()
    pose = np.eye(4)
    pose[:3, :3] = turn
    pose[:3, 3] = CENTRE_MM - turn @ CENTRE_MM + rng.normal(0, 2.5, 3)
    return pose
