"""Compute the noiseless signal of each MR contrast from tissues and lesions; white matter = 1.

Arrays have the axes I J K of the view on which the signals are computed.
"""

from __future__ import annotations

import numpy as np

from lesionlab.simulation.frames import Floats, View
from lesionlab.simulation.lesions import Painting
from lesionlab.simulation.sites import Site
from lesionlab.simulation.subject import Subject, Tissues
from storage_schemas.cohorts import Contrast


def signal(
    contrast: Contrast, subject: Subject, tissues: Tissues, painting: Painting, view: View, site: Site
) -> Floats:
    """Signal of one contrast on the view; 0 outside the head, or outside the brain if the site skull-strips."""
    if contrast == "FLAIR":
        brain = _flair(subject, tissues, painting, view, site)
    else:
        brain = _t1(subject, tissues, painting, view)
        if contrast == "ce-gadolinium_T1w":
            brain = _with_gadolinium(brain, subject, tissues, painting, view)
    if site.skull_stripped:
        return brain * tissues.stripped
    fat, muscle, dura = (site.fat, 0.42, 0.5) if contrast == "FLAIR" else (1.5, 0.55, 0.45)
    if contrast == "ce-gadolinium_T1w":
        dura = 0.9
    return brain + _coverings(subject, tissues, view, fat=fat, muscle=muscle, dura=dura)


def _flair(subject: Subject, tissues: Tissues, painting: Painting, view: View, site: Site) -> Floats:
    tone, flow, rim = (view.field(f) for f in (subject.grey_tone, subject.fluid_flow, subject.rim))
    low = tissues.points_T_mm[2] < 8
    fluid = 0.1 + 0.3 * np.clip(flow - 1.2, 0, 1.5) * low
    seam = 0.22 * rim * np.exp(-((tissues.ventricle_mm / 2.2) ** 2))
    healthy = (
        tissues.white * (1 + 0.02 * tone + seam)
        + tissues.grey * (site.grey_gain + 0.05 * tone + 0.5 * seam)
        + tissues.csf * fluid
        - 0.45 * tissues.detail * (tissues.white + tissues.grey)
    )
    brain: Floats = np.maximum(healthy + painting.flair_gain_ijk, 0)
    return brain


def _t1(subject: Subject, tissues: Tissues, painting: Painting, view: View) -> Floats:
    tone = view.field(subject.grey_tone)
    healthy = tissues.white + tissues.grey * (0.72 + 0.02 * tone) + tissues.csf * 0.24 + 0.9 * tissues.detail
    brain: Floats = np.maximum(healthy - painting.t1_loss_ijk, 0.05 * tissues.csf)
    return brain


def _with_gadolinium(brain: Floats, subject: Subject, tissues: Tissues, painting: Painting, view: View) -> Floats:
    """Add contrast enhancement of blood, meninges, choroid plexus and active lesions."""
    template, points_T = subject.template, tissues.points_T_mm
    flow = view.field(subject.fluid_flow)
    veins = np.clip(0.5 - template.vein_mm.at(points_T), 0, 1) * (1 - 0.7 * tissues.white)
    plexus = np.clip(2.4 - template.plexus_mm.at(points_T), 0, 1) * tissues.csf
    sulcal_veins = np.clip(1.5 * flow - 1.6, 0, 1) * tissues.csf * (tissues.outside_mm > -22)
    meninges = _falx_and_tentorium(tissues) * 0.45
    rise = np.maximum.reduce([1.5 * veins, (0.9 + 0.2 * flow) * plexus, 0.9 * sulcal_veins, meninges])
    active = painting.enhancement_ijk > 0
    lesion = painting.enhancement_ijk + painting.t1_loss_ijk * active
    bright: Floats = brain * 1.04 + np.maximum(rise, lesion)
    return bright


def _falx_and_tentorium(tissues: Tissues) -> Floats:
    """Fraction (0–1) of dura: thin sheets in the fluid between the hemispheres and above the cerebellum."""
    x, y, z = tissues.points_T_mm
    falx = np.clip(1.6 - np.abs(x), 0, 1) * (z > -8)
    crest = np.interp(y, [-98, -76, -56, -40, -20], [-12, 2, 12, 4, -20])
    tentorium = np.clip(2.0 - np.abs(z - crest + 0.42 * np.abs(x)), 0, 1) * (y < -28)
    return np.maximum(falx, tentorium) * np.clip(2 * tissues.csf, 0, 1)  # type: ignore[no-any-return]


def _coverings(subject: Subject, tissues: Tissues, view: View, fat: float, muscle: float, dura: float) -> Floats:
    """Signal of dura, marrow, muscle, scalp and orbits; bone and air stay dark."""
    image = np.zeros_like(tissues.outside_mm)
    beyond = tissues.outside_mm > 1.0
    x, y, z = (axis[beyond] for axis in tissues.points_T_mm)
    outside = tissues.outside_mm[beyond]
    uneven, coarse = view.field(subject.fluid_flow)[beyond], view.field(subject.grey_tone)[beyond]
    skin = subject.template.skin_mm.at(np.stack([x, y, z]))
    skin *= 1 + 0.1 * coarse
    bone_mm = 6.2 + 0.8 * coarse
    membrane = np.clip(1 - np.abs(outside - 2.0) / 0.9, 0, 1) * dura
    marrow = np.clip(1.2 - np.abs(outside - 0.62 * bone_mm) / 1.2, 0, 1) * 0.3 * fat * np.clip(1 + 0.6 * uneven, 0, 2)
    beneath = np.clip(outside - bone_mm, 0, 1)
    scalp = np.clip(1.2 * skin, 0, 1) * np.clip((5.5 - skin) / 1.5, 0, 1) * fat * np.clip(0.85 + 0.2 * uneven, 0, 2)
    airy = np.clip(1.2 * (coarse + uneven) * (y > 18) + 0.6 * uneven * (y <= 18), 0, 1)
    flesh = np.clip(skin - 4.5, 0, 1) * (1 - airy) * (muscle + 0.5 * fat * np.clip(0.6 * uneven - 0.1, 0, 1))
    eye_mm = np.sqrt((np.abs(x) - 33) ** 2 + (y - 66) ** 2 + (z + 40) ** 2)
    orbit, globe = np.clip(20 - eye_mm, 0, 1) * (skin > 2), np.clip(12.5 - eye_mm, 0, 1)
    flesh = flesh * (1 - orbit) + orbit * (0.8 * fat * (1 - globe) + 0.15 * globe)
    image[beyond] = np.maximum.reduce([membrane, marrow, beneath * scalp, beneath * flesh])
    return image
