"""Compare two grids, also by the second affine that a NIfTI header may hold: an sform and a qform."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lesionlab.imaging.header import read_header
from lesionlab.imaging.placement import SAME_PLACE_MM, corner_gap_mm
from lesionlab.imaging.resample import reoriented, reoriented_grid
from lesionlab.imaging.volume import Volume, grid_of, matrix_of
from storage_schemas.volumes import Grid


@dataclass(frozen=True)
class Forms:
    """The grids of one file."""

    grid: Grid
    """By the sform, or by the qform if there is no other."""
    other: Grid | None
    """By the qform, if it differs from the sform."""


def forms_of(path: Path) -> Forms | None:
    """The grids of a NIfTI file; None if its header has no valid shape and affine."""
    header = read_header(path, path.name)
    if header.shape is None or header.affine is None:
        return None
    other = None if header.other_affine is None else grid_of(header.shape, header.other_affine)
    return Forms(grid_of(header.shape, header.affine), other)


def same_grid(one: Grid, other: Grid) -> bool:
    """Whether both have the same voxels in the same places, in any order of the axes, up to SAME_PLACE_MM."""
    return gap_mm(one, other) <= SAME_PLACE_MM and reoriented_grid(one, other).shape == other.shape


def gap_mm(one: Grid, other: Grid) -> float:
    """Maximum distance between the corners of the second grid and of as many voxels of the first one, in mm."""
    return corner_gap_mm(matrix_of(reoriented_grid(one, other)), matrix_of(other), other.shape)


def on_other_form(mask: Volume, forms: Forms, image: Forms) -> Volume | None:
    """The mask on the image's grid if it has the image's voxels but is placed by the other form; else None.

    Such a mask was drawn on the same voxels, so they are taken as they are; resampling would move them.
    """
    for drawn, shown in ((forms.grid, image.other), (forms.other, image.grid), (forms.other, image.other)):
        if drawn is not None and shown is not None and same_grid(drawn, shown):
            placed = reoriented(Volume(mask.voxels, matrix_of(drawn)), shown)
            return Volume(placed.voxels, matrix_of(image.grid))
    return None
