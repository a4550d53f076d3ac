"""Convert grids and transforms between ITK (and so ANTs) and our world coordinates (RAS+ mm). Only this module does so.

ITK's world is LPS+: its first two axes point the other way. A transform, in ITK and here, maps points from the fixed
image's world to the moving image's world: it tells where to sample the moving image for a voxel of the fixed image.
(Images are moved in the opposite direction.)
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.io import loadmat

from lesionlab.errors import ImageError
from lesionlab.imaging.volume import Image, Matrix, matrix_of, spacing_of
from storage_schemas.volumes import Grid

_FLIP = np.diag([-1.0, -1.0, 1.0, 1.0])
"""Converts between RAS+ and LPS+, in both directions."""

_MOST_BYTES = 65_536
"""Maximum size of a transform file; an affine as text has a few hundred bytes."""
_AFFINES = ("AffineTransform", "MatrixOffsetTransformBase")
"""Transform types that ITK writes as a 3×3 matrix (row by row), a translation and a centre."""
_NUMBER = rb"[-+]?\d*\.?\d+(?:[eE][-+]?\d+)?"
_OTHER_FORMATS = {
    rb"\s*$": "an empty file; save the transform again",
    rb"version https://git-lfs": "a Git LFS pointer; fetch its content (git lfs pull)",
    rb"\s*<": "a web page, so the download failed; download the transform again",
    rb"\x89HDF": "ITK's HDF5 format; save the affine alone as text or .mat (CompositeTransformUtil --disassemble)",
    rb"\x1f\x8b": "a compressed file; give the affine, not a deformation, and unpack it",
    rb"MNI Transform File": "MINC's format; convert it to an affine of ITK",
    rb"\(|//": "elastix's parameters; save the affine as an ITK transform",
    rb"(#[^\n]*\n)*\s*type\s*=": "FreeSurfer's LTA; convert it with lta_convert --outitk",
    rb"(\s*" + _NUMBER + rb"){12}(\s+0\S*){3}\s+1\S*\s*$": "a 4 × 4 matrix, as FSL writes it; convert it "
    "(c3d_affine_tool -ref FIXED -src MOVING MATRIX -fsl2ras -oitk AFFINE.txt)",
}
"""By how a file starts, what it is and what to do."""
_FLAT = 0.1
"""Bound of the determinant: a transform between two scans of one head scales volumes by between this and 1 / this."""


class Placement(NamedTuple):
    """Position of a grid in ITK's terms (LPS+ mm); the columns of `direction` are unit vectors of the voxel axes."""

    origin_mm: list[float]
    spacing_mm: list[float]
    direction: Matrix


def placement(grid: Grid) -> Placement:
    """Convert a grid to ITK's terms; its axes must be orthogonal, as those of a model grid are."""
    affine = _FLIP @ matrix_of(grid)
    spacing_mm = spacing_of(affine)
    return Placement(affine[:3, 3].tolist(), list(spacing_mm), affine[:3, :3] / spacing_mm)


def world_matrix(parameters: npt.ArrayLike, centre: npt.ArrayLike) -> Matrix:
    """4×4 matrix (RAS+ mm) of ITK's twelve parameters and three fixed ones: y = M (x - centre) + t + centre."""
    numbers, middle = np.asarray(parameters, dtype=np.float64), np.asarray(centre, dtype=np.float64)
    itk = np.eye(4)
    itk[:3, :3] = numbers[:9].reshape(3, 3)
    itk[:3, 3] = numbers[9:] + middle - itk[:3, :3] @ middle
    return np.asarray(_FLIP @ itk @ _FLIP)


def world_displacements(displacements_IJK3: Image) -> Image:
    """Convert ITK's displacement vectors (LPS+ mm, last axis) to our world (RAS+ mm, first axis)."""
    return np.ascontiguousarray(np.moveaxis(displacements_IJK3 * np.diag(_FLIP)[:3].astype(np.float32), -1, 0))


