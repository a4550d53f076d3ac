"""Derive the affine of a volume from NIfTI header fields and report every fault in it."""

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
"""Plausible voxel spacing of a head scan."""
LEAST_VOLUME = 0.1
"""Minimum voxel volume as a fraction of a rectangular voxel's: 0 is flat, a gantry tilt of 30° gives 0.87."""
SAME_PLACE_MM = 0.1
"""Two affines agree if the corners of the volume are at most this far apart: rounding to float32 moves the corners of
real scans by up to 0.02 mm, not by 0.1 mm."""
SAME_SPACING = 0.01
"""Two spacings agree if they differ by less than this fraction: volumes are then correct within 3 %."""


SLACK = 1 + 1e-4
"""Factor by which a spacing may exceed its bounds: float32 affines give 10.0000004 mm."""
QUATERNION_ROUNDING = 1e-5
"""A squared norm of b, c, d up to this much above 1 is rounding of text to 5 or 6 decimals, and is normalised."""
_NIBABEL_ROUNDING = 3 * float(np.finfo(np.float32).eps)
"""nibabel itself reads squared norms up to this much above 1."""
_SPATIAL_BITS = 7
_UNITS = {1: ("m", 1000.0), 3: ("µm", 0.001)}
"""Spatial units of `xyzt_units` (NIfTI-1) in mm. 2 is mm; 0 and undefined codes, which many programs write, mean
mm."""


class Note(Protocol):
    """Records one finding."""

    def __call__(self, code: Code, what: str, *, repaired: bool = False) -> None: ...


def find_place(fields: Any, shape: Shape3 | None, note: Note) -> NDArray[np.float64] | None:
    """Affine of the volume, from the sform if there is one; note the reason and return None if neither is valid."""
    if not int(fields["sform_code"]) and not int(fields["qform_code"]):
        note(
            "bad-affine",
            "wanted an sform or a qform, found neither, so left and right are unknown; export the image with either",
        )
        return None
    placed_by_qform = not int(fields["sform_code"])
    _normalise_quaternion(fields, note, used=placed_by_qform)
    try:
        affine = np.asarray(fields.get_best_affine(), dtype=np.float64)
    except ValueError:  # nibabel's HeaderDataError is one
        affine = np.full((4, 4), np.nan)
    if not np.isfinite(affine).all():
        norm = _quaternion_norm(fields)
        found = f"a qform whose quaternion has the norm {norm:.6g} instead of 1" if norm > 1 else "NaN or infinity"
        note("bad-affine", f"wanted a finite affine, found {found}; export the image again")
        return None
    unit, mm_per_unit = _UNITS.get(int(fields["xyzt_units"]) & _SPATIAL_BITS, ("mm", 1.0))
    _to_mm(fields, affine, mm_per_unit)
    spacing_mm = voxel_sizes(affine)
    stated = f" (the header says {_by(spacing_mm / mm_per_unit)} {unit})" if unit != "mm" else ""
    if not all(SPACING_MM[0] / SLACK <= mm <= SPACING_MM[1] * SLACK for mm in spacing_mm):
        wanted = f"wanted a spacing from {SPACING_MM[0]} to {SPACING_MM[1]} mm"
        note("implausible-spacing", f"{wanted}, found {_by(spacing_mm)} mm{stated}; correct the header")
    elif stated:
        note("implausible-spacing", f"found {_by(spacing_mm)} mm{stated}; converted to mm", repaired=True)
    if abs(np.linalg.det(affine[:3, :3])) <= LEAST_VOLUME * math.prod(spacing_mm):
        note("bad-affine", "the three voxel axes are (almost) coplanar; correct the affine in the header")
        return None
    if not placed_by_qform:
        _compare_forms(fields, affine, shape, note)
    return affine


def _quaternion_norm(fields: Any) -> float:
    """Norm of the stored part b, c, d of the qform's quaternion; at most 1 in a rotation."""
    return float(np.linalg.norm([float(fields[f"quatern_{part}"]) for part in "bcd"]))


