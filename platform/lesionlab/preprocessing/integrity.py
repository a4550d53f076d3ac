"""Read and check the files of one study; report all repairs or, if it is refused, all faults at once.

Findings name files by their role in the task (`flair`, `initial`, …), `mask` and `second mask`, because paths and file
names can identify a patient.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from pathlib import Path

import numpy as np

from lesionlab.errors import ImageError, StudyRefused
from lesionlab.imaging.extent import implausible_extent
from lesionlab.imaging.forms import Forms, gap_mm, on_other_form
from lesionlab.imaging.intensity import HeadMask, few_values, head_mask, z_score
from lesionlab.imaging.itk import read_affine
from lesionlab.imaging.placement import SAME_PLACE_MM
from lesionlab.imaging.resample import reoriented, reoriented_grid
from lesionlab.imaging.volume import Examined, Matrix, Volume, examine_image, examine_mask, matrix_of, spacing_of
from lesionlab.preprocessing.files import Parts, Reference, StudyFiles
from lesionlab.preprocessing.paths import place_of
from lesionlab.preprocessing.reference import bring_to_native
from storage_schemas.tasks import Task
from storage_schemas.verdicts import Finding
from storage_schemas.volumes import Grid

LARGEST_SHARE = 0.25
"""Maximum volume of all lesions as a fraction of the head; the largest known ones are 5 % (MS, 52 ml) and 14 % (glioma,
195 ml), both of skull-stripped heads."""
INSIDE_HEAD = 0.5
"""Minimum fraction of a mask's voxels inside the head; published masks have at least 0.95, also if skull-stripped."""


@dataclass(frozen=True, eq=False)
class Scans:
    """One study in memory: images by role and masks on the grid of the task's native image."""

    images: Mapping[str, Volume]
    heads: Mapping[str, HeadMask]
    """The head in each image."""
    reference: Volume
    second: Volume | None
    """Another rater's mask."""
    transforms: Mapping[str, Matrix]
    """The user's own registrations by the role of the moving image: from the world of the fixed image to its world."""
    findings: tuple[Finding, ...]
    """All repairs."""


def read_scans(files: StudyFiles, task: Task, *, accepted: bool = False) -> Scans:
    """Read and check one study. Raises StudyRefused with the findings of all its files.

    `accepted`: somebody has looked at the study and vouches for what the files alone cannot show (`--accept`).
    """
    findings: list[Finding] = []
    examined, heads = {}, {}
    for role, path in files.images.items():
        examined[role], head = _examined(path, place_of(task, role), findings)
        if head is not None:
            heads[role] = head
    images = {role: one.volume for role, one in examined.items() if one.volume is not None}
    findings += twin_findings(images)
    native, head = examined[task.native], heads.get(task.native)
    read = partial(_read_mask, native=native, head=head, task=task, accepted=accepted, findings=findings)
    reference = read(files.reference, "mask")
    second = read(files.second, "second mask") if files.second else None
    transforms = _read_transforms(files, task, examined, findings)
    if reference is None or any(not finding.repaired for finding in findings):
        raise StudyRefused(findings)
    return Scans(images, heads, reference, second, transforms, tuple(findings))


def faults_of(parts: Parts) -> list[Finding]:
    """Read the files that an incomplete study has; findings of all of them."""
    findings: list[Finding] = []
    examined = {place: _examined(path, place, findings)[0] for place, path in parts.images.items()}
    findings += twin_findings({place: one.volume for place, one in examined.items() if one.volume is not None})
    for place, mask in parts.masks.items():
        findings += examine_mask(mask.mask, place, mask.labels).findings
    return findings


def twin_findings(images: Mapping[str, Volume]) -> list[Finding]:
    """Findings for images of one study that are identical voxel by voxel, also if saved in different orientations."""
    return [
        Finding(
            code="identical-visits",
            place=other,
            what=f"wanted two different scans, found the same voxels as in {one}; find the missing scan",
        )
        for one, other in combinations(images, 2)
        if np.array_equal(images[one].voxels, reoriented(images[other], images[one].grid).voxels)
    ]


