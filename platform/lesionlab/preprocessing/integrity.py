"""The files of one study in; its scans in memory and what had to be repaired, or every fault at once, out.

What was found goes by what the task calls the image (`flair`, `initial`, …), `mask` and `second mask`: paths and file
names can identify a patient.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np

from lesionlab.errors import ImageError, StudyRefused
from lesionlab.imaging.intensity import HeadMask, head_mask, z_score
from lesionlab.imaging.placement import SAME_PLACE_MM, corner_gap_mm
from lesionlab.imaging.resample import turned, turned_grid
from lesionlab.imaging.volume import Examined, Volume, examine_image, examine_mask, matrix_of, spacing_of
from lesionlab.preprocessing.files import Reference, StudyFiles
from lesionlab.preprocessing.paths import place_of
from lesionlab.preprocessing.reference import bring_to_native
from storage_schemas.tasks import Task
from storage_schemas.verdicts import Finding
from storage_schemas.volumes import Grid, RegistrationReport

INSIDE_HEAD = 0.5
"""Part of a mask's voxels that must lie in the head; 0.95 and more in published masks, also of stripped heads."""
LEAST_CORRELATION: dict[Literal["rigid", "syn"], float] = {"rigid": 0.75, "syn": 0.85}
"""Of the edges of two registered images, on real scans at 2 mm.

syn, two visits: 0.96 and more where it is right, 0.91 with a bias field of twofold on one visit; at most 0.79 for
another patient's head, 0.63 where a head lies back to front or upside down. rigid, T1 before and after gadolinium: 0.87
and more where it is right, also with a large enhancing tumour; at most 0.66 for another patient's head.
"""
LEAST_OVERLAP = 0.85
"""Dice of the two heads: 0.92 and more where it is right, 0.83 and less where it got stuck or half a head lacks."""
WORST_LOSS = 0.02
"""Of correlation, to the images as their headers place them: a registration that makes it worse has failed."""


@dataclass(frozen=True, eq=False)
class Scans:
    """One study in memory: images by role, and the masks on the grid of the task's native image."""

    images: Mapping[str, Volume]
    reference: Volume
    second: Volume | None
    """Another rater's mask."""
    findings: tuple[Finding, ...]
    """What had to be repaired."""


def read_scans(files: StudyFiles, task: Task) -> Scans:
    """Read and check one study. Raises StudyRefused with all that was found, in each of its files."""
    findings: list[Finding] = []
    examined = {role: examine_image(path, place_of(task, role)) for role, path in files.images.items()}
    images = {role: one.volume for role, one in examined.items() if one.volume is not None}
    heads: dict[str, HeadMask] = {}
    for role, one in examined.items():
        findings += one.findings
        if role in images:
            try:
                heads[role] = head_mask(images[role].voxels)
                z_score(images[role].voxels, heads[role])
            except ImageError as error:
                findings.append(Finding(code=error.code, place=place_of(task, role), what=str(error)))
    findings += twin_findings(images)
    native, head = examined[task.native], heads.get(task.native)
    reference = _read_mask(files.reference, "mask", native, head, task, findings)
    second = _read_mask(files.second, "second mask", native, head, task, findings) if files.second else None
    if reference is None or any(not finding.repaired for finding in findings):
        raise StudyRefused(findings)
    return Scans(images, reference, second, tuple(findings))


def twin_findings(images: Mapping[str, Volume]) -> list[Finding]:
    """Images of one study that are one image, voxel for voxel, in whatever orientation they were saved."""
    return [
        Finding(
            code="identical-visits",
            place=other,
            what=f"has the same voxels as {one}; wanted two scans; find the one that is missing",
        )
        for one, other in combinations(images, 2)
        if np.array_equal(images[one].voxels, turned(images[other], images[one].grid).voxels)
    ]


