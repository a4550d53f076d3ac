"""The files of one study in; its scans in memory, or every fault that they have at once, out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
from nibabel.affines import apply_affine

from lesionlab.errors import DatasetError, ImageError
from lesionlab.imaging.intensity import head_mask, z_score
from lesionlab.imaging.volume import Volume, read_mask, read_volume
from lesionlab.preprocessing.files import StudyFiles
from storage_schemas.tasks import Task

SAME_PLACE_MM = 0.1
"""Corners of image and mask may lie this far apart: headers that tools rewrite differ by rounding, not by a tenth."""


@dataclass(frozen=True, eq=False)
class Scans:
    """One study in memory: images in the order of the task's inputs, and the mask on the first one's grid."""

    images: tuple[Volume, ...]
    reference: Volume


def read_scans(files: StudyFiles, task: Task) -> Scans:
    """Read and check one study. Raises DatasetError with every fault, each one argument.

    A mask without any lesion is no fault: its study has no sensitivity, but it has false alarms.
    """
    faults: list[str] = []
    images: list[Volume] = []
    for scan, path in zip(task.inputs, files.images.values(), strict=True):
        image = _read(read_volume, path, scan.suffix, faults)
        if image is not None:
            images.append(image)
            faults += [f"{scan.suffix}: {fault}" for fault in image_faults(image)]
    reference = _read(read_mask, files.reference.mask, "mask", faults)
    if reference is not None and len(images) == len(task.inputs):
        faults += reference_faults(reference, images[0], task.inputs[0].suffix)
    if reference is None or faults:
        raise DatasetError(*faults)
    return Scans(tuple(images), reference)


def image_faults(image: Volume) -> list[str]:
    """Why this cannot be the image of a head: nothing above zero, or no contrast."""
    try:
        z_score(image.voxels, head_mask(image.voxels))
    except ImageError as error:
        return [str(error)]
    return []


def reference_faults(reference: Volume, image: Volume, role: str) -> list[str]:
    """Why this mask was not drawn on this image: another grid, another place, or all of it in the air."""
    remedy = f"resample the mask onto the {role} or exclude the study"
    if not np.allclose(image.spacing_mm, reference.spacing_mm, atol=1e-3):
        return [f"{role}: spacing {_mm(image)} mm but mask {_mm(reference)} mm; {remedy}"]
    if image.voxels.shape != reference.voxels.shape:
        return [f"{role}: shape {image.voxels.shape} but mask {reference.voxels.shape}; {remedy}"]
    corners = np.array(list(product(*[(0, size - 1) for size in image.voxels.shape])))
    gaps_mm = np.linalg.norm(apply_affine(image.affine, corners) - apply_affine(reference.affine, corners), axis=1)
    if gaps_mm.max() > SAME_PLACE_MM:
        return [f"{role}: its corners lie up to {gaps_mm.max():.1f} mm from those of the mask; {remedy}"]
    if reference.voxels.any() and not reference.voxels[_head(image)].any():
        return ["mask: all lesions lie outside the head; check that mask and image belong together"]
    return []


def _head(image: Volume) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    try:
        return head_mask(image.voxels)
    except ImageError:  # told already as a fault of the image
        return np.ones(image.voxels.shape, dtype=bool)


def _read(read: Callable[[Path], Volume], path: Path, role: str, faults: list[str]) -> Volume | None:
    try:
        return read(path)
    except ImageError as error:
        # The manifest keeps faults; where the files of a site lie is not its business.
        faults.append(f"{role}: {str(error).removeprefix(f'{path}: ')}")
        return None


def _mm(volume: Volume) -> str:
    return f"({', '.join(f'{mm:.4g}' for mm in volume.spacing_mm)})"
