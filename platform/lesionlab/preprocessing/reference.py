"""Bring a mask that was drawn in another space to the native grid, by the transform between the spaces."""

from __future__ import annotations

from pathlib import Path

from lesionlab.imaging.itk import read_affine
from lesionlab.imaging.resample import resample_mask
from lesionlab.imaging.volume import Volume, grid_of, matrix_of
from storage_schemas.volumes import Grid


def bring_to_native(mask: Volume, transform: Path, native: Grid) -> Volume:
    """Resample the mask once to the native grid; every lesion inside the grid keeps at least one voxel.

    `transform` is the affine, as ITK text, that moves native *images* to the mask's space: the one given to
    `antsApplyTransforms -t` before the mask was drawn there. By ITK's convention it maps points of the mask's space to
    points of native space, so it moves the mask's voxels directly and no image is interpolated twice. Raises ImageError
    if the file is not such an affine.
    """
    moved = grid_of(mask.voxels.shape, read_affine(transform) @ mask.affine)
    return Volume(resample_mask(mask.voxels, moved, native), matrix_of(native))
