"""Register and normalise the images of one study; stack them as the network's channels on one grid.

C channel, I J K voxels of the isotropic grid of the task's native image, whole or cut to the head.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from types import MappingProxyType
from typing import cast

import numpy as np
from numpy.typing import NDArray

from lesionlab.errors import ImageError, StudyRefused
from lesionlab.imaging.boxes import bounding_box, grid_within
from lesionlab.imaging.intensity import HeadMask, Standardised, air_level, head_mask, z_score
from lesionlab.imaging.layers import layers_png
from lesionlab.imaging.register import Kind, Registered, register
from lesionlab.imaging.resample import model_grid, resample_linear
from lesionlab.imaging.volume import Image, Mask, Matrix, Volume
from lesionlab.imaging.warp import Steps
from lesionlab.preprocessing.registrations import registration_findings
from lesionlab.preprocessing.stripping import FindBrain, brain_of, brain_on
from storage_schemas.tasks import Channel, Registration, Task
from storage_schemas.verdicts import Finding
from storage_schemas.volumes import Affine, Deformation, Grid, Normalisation, RegistrationReport

AROUND_HEAD_MM = 3.0
"""Margin around the head's box: one SD of the elastic displacement (Elastic.sd_mm), and more than the half voxel by
which the head mask may miss its border. A wider one costs windows: at 3 mm ten real scans take 18 to 60 of 96³ at step
32, where their whole grids take 80 to 108."""


@dataclass(frozen=True, eq=False)
class PreparedImages:
    """The images of one study as network input."""

    image_CIJK: NDArray[np.float16]
    model_grid: Grid
    """The part of `whole_grid` around the head."""
    whole_grid: Grid
    """Covers the whole native image; the deformations lie on it."""
    normalisation: tuple[Normalisation, ...]
    registrations: tuple[RegistrationReport, ...]
    deformations: Mapping[str, Steps]
    """By the array name given in the registration reports."""
    pictures: Mapping[str, bytes]
    """PNG of each registration, by the role of the moved image, and of the brain as `brain`."""
    findings: tuple[Finding, ...]
    """On registrations that are doubtful."""
    brain_ijk: Mask | None = None
    """The brain on the native grid, if the skull was removed."""


def prepare_images(
    images: Mapping[str, Volume],
    task: Task,
    spacing_mm: float,
    *,
    registered: bool = False,
    transforms: Mapping[str, Matrix] = MappingProxyType({}),
    accepted: bool = False,
    find_brain: FindBrain | None = None,
) -> PreparedImages:
    """Compute the task's channels on one model grid: z-scored images, by role, or differences of two.

    Mean and SD of every image are computed over the same voxels: the native image's head where all images have data. So
    equal tissue has equal values, as a difference requires. Where an image has no data its channel has the value of
    air, as outside the border of any scan. A difference is 0 outside those voxels: without data no change is known, and
    air, which has another z-score in each image, would differ by as much as a lesion does.

    The channels are cut to the box of the native image's head and AROUND_HEAD_MM around it. The box depends on the
    image alone, so a scan without a reference mask gets the same.

    `registered`: the images are registered already and keep the places in their headers. `transforms`: the user's own
    registrations (4×4, RAS+ mm, from the world of the fixed image to that of the moving one), by the role of the
    moving image; they take the place of ours and are checked like them. `accepted`: somebody has looked at the
    registrations. `find_brain` removes the skull: after registration, every image gets its value of air
    outside the brain of the native image. Raises StudyRefused if a registration failed, an image has no contrast or no
    brain was found.
    """
    grid = model_grid(images[task.native].grid, spacing_mm)
    moves = {move.moving: move for move in task.registrations}
    aligned_IJK: dict[str, Image] = {}
    reports: list[RegistrationReport] = []
    deformations: dict[str, Steps] = {}
    pictures: dict[str, bytes] = {}
    for role in task.roles:
        if role not in moves:
            aligned_IJK[role] = resample_linear(images[role].voxels, images[role].grid, grid, outside=np.nan)
            continue
        given = transforms.get(role)
        kind: Kind = moves[role].kind if given is None else "given"
        if registered and given is None:
            kind = "header"
        found = _registered(images, moves[role], kind, grid, given)
        report = _registration_report(moves[role], kind, found)
        reports.append(report)
        pictures[role] = found.picture
        aligned_IJK[role] = found.voxels_IJK
        if report.deformation and found.deformation_3IJK is not None:
            deformations[report.deformation.array] = found.deformation_3IJK
    findings = registration_findings(reports, task, accepted=accepted)
    if any(not finding.repaired for finding in findings):
        raise StudyRefused(findings, pictures)
    air = {role: air_level(image.voxels) for role, image in images.items()}
    brain_ijk: Mask | None = None
    if find_brain is not None:
        native = images[task.native]
        brain_ijk = brain_of(native, find_brain, task.native)
        brain_IJK = brain_on(grid, brain_ijk, native.grid)
        pictures["brain"] = layers_png(np.nan_to_num(aligned_IJK[task.native], nan=air[task.native]), brain_IJK)
        aligned_IJK = {
            role: np.where(brain_IJK, image_IJK, np.float32(air[role])) for role, image_IJK in aligned_IJK.items()
        }
    head_IJK = _head(aligned_IJK[task.native], air[task.native], task.native)
    box = bounding_box(head_IJK, ceil(AROUND_HEAD_MM / spacing_mm))
    shown_IJK = head_IJK & np.isfinite(list(aligned_IJK.values())).all(axis=0)
    scaled = _scaled(aligned_IJK, shown_IJK)
    return PreparedImages(
        image_CIJK=np.stack([_channel(channel, scaled, air, shown_IJK)[box] for channel in task.channels]),
        model_grid=grid_within(grid, box),
        whole_grid=grid,
        normalisation=tuple(Normalisation(image=role, mean=image.mean, sd=image.sd) for role, image in scaled.items()),
        registrations=tuple(reports),
        deformations=deformations,
        pictures=pictures,
        findings=tuple(findings),
        brain_ijk=brain_ijk,
    )


def _registered(
    images: Mapping[str, Volume], move: Registration, kind: Kind, grid: Grid, given: Matrix | None
) -> Registered:
    try:
        return register(images[move.fixed], images[move.moving], kind, grid, given)
    except ImageError as error:
        raise StudyRefused([Finding(code=error.code, place=move.moving, what=str(error))]) from error


def _registration_report(move: Registration, kind: Kind, found: Registered) -> RegistrationReport:
    array = f"deformation_{move.moving}"
    return RegistrationReport(
        moving=move.moving,
        fixed=move.fixed,
        kind=kind,
        matrix=cast(Affine, tuple(tuple(map(float, row)) for row in found.matrix)),
        deformation=None if found.deformation_3IJK is None else Deformation(array=array),
        correlation_before=found.correlation_before,
        correlation_after=found.correlation_after,
        head_overlap=found.head_overlap,
        affine_correlation=found.affine.correlation,
        displacement_ratio=found.affine.ratio,
        nearby_correlation=found.affine.nearby,
        mirrored_correlation=found.mirrored_correlation,
        warped_sha256=found.warped_sha256,
    )


def _head(native_IJK: Image, air: float, role: str) -> HeadMask:
    try:
        return head_mask(native_IJK, air)
    except ImageError as error:
        raise StudyRefused([Finding(code=error.code, place=role, what=str(error))]) from error


def _scaled(aligned_IJK: Mapping[str, Image], shown_IJK: HeadMask) -> dict[str, Standardised]:
    """Z-score each image over the part of the head that all images show; NaN (no data) stays NaN."""
    scaled = {}
    for role, image_IJK in aligned_IJK.items():
        try:
            scaled[role] = z_score(image_IJK, shown_IJK)
        except ImageError as error:
            raise StudyRefused([Finding(code=error.code, place=role, what=str(error))]) from error
    return scaled


def _channel(
    channel: Channel, scaled: Mapping[str, Standardised], air: Mapping[str, float], shown_IJK: HeadMask
) -> NDArray[np.float16]:
    image = scaled[channel.image]
    if channel.minus is None:
        air_sds = (air[channel.image] - image.mean) / image.sd
        return np.where(np.isnan(image.voxels_IJK), air_sds, image.voxels_IJK).astype(np.float16)
    change_IJK = image.voxels_IJK - scaled[channel.minus].voxels_IJK
    return np.where(shown_IJK, change_IJK, 0).astype(np.float16)
