"""Draw two visits, or two images of one visit, that are not aligned, and their masks."""

from pathlib import Path

import numpy as np
from nibabel.affines import apply_affine

from lesionlab.imaging.volume import Volume, matrix_of, write_volume
from lesionlab.preprocessing.channels import PreparedImages
from lesionlab.preprocessing.files import Reference, StudyFiles
from storage_schemas.volumes import Grid
from tests.imaging.heads import SLICES, THREE_MM, motion, places, signal

MOVED = motion((6, -5, 8), (6, -4, 5))
"""Points of the moved scan to points of the head's own world."""
NEW_MM = (np.array([20.0, 15.0, 5.0]), np.array([-25.0, -20.0, 10.0]))
"""Lesions that only the follow-up has, and lesions that only the initial visit has."""
RESOLVED_MM = (np.array([-20.0, 20.0, 5.0]),)
RADIUS_MM = 6.0


def spots(points_mm: np.ndarray, centres_mm: tuple[np.ndarray, ...]) -> np.ndarray:
    """True inside lesions at these points of the head's own world."""
    return np.any([np.linalg.norm(points_mm - centre_mm, axis=-1) < RADIUS_MM for centre_mm in centres_mm], axis=0)


def scan(grid: Grid, to_head: np.ndarray, lesions_mm: tuple[np.ndarray, ...] = (), gain: float = 1.0) -> Volume:
    """The drawn head as one scanner images it."""
    points_mm = apply_affine(to_head, places(grid))
    voxels = signal(points_mm) + 350 * spots(points_mm, lesions_mm)
    noise = np.random.default_rng(int(gain * 10)).normal(0, 4, grid.shape)
    return Volume((gain * np.abs(voxels + noise)).astype(np.float32), matrix_of(grid))


def visits(gain: float = 1.0, follow_up: Grid = SLICES) -> dict[str, Volume]:
    """Initial visit on an upright grid; moved follow-up on thick oblique slices, from a scanner with another gain."""
    return {
        "initial": scan(THREE_MM, np.eye(4), RESOLVED_MM),
        "follow-up": scan(follow_up, MOVED, NEW_MM, gain),
    }


def gadolinium() -> dict[str, Volume]:
    """Before and after gadolinium, with patient motion in between; the lesions enhance."""
    return {"before": scan(SLICES, MOVED), "after": scan(THREE_MM, np.eye(4), NEW_MM)}


def uncut(prepared: PreparedImages) -> np.ndarray:
    """The channels in their place on the whole grid, float32; 0 outside the head's box."""
    start = np.linalg.inv(matrix_of(prepared.whole_grid)) @ matrix_of(prepared.model_grid)[:, 3]
    box = tuple(slice(round(at), round(at) + n) for at, n in zip(start, prepared.model_grid.shape, strict=False))
    whole_CIJK = np.zeros((len(prepared.image_CIJK), *prepared.whole_grid.shape), dtype=np.float32)
    whole_CIJK[(slice(None), *box)] = prepared.image_CIJK
    return whole_CIJK


def new_lesions() -> Volume:
    """Mask of the new or enhancing lesions on the upright grid."""
    return Volume(spots(places(THREE_MM), NEW_MM).astype(np.uint8), matrix_of(THREE_MM))


def write_study(folder: Path, images: dict[str, Volume], mask: Volume, second: Volume | None = None) -> StudyFiles:
    """Write the study's files and return them as any layout does."""
    paths = {role: folder / f"{role}.nii.gz" for role in images}
    for role, image in images.items():
        write_volume(paths[role], image)
    write_volume(folder / "mask.nii.gz", mask)
    if second is not None:
        write_volume(folder / "second.nii.gz", second)
    return StudyFiles(
        study="sub-01_ses-b",
        patient="01",
        site="clinic",
        images=paths,
        reference=Reference(folder / "mask.nii.gz"),
        second=None if second is None else Reference(folder / "second.nii.gz"),
    )