def grid_finding(mask: Grid, image: Grid, place: str, role: str) -> Finding | None:
    """How the grid of a mask differs from that of the image that it was drawn on; None where they are one grid.

    Corners up to SAME_PLACE_MM apart are rounding. The same voxels in another order are put in the image's order.
    """
    same = turned_grid(mask, image)
    remedy = f"resample the mask onto the {role} or exclude the study"
    mask_mm, image_mm = spacing_of(matrix_of(same)), spacing_of(matrix_of(image))
    if not np.allclose(mask_mm, image_mm, atol=1e-3):
        what = f"has voxels of {_by(mask_mm)} mm, but the {role} of {_by(image_mm)} mm; {remedy}"
    elif same.shape != image.shape:
        what = f"has the shape {mask.shape}, but the {role} {image.shape}; {remedy}"
    elif (gap_mm := corner_gap_mm(matrix_of(same), matrix_of(image), image.shape)) > SAME_PLACE_MM:
        what = f"its corners lie up to {gap_mm:.1f} mm from those of the {role}; {remedy}"
    elif same != mask:
        what = f"its voxels lie in another order than those of the {role}; they were put in that order, none changed"
        return Finding(code="grid-mismatch", place=place, what=what, repaired=True)
    else:
        return None
    return Finding(code="grid-mismatch", place=place, what=what)


def registration_findings(reports: Sequence[RegistrationReport], task: Task) -> list[Finding]:
    """Registrations that failed, by the correlation of edges and the overlap of the heads."""
    declared = {move.moving: move.least_correlation for move in task.registrations}
    findings = []
    for report in reports:
        bound = declared.get(report.moving)
        least = max(LEAST_CORRELATION[report.kind] if bound is None else bound, report.correlation_before - WORST_LOSS)
        if report.correlation_after < least or report.head_overlap < LEAST_OVERLAP:
            what = (
                f"wanted edges that correlate with those of {report.fixed} by {least:.2f} and heads that overlap by "
                f"{LEAST_OVERLAP}, found {report.correlation_after:.2f} and {report.head_overlap:.2f} after "
                f"registration ({report.correlation_before:.2f} before); check that both show the same head, whole "
                "and upright"
            )
            findings.append(Finding(code="registration-failed", place=report.moving, what=what))
    return findings


def _read_mask(
    reference: Reference, place: str, native: Examined, head: HeadMask | None, task: Task, findings: list[Finding]
) -> Volume | None:
    """A mask on the native grid, and what was found in it; None where there is none on that grid."""
    examined = examine_mask(reference.mask, place)
    findings += examined.findings
    drawn = examined.volume is not None and examined.volume.voxels.any()
    if examined.volume is not None and not drawn and task.lesion_free == "suspicious":
        what = "wanted lesions, found none; draw them, or exclude the study if its patient has none"
        findings.append(Finding(code="mask-empty", place=place, what=what))
    mask = _bring_home(examined, reference, place, native, task, findings)
    if mask is not None and head is not None and drawn:
        inside = int(np.count_nonzero(mask.voxels[head])) / max(int(np.count_nonzero(mask.voxels)), 1)
        if inside < INSIDE_HEAD:
            what = f"wanted lesions in the head, found {1 - inside:.0%} outside"
            remedy = "check that mask and image belong together"
            findings.append(Finding(code="mask-outside", place=place, what=f"{what}; {remedy}"))
    return mask


def _bring_home(
    examined: Examined, reference: Reference, place: str, native: Examined, task: Task, findings: list[Finding]
) -> Volume | None:
    """The mask on the native grid by its transform or, where it has none, because it lies there already."""
    if examined.grid is None or native.grid is None:
        return None
    if reference.transform is None:
        mismatch = grid_finding(examined.grid, native.grid, place, place_of(task, task.native))
        findings += [mismatch] if mismatch else []
        if examined.volume is None or (mismatch and not mismatch.repaired):
            return None
        return Volume(turned(examined.volume, native.grid).voxels, matrix_of(native.grid))
    findings += _ambiguous_worlds((examined, native), place)
    if examined.volume is None:
        return None
    try:
        return bring_to_native(examined.volume, reference.transform, native.grid)
    except ImageError as error:
        what = str(error).replace(str(reference.transform), "the transform")
        findings.append(Finding(code=error.code, place=place, what=what))
        return None


def _ambiguous_worlds(scans: Sequence[Examined], place: str) -> list[Finding]:
    """A transform holds in one world only: where a header names two, nobody knows for which it was computed."""
    conflicts = [one for scan in scans for one in scan.findings if one.code == "sform-qform-conflict" and one.repaired]
    what = "has a transform, but sform and qform name two worlds; find out which it belongs to and remove the other"
    return [Finding(code="sform-qform-conflict", place=place, what=what)] if conflicts else []


def _by(spacing_mm: Sequence[float]) -> str:
    return " × ".join(f"{mm:.4g}" for mm in spacing_mm)