def read_affine(path: Path) -> Matrix:
    """Read one affine as ITK or ANTs write it, as text or as `0GenericAffine.mat`; 4×4 matrix (RAS+ mm).

    Raises ImageError if the file is missing or is not one invertible affine.
    """
    numbers = _read_matlab(path) if path.suffix.lower() == ".mat" else _read_numbers(path)
    matrix = world_matrix(numbers["Parameters"], numbers["FixedParameters"])
    scale = np.linalg.det(matrix[:3, :3]) if np.isfinite(matrix).all() else np.nan
    if scale < 0:
        raise ImageError(
            f"{path}: wanted an affine between two scans of one head, found a mirror image (determinant {scale:.3g}), "
            "which would exchange left and right; give the correct transform"
        )
    if not _FLAT < scale < 1 / _FLAT:
        raise ImageError(
            f"{path}: wanted an affine between two scans of one head, found one that scales volumes by "
            f"{scale:.3g}; give the correct transform"
        )
    return matrix


def _read_matlab(path: Path) -> dict[str, list[float]]:
    """The numbers of an affine in ITK's MATLAB file (version 4): one variable named by its type, and `fixed`."""
    wanted = f"wanted one 3-D affine ({' or '.join(_AFFINES)}) of 12 numbers and the variable fixed"
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ValueError
        found = {name: value.ravel().tolist() for name, value in loadmat(path).items() if not name.startswith("__")}
    except OSError as error:
        raise ImageError(f"{path}: cannot be read ({error.strerror}); correct the path", code="missing-file") from error
    except Exception as error:  # scipy lets any exception of its decoder through
        found_instead = _other_format(path.read_bytes()[:_MOST_BYTES]) or "no MATLAB file; save the transform again"
        raise ImageError(f"{path}: {wanted}, found {found_instead}") from error
    (name,) = [name for name in found if name != "fixed"][:1] or [""]
    if set(found) != {name, "fixed"} or name.split("_")[0] not in _AFFINES or not name.endswith("_3_3"):
        raise ImageError(f"{path}: {wanted}, found {', '.join(found) or 'nothing'}; save one affine per file")
    if (len(found[name]), len(found["fixed"])) != (12, 3):
        raise ImageError(f"{path}: {wanted}, found {len(found[name])} and {len(found['fixed'])} numbers; save it again")
    return {"Parameters": found[name], "FixedParameters": found["fixed"]}


def _read_numbers(path: Path) -> dict[str, list[float]]:
    fields: dict[str, list[str]] = {}
    for line in _read_text(path).splitlines():
        name, colon, value = line.partition(":")
        if colon and not line.startswith("#"):
            fields.setdefault(name.strip(), []).append(value)
    kinds = [kind.strip() for kind in fields.get("Transform", [])]
    if len(kinds) != 1 or kinds[0].split("_")[0] not in _AFFINES or not kinds[0].endswith("_3_3"):
        raise ImageError(
            f"{path}: wanted one 3-D affine ({' or '.join(_AFFINES)}), found {', '.join(kinds) or 'none'}; "
            "save one affine per file"
        )
    numbers: dict[str, list[float]] = {}
    for name, count in (("Parameters", 12), ("FixedParameters", 3)):
        try:
            numbers[name] = [float(word) for word in fields[name][0].split()]
        except (KeyError, ValueError) as error:
            raise ImageError(
                f"{path}: wanted {count} numbers after {name}, found none or other text; save the transform again"
            ) from error
        if len(numbers[name]) != count:
            raise ImageError(
                f"{path}: wanted {count} numbers after {name}, found {len(numbers[name])}; save the transform again"
            )
    return numbers


def _read_text(path: Path) -> str:
    remedy = "give an affine saved as text by ITK or ANTs (.txt, .tfm)"
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise ImageError(f"{path}: cannot be read ({error.strerror}); {remedy}", code="missing-file") from error
    except UnicodeDecodeError as error:
        found = _other_format(data) or f"binary data; {remedy}"
        raise ImageError(f"{path}: wanted a text file, found {found}") from error
    if len(data) > _MOST_BYTES or not text.startswith("#Insight Transform File"):
        raise ImageError(
            f"{path}: wanted an ITK transform file, found {_other_format(data) or f'other text; {remedy}'}"
        )
    return text


def _other_format(data: bytes) -> str | None:
    """What another program's file is, and how it is converted; None if it is not known."""
    return next((kind for start, kind in _OTHER_FORMATS.items() if re.match(start, data)), None)
