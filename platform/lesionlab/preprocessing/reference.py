"""A mask that was drawn in another space and the transform to there in; the mask on the native grid out."""

from __future__ import annotations

from pathlib import Path

from lesionlab.imaging.itk import read_affine
from lesionlab.imaging.resample import resample_mask
from lesionlab.imaging.volume import Volume, grid_of, matrix_of
from storage_schemas.volumes import Grid


def bring_to_native(mask: Volume, transform: Path, native: Grid) -> Volume:
    """The mask on the native grid, resampled once; every lesion that lies in the grid keeps at least one voxel.

    `transform` is the affine, as ITK text, that takes native *images* to the mask's space: the one that was given to
    `antsApplyTransforms -t` to draw the mask there. As ITK has it, it takes places of the mask's space to places of
    native space, so it moves the mask's own voxels there, and no image is interpolated twice. Raises ImageError where
    the file is not such an affine.
    """
    moved = grid_of(mask.voxels.shape, read_affine(transform) @ mask.affine)
    return Volume(resample_mask(mask.voxels, moved, native), matrix_of(native))
