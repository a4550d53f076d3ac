"""The fields of a NIfTI header in; where its voxels lie in the world, and every fault of that, out."""

from __future__ import annotations

import math
from itertools import product
from typing import Any, Protocol

import nibabel as nib
import numpy as np
from nibabel.affines import apply_affine, voxel_sizes
from numpy.typing import NDArray

from storage_schemas.verdicts import Code
from storage_schemas.volumes import Shape3

SPACING_MM = (0.1, 10.0)
"""Distances of voxel centres that a scan of a head can have."""
LEAST_VOLUME = 0.1
"""Part of a rectangular voxel's volume that a voxel must have: 0 is flat, a gantry tilt of 30° leaves 0.87."""
SAME_PLACE_MM = 0.1
"""Two headers that place a volume's corners this near to each other say the same: tools round to float32, which moves
the corners of real scans by up to 0.02 mm, not by a tenth."""
SAME_SPACING = 0.01
"""Two spacings that differ by less than this part count as one: volumes are then right within 3 %."""


class Note(Protocol):
    """Takes down one finding."""

    def __call__(self, code: Code, what: str, *, repaired: bool = False) -> None: ...


def find_place(fields: Any, shape: Shape3 | None, note: Note) -> NDArray[np.float64] | None:
    """Where the voxels lie, by the sform if there is one; None, and the reason noted, where nobody can tell."""
    if not int(fields["sform_code"]) and not int(fields["qform_code"]):
        note("bad-affine", "neither sform nor qform is set, so nobody knows which side is left; export it with either")
        return None
    try:
        affine = np.asarray(fields.get_best_affine(), dtype=np.float64)
    except ValueError:  # nibabel's HeaderDataError is one
        affine = np.full((4, 4), np.nan)
    if not np.isfinite(affine).all():
        note("bad-affine", "the affine holds NaN or infinity; export the image again")
        return None
    spacing_mm = voxel_sizes(affine)
    if not all(SPACING_MM[0] <= mm <= SPACING_MM[1] for mm in spacing_mm):
        wanted = f"wanted a spacing from {SPACING_MM[0]} to {SPACING_MM[1]} mm"
        note("implausible-spacing", f"{wanted}, found {_by(spacing_mm)} mm; correct the header")
    if abs(np.linalg.det(affine[:3, :3])) <= LEAST_VOLUME * math.prod(spacing_mm):
        note("bad-affine", "the three voxel axes lie (almost) in one plane; correct the affine in the header")
        return None
    if int(fields["sform_code"]):
        _compare_forms(fields, affine, shape, note)
    return affine


def _compare_forms(fields: Any, sform: NDArray[np.float64], shape: Shape3 | None, note: Note) -> None:
    """What the header says beside its sform: it wins, unless sizes or sides would depend on who reads the file.

    The standard ranks neither form; nibabel takes the sform. Whichever is taken, an image and a mask on one grid stay
    together, and a rotation or shift of both changes nothing that is measured.
    """
    spacing_mm, pixdim_mm = voxel_sizes(sform), np.asarray(fields["pixdim"][1:4], dtype=np.float64)
    if not np.allclose(spacing_mm, pixdim_mm, rtol=SAME_SPACING, atol=0):
        found = f"the sform has voxels of {_by(spacing_mm)} mm, pixdim of {_by(pixdim_mm)} mm"
        note("sform-qform-conflict", f"{found}; find out which is right and correct the other")
        return
    if not int(fields["qform_code"]) or shape is None:
        return
    try:
        qform = np.asarray(fields.get_qform(), dtype=np.float64)
        gap_mm = corner_gap_mm(sform, qform, shape)
    except ValueError:
        gap_mm = math.nan
    if gap_mm <= SAME_PLACE_MM:
        return
    if not math.isfinite(gap_mm):
        note("sform-qform-conflict", "the qform holds no rotation; the sform was used", repaired=True)
        return
    sides = ["".join(nib.aff2axcodes(form)) for form in (sform, qform)]
    if sides[0] != sides[1]:
        found = f"the voxel axes run {sides[0]} by the sform and {sides[1]} by the qform"
        note("sform-qform-conflict", f"{found}; find out which is right and correct the other")
        return
    found = f"sform and qform place the corners up to {gap_mm:.1f} mm apart"
    note("sform-qform-conflict", f"{found}; the sform was used", repaired=True)


def corner_gap_mm(one: NDArray[np.float64], other: NDArray[np.float64], shape: Shape3) -> float:
    """How far apart two affines place the corners of a volume, at most."""
    corners_ijk = np.array(list(product(*[(0, size - 1) for size in shape])))
    return float(np.linalg.norm(apply_affine(one, corners_ijk) - apply_affine(other, corners_ijk), axis=1).max())


def _by(spacing_mm: NDArray[np.float64]) -> str:
    return " × ".join(f"{mm:.4g}" for mm in spacing_mm)