def grid_finding(mask: Grid, image: Grid, place: str, role: str) -> Finding | None:
    """Compare the grid of a mask with that of the image it was drawn on; None if they are the same.

    Corners up to SAME_PLACE_MM apart count as rounding. The same voxels in a different order are reordered.
    """
    same = reoriented_grid(mask, image)
    remedy = f"resample the mask onto the {role} or exclude the study"
    mask_mm, image_mm = spacing_of(matrix_of(same)), spacing_of(matrix_of(image))
    apart_mm = gap_mm(mask, image)
    misplaced = same.shape != image.shape or apart_mm > SAME_PLACE_MM
    if misplaced and not np.allclose(mask_mm, image_mm, atol=1e-3):
        what = f"wanted voxels of {_by(image_mm)} mm, as in the {role}, found {_by(mask_mm)} mm; {remedy}"
    elif same.shape != image.shape:
        what = f"wanted shape {image.shape}, as in the {role}, found {mask.shape}; {remedy}"
    elif misplaced:
        what = f"wanted the corners of the {role}, found them up to {apart_mm:.1f} mm away; {remedy}"
    elif same != mask:
        what = f"found voxels in a different order than in the {role}; they were reordered, values unchanged"
        return Finding(code="grid-mismatch", place=place, what=what, repaired=True)
    else:
        return None
    return Finding(code="grid-mismatch", place=place, what=what)


def _examined(path: Path, place: str, findings: list[Finding]) -> tuple[Examined, HeadMask | None]:
    """Read and check one image; the head in it, None if there is no image or no head."""
    one = examine_image(path, place)
    findings += one.findings
    head = None
    if one.volume is not None and (no_scan := _no_scan(one.volume, place)):
        findings.append(no_scan)
    elif one.volume is not None:
        try:
            head = head_mask(one.volume.voxels)
            z_score(one.volume.voxels, head)
            strange = implausible_extent(head, one.volume.affine, place)
            findings += [strange] if strange and not _wrongly_sized(one) else []
        except ImageError as error:
            findings.append(Finding(code=error.code, place=place, what=str(error)))
    return one, head


def _no_scan(image: Volume, place: str) -> Finding | None:
    """The finding for a file in the place of an image that is no scan of a head: a mask, a label map, one slice."""
    if values := few_values(image.voxels):
        what = f"wanted a scan, found {values} different values, as in a mask or a label map; find the scan"
        return Finding(code="implausible-values", place=place, what=what)
    one_slice = "wanted a head, found one slice; join the slices to one image"
    return Finding(code="not-3d", place=place, what=one_slice) if min(image.voxels.shape) == 1 else None


def _read_mask(
    reference: Reference,
    place: str,
    native: Examined,
    head: HeadMask | None,
    task: Task,
    accepted: bool,
    findings: list[Finding],
) -> Volume | None:
    """Read and check a mask and bring it to the native grid; None if that is not possible."""
    examined = examine_mask(reference.mask, place, reference.labels)
    findings += examined.findings
    drawn = examined.volume is not None and examined.volume.voxels.any()
    if examined.volume is not None and not drawn and task.lesion_free == "suspicious":
        what = "found no lesion in it: it counts as a patient without lesions; if nobody drew it, exclude the study"
        findings.append(Finding(code="mask-empty", place=place, what=what, repaired=True))
    mask = _on_native_grid(examined, reference, place, native, task, accepted, findings)
    if mask is not None and head is not None and drawn:
        inside_voxels, head_voxels = int(np.count_nonzero(mask.voxels[head])), int(np.count_nonzero(head))
        inside, share = inside_voxels / max(int(np.count_nonzero(mask.voxels)), 1), inside_voxels / max(head_voxels, 1)
        if share > LARGEST_SHARE:
            what = f"wanted lesions in at most {LARGEST_SHARE:.0%} of the head, found them in {share:.0%} of it"
            remedy = "this is no mask of lesions, or it is inverted; find the mask that was drawn"
            findings.append(Finding(code="mask-too-large", place=place, what=f"{what}; {remedy}"))
        if inside < INSIDE_HEAD:
            what = f"wanted lesions inside the head, found {1 - inside:.0%} outside"
            remedy = "check that the mask belongs to this image"
            findings.append(Finding(code="mask-outside", place=place, what=f"{what}; {remedy}"))
    return mask


