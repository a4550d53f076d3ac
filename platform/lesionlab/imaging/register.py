"""Register two images of one head: resample the moving one onto the fixed one's model grid and return the transform.

I J K voxels of the model grid; world coordinates are millimetres, RAS+.
"""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from nibabel.affines import apply_affine

from lesionlab.errors import ImageError
from lesionlab.imaging.agreement import Agreement, agreement, edge_correlation, head_overlap
from lesionlab.imaging.antspy import load_ants
from lesionlab.imaging.boxes import Box, bounding_box, grid_within
from lesionlab.imaging.checkerboard import checkerboard_png
from lesionlab.imaging.intensity import HeadMask, air_level, head_mask
from lesionlab.imaging.itk import placement, world_displacements, world_matrix
from lesionlab.imaging.resample import model_grid, resample_linear
from lesionlab.imaging.volume import Image, Matrix, Volume, matrix_of, spacing_of
from lesionlab.imaging.warp import Steps, in_steps, warp
from storage_schemas.base import Sha256
from storage_schemas.volumes import Grid

Kind = Literal["rigid", "syn", "header", "given"]
Start = Literal["centre", "header"]

MARGIN_MM = 10.0
"""Margin of air kept around the head for the smoothing of the coarse stages; more air would only cost time."""

WORST_LOSS = 0.02
"""Maximum loss of edge correlation against the unregistered images: a registration must not be worse than none."""

MIRROR_MM = 2.0
"""The mirror image is registered at this spacing or a coarser one, which takes seconds."""
NO_MIRROR_FROM = 0.95
"""From this edge correlation on no mirror image is registered: mirrored heads reach 0.83 (8 real pairs)."""

_ANTS_TYPE = {"rigid": "Rigid", "syn": "SyNRA"}
"""ANTs' own coarse-to-fine schedules: rigid; or rigid, affine and symmetric normalisation (mutual information)."""
_ANTS_START = {"centre": None, "header": "identity"}


@dataclass(frozen=True, eq=False)
class Registered:
    """The moving image on the model grid, linearly interpolated once from its own voxels, and its transform."""

    voxels_IJK: Image
    """NaN where the moving image has no data."""
    matrix: Matrix
    """World of the fixed image to world of the moving one, 4×4; applied after adding the deformation."""
    deformation_3IJK: Steps | None
    correlation_before: float
    """Edge correlation of both images inside the fixed head, where the moving image has data; before registration."""
    correlation_after: float
    head_overlap: float
    """Dice of the two heads."""
    affine: Agreement
    """Of the placement by `matrix` alone: a deformation makes the heads of two patients agree."""
    mirrored_correlation: float | None
    """Edge correlation of the moving image's mirror image (left for right), registered by a rigid transform; None if
    the image itself agrees too well for that, or has no head where the fixed one lies."""
    picture: bytes
    """PNG to check the registration by eye."""
    warped_sha256: Sha256
    """Digest of `voxels_IJK`."""


class Transforms(NamedTuple):
    """Files of ANTs that map points of the fixed image to the moving one; the field is applied first."""

    affine: Path
    field: Path | None


class _Placed(NamedTuple):
    """The moving image on the model grid by one transform."""

    voxels_IJK: Image
    matrix: Matrix
    deformation_3IJK: Steps | None
    correlation: float


def register(fixed: Volume, moving: Volume, kind: Kind, grid: Grid, given: Matrix | None = None) -> Registered:
    """Register the moving image to the fixed one's model grid with ANTs; bit-identical each time.

    `header`: no registration, the images lie where their headers say. `given`: by the transform `given`, from the world
    of the fixed image to that of the moving one (4×4, RAS+ mm). `rigid`: six parameters. `syn`: rigid, affine,
    then symmetric normalisation (Avants et al. 2008). Both images are registered at the spacing of `grid`, cropped to
    their heads: on a native grid of thick slices ANTs takes hours. ANTs starts where the centres of mass agree; if the
    result is worse than none, it starts again where the headers place the images, and the better result counts. Raises
    ImageError if ANTs fails or an image has no head, LesionlabError if ANTs cannot be made reproducible.
    """
    air, moving_air = air_level(fixed.voxels), air_level(moving.voxels)
    fixed_IJK = resample_linear(fixed.voxels, fixed.grid, grid, outside=air)
    head_IJK, spacing_mm = head_mask(fixed_IJK, air), spacing_of(matrix_of(grid))[0]
    by_header_IJK = resample_linear(moving.voxels, moving.grid, grid, outside=np.nan)
    before = edge_correlation(fixed_IJK, by_header_IJK, head_IJK, spacing_mm)

    def placed(start: Start) -> _Placed:
        matrix, deformation_3IJK = np.eye(4) if given is None else given, None
        if kind in _ANTS_TYPE:
            with tempfile.TemporaryDirectory(prefix="lesionlab-register-") as folder:
                transforms = find_transforms(fixed_IJK, moving, kind, grid, Path(folder), start)
                matrix = _read_matrix(transforms.affine)
                if transforms.field:
                    deformation_3IJK = _read_deformation(transforms.field, _box(head_IJK, grid), grid)
        voxels_IJK = warp(moving, grid, matrix, deformation_3IJK)
        correlation = edge_correlation(fixed_IJK, voxels_IJK, head_IJK, spacing_mm)
        return _Placed(voxels_IJK, matrix, deformation_3IJK, correlation)

    found = placed("centre")
    if kind in _ANTS_TYPE and found.correlation < before - WORST_LOSS:
        found = max(found, placed("header"), key=lambda one: one.correlation)
    affine_IJK = found.voxels_IJK if found.deformation_3IJK is None else warp(moving, grid, found.matrix)
    affine = agreement(fixed_IJK, affine_IJK, head_IJK, spacing_mm)
    unclear = affine.correlation < NO_MIRROR_FROM
    return Registered(
        voxels_IJK=found.voxels_IJK,
        matrix=found.matrix,
        deformation_3IJK=found.deformation_3IJK,
        correlation_before=before,
        correlation_after=found.correlation,
        head_overlap=head_overlap(head_IJK, found.voxels_IJK, moving_air),
        affine=affine,
        mirrored_correlation=_mirrored_correlation(fixed, moving, found.matrix, spacing_mm) if unclear else None,
        picture=checkerboard_png(fixed_IJK, found.voxels_IJK, head_IJK, spacing_mm),
        warped_sha256=hashlib.sha256(np.ascontiguousarray(found.voxels_IJK, dtype="<f4").data).hexdigest(),
    )