def _normalise_quaternion(fields: Any, note: Note, *, used: bool) -> None:
    """Scale b, c, d to norm 1 if rounding made it larger, so that nibabel reads it; noted if the qform is used."""
    norm = _quaternion_norm(fields)
    if not _NIBABEL_ROUNDING < norm**2 - 1 <= QUATERNION_ROUNDING:
        return
    for part in "bcd":
        fields[f"quatern_{part}"] = float(fields[f"quatern_{part}"]) / norm
    if used:
        found = f"found a quaternion of norm {norm:.8g} instead of 1, as after rounding"
        note("bad-affine", f"{found}; it was normalised", repaired=True)


def _to_mm(fields: Any, affine: NDArray[np.float64], mm_per_unit: float) -> None:
    """Convert the affine, and the fields that the forms are compared by, to mm; in place."""
    if mm_per_unit == 1:
        return
    affine[:3] *= mm_per_unit
    fields["pixdim"][1:4] *= mm_per_unit
    for axis in "xyz":
        fields[f"qoffset_{axis}"] = float(fields[f"qoffset_{axis}"]) * mm_per_unit


def _compare_forms(fields: Any, sform: NDArray[np.float64], shape: Shape3 | None, note: Note) -> None:
    """Compare the sform with pixdim and qform; use the sform unless sizes or sides would depend on the reader.

    The standard ranks neither form; nibabel uses the sform. Either way, an image and a mask on one grid stay aligned,
    and rotating or shifting both changes no measurement.
    """
    spacing_mm, pixdim_mm = voxel_sizes(sform), np.asarray(fields["pixdim"][1:4], dtype=np.float64)
    if not np.allclose(spacing_mm, pixdim_mm, rtol=SAME_SPACING, atol=0):
        found = f"voxels are {_by(spacing_mm)} mm in the sform but {_by(pixdim_mm)} mm in pixdim"
        note("sform-qform-conflict", f"{found}; find out which is right and correct the other")
        return
    if not int(fields["qform_code"]) or shape is None:
        return
    qform = _qform(fields)
    gap_mm = math.nan if qform is None else corner_gap_mm(sform, qform, shape)
    if gap_mm <= SAME_PLACE_MM:
        return
    if qform is None or not math.isfinite(gap_mm):
        note("sform-qform-conflict", "the qform is not a rotation; the sform was used", repaired=True)
        return
    sides = ["".join(nib.aff2axcodes(form)) for form in (sform, qform)]
    if sides[0] != sides[1]:
        found = f"the voxel axes are {sides[0]} in the sform but {sides[1]} in the qform"
        note("sform-qform-conflict", f"{found}; find out which is right and correct the other")
        return
    found = f"the corners of the volume differ by up to {gap_mm:.1f} mm between sform and qform"
    note("sform-qform-conflict", f"{found}; the sform was used", repaired=True)


def other_form(fields: Any, sform: NDArray[np.float64] | None, shape: Shape3 | None) -> NDArray[np.float64] | None:
    """The qform, in mm, if the header also has an sform and they differ; `find_place` has read the fields before.

    SPM moves the sform and leaves the qform; ITK, and so ANTs, write a mask with one of them.
    """
    if sform is None or shape is None or not int(fields["sform_code"]) or not int(fields["qform_code"]):
        return None
    qform = _qform(fields)
    if qform is None or not np.isfinite(qform).all() or corner_gap_mm(sform, qform, shape) <= SAME_PLACE_MM:
        return None
    return qform


def _qform(fields: Any) -> NDArray[np.float64] | None:
    try:
        return np.asarray(fields.get_qform(), dtype=np.float64)
    except ValueError:
        return None


def corner_gap_mm(one: NDArray[np.float64], other: NDArray[np.float64], shape: Shape3) -> float:
    """Maximum distance between the corners of a volume under two affines, in mm."""
    corners_ijk = np.array(list(product(*[(0, size - 1) for size in shape])))
    return float(np.linalg.norm(apply_affine(one, corners_ijk) - apply_affine(other, corners_ijk), axis=1).max())


def _by(spacing_mm: NDArray[np.float64]) -> str:
    return " × ".join(f"{mm:.4g}" for mm in spacing_mm)