def _on_native_grid(
    examined: Examined,
    reference: Reference,
    place: str,
    native: Examined,
    task: Task,
    accepted: bool,
    findings: list[Finding],
) -> Volume | None:
    """Bring the mask to the native grid by its transform or, if it has none, check that it is already there."""
    if examined.grid is None or native.grid is None or any(map(_wrongly_sized, (examined, native))):
        return None
    if reference.transform is None:
        role = place_of(task, task.native)
        mismatch = grid_finding(examined.grid, native.grid, place, role)
        if mismatch and not mismatch.repaired and examined.volume is not None:
            forms, shown = Forms(examined.grid, examined.other_grid), Forms(native.grid, native.other_grid)
            if (same_voxels := on_other_form(examined.volume, forms, shown)) is not None:
                findings.append(_other_form_finding(place, role, accepted))
                return same_voxels
        findings += [mismatch] if mismatch else []
        if examined.volume is None or (mismatch and not mismatch.repaired):
            return None
        return Volume(reoriented(examined.volume, native.grid).voxels, matrix_of(native.grid))
    findings += _ambiguous_affines((examined, native), place)
    if examined.volume is None:
        return None
    try:
        return bring_to_native(examined.volume, reference.transform, native.grid)
    except ImageError as error:
        what = str(error).replace(str(reference.transform), "the transform")
        findings.append(Finding(code=error.code, place=place, what=what))
        return None


def _read_transforms(
    files: StudyFiles, task: Task, examined: Mapping[str, Examined], findings: list[Finding]
) -> dict[str, Matrix]:
    """Read the user's own registrations; a moved image whose transform cannot be read has none in the result."""
    matrices: dict[str, Matrix] = {}
    for move in task.registrations:
        if (path := files.transforms.get(move.moving)) is None:
            continue
        place = place_of(task, move.moving)
        findings += _ambiguous_affines((examined[move.fixed], examined[move.moving]), place)
        try:
            matrices[move.moving] = read_affine(path)
        except ImageError as error:
            what = str(error).replace(str(path), "its transform")
            findings.append(Finding(code=error.code, place=place, what=what))
    return matrices


def _wrongly_sized(scan: Examined) -> bool:
    """Whether the spacing in the header cannot be: then no comparison with it says anything, nor any advice."""
    return any(finding.code == "implausible-spacing" and not finding.repaired for finding in scan.findings)


def _other_form_finding(place: str, role: str, accepted: bool) -> Finding:
    lies = f"the mask lies on the qform grid, while the {role} is placed by its sform: they have the same voxels"
    if accepted:
        what = f"accepted: {lies}, which were taken as they are"
    else:
        what = (
            f"{lies} but not the same affine; do not resample the mask, which would move its lesions: if it was drawn "
            "on these voxels, accept the study with --accept STUDY"
        )
    return Finding(code="grid-mismatch", place=place, what=what, repaired=accepted)


def _ambiguous_affines(scans: Sequence[Examined], place: str) -> list[Finding]:
    """Finding if a header has two different affines: it is unknown for which one the transform was computed."""
    conflicts = [one for scan in scans for one in scan.findings if one.code == "sform-qform-conflict" and one.repaired]
    what = (
        "wanted one affine for the transform, found different sform and qform; find out which one the transform "
        "belongs to and remove the other"
    )
    return [Finding(code="sform-qform-conflict", place=place, what=what)] if conflicts else []


def _by(spacing_mm: Sequence[float]) -> str:
    return " × ".join(f"{mm:.4g}" for mm in spacing_mm)