def find_transforms(
    fixed_IJK: Image, moving: Volume, kind: Kind, grid: Grid, folder: Path, start: Start = "centre"
) -> Transforms:
    """Register with ANTs at the spacing of `grid`; write its files to `folder`. Raises the errors of `register`."""
    ants = load_ants()
    own = model_grid(moving.grid, spacing_of(matrix_of(grid))[0])
    moving_IJK = resample_linear(moving.voxels, moving.grid, own, outside=air_level(moving.voxels))
    prefix = str(folder / "ants")
    try:
        ants.registration(
            fixed=_ants_image(ants, fixed_IJK, grid),
            moving=_ants_image(ants, moving_IJK, own),
            type_of_transform=_ANTS_TYPE[kind],
            outprefix=prefix,
            initial_transform=_ANTS_START[start],
        )
    except RuntimeError as error:
        raise ImageError(
            f"ANTs registration failed ({error}); check that both images show the same head", code="registration-failed"
        ) from error
    return Transforms(Path(f"{prefix}0GenericAffine.mat"), Path(f"{prefix}1Warp.nii.gz") if kind == "syn" else None)


def _mirrored_correlation(fixed: Volume, moving: Volume, matrix: Matrix, spacing_mm: float) -> float | None:
    """Edge correlation after the moved image was mirrored at the middle of the fixed head and registered again."""
    grid = model_grid(fixed.grid, max(spacing_mm, MIRROR_MM))
    mm, air = spacing_of(matrix_of(grid))[0], air_level(fixed.voxels)
    fixed_IJK = resample_linear(fixed.voxels, fixed.grid, grid, outside=air)
    head_IJK = head_mask(fixed_IJK, air)
    moved_IJK = np.nan_to_num(warp(moving, grid, matrix), nan=air_level(moving.voxels))
    middle_mm = apply_affine(matrix_of(grid), np.argwhere(head_IJK).mean(axis=0))[0]
    mirror = np.diag([-1.0, 1.0, 1.0, 1.0])
    mirror[0, 3] = 2 * middle_mm
    mirrored = Volume(moved_IJK, mirror @ matrix_of(grid))
    with tempfile.TemporaryDirectory(prefix="lesionlab-register-") as folder:
        try:
            again = _read_matrix(find_transforms(fixed_IJK, mirrored, "rigid", grid, Path(folder), "header").affine)
        except ImageError:
            return None
    return edge_correlation(fixed_IJK, warp(mirrored, grid, again), head_IJK, mm)


def _read_matrix(path: Path) -> Matrix:
    affine = load_ants().read_transform(str(path))
    return world_matrix(affine.parameters, affine.fixed_parameters)


def _read_deformation(path: Path, box: Box, grid: Grid) -> Steps:
    """Displacement field on the whole model grid; outside its box the displacement is 0, as in ANTs."""
    deformation_3IJK = np.zeros((3, *grid.shape), dtype=np.int16)
    deformation_3IJK[(slice(None), *box)] = in_steps(world_displacements(load_ants().image_read(str(path)).numpy()))
    return deformation_3IJK


def _box(head_IJK: HeadMask, grid: Grid) -> Box:
    """Bounding box of the head with a margin."""
    return bounding_box(head_IJK, round(MARGIN_MM / spacing_of(matrix_of(grid))[0]))


def _ants_image(ants: Any, voxels_IJK: Image, grid: Grid) -> Any:
    """Convert to an ANTs image, cropped to the head. Air is 0, as ANTs has outside an image."""
    air = air_level(voxels_IJK)
    box = _box(head_mask(voxels_IJK, air), grid)
    cut_IJK = voxels_IJK[box] - np.float32(air)
    origin_mm, spacing_mm, direction = placement(grid_within(grid, box))
    return ants.from_numpy(cut_IJK, origin=origin_mm, spacing=spacing_mm, direction=direction)
