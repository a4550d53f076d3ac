"""Places and transforms as ITK (and so ANTs) writes them in; the same in our world (RAS+ mm) out. The one place for it.

ITK's world is LPS+: its first two axes point the other way. A transform, in ITK and here, takes points of the fixed
image's world to the moving image's world: it says where to look a voxel up. (Images travel the other way.)
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from lesionlab.errors import ImageError
from lesionlab.imaging.volume import Image, Matrix, matrix_of, spacing_of
from storage_schemas.volumes import Grid

_FLIP = np.diag([-1.0, -1.0, 1.0, 1.0])
"""RAS+ to LPS+, and back."""

_MOST_BYTES = 65_536
"""An affine transform as text has a few hundred."""
_AFFINES = ("AffineTransform", "MatrixOffsetTransformBase")
"""Transforms that ITK writes as the nine numbers of a matrix (row by row), a translation and a centre."""
_FLAT = 0.1
"""A matrix that shrinks volumes to less than this, or grows them to more than its inverse, is not one head's."""


class Placement(NamedTuple):
    """Where a grid lies, in ITK's terms (LPS+ mm); `direction` has the voxel axes as columns, of length one."""

    origin_mm: list[float]
    spacing_mm: list[float]
    direction: Matrix


def placement(grid: Grid) -> Placement:
    """The grid as ITK wants it; its axes must be at right angles, as those of a model grid are."""
    affine = _FLIP @ matrix_of(grid)
    spacing_mm = spacing_of(affine)
    return Placement(affine[:3, 3].tolist(), list(spacing_mm), affine[:3, :3] / spacing_mm)


def world_matrix(parameters: npt.ArrayLike, centre: npt.ArrayLike) -> Matrix:
    """The 4×4 matrix (RAS+ mm) of ITK's twelve parameters and three fixed ones: y = M (x - centre) + t + centre."""
    numbers, middle = np.asarray(parameters, dtype=np.float64), np.asarray(centre, dtype=np.float64)
    itk = np.eye(4)
    itk[:3, :3] = numbers[:9].reshape(3, 3)
    itk[:3, 3] = numbers[9:] + middle - itk[:3, :3] @ middle
    return np.asarray(_FLIP @ itk @ _FLIP)


def world_displacements(displacements_IJK3: Image) -> Image:
    """ITK's displacement vectors (LPS+ mm, last axis) in our world (RAS+ mm), with that axis first."""
    return np.ascontiguousarray(np.moveaxis(displacements_IJK3 * np.diag(_FLIP)[:3].astype(np.float32), -1, 0))


def read_affine(path: Path) -> Matrix:
    """The 4×4 matrix (RAS+ mm) of one affine in an ITK text file, as `antsApplyTransforms -t` takes it.

    Raises ImageError where the file is missing or is not the text of one invertible affine.
    """
    numbers = _read_numbers(path)
    matrix = world_matrix(numbers["Parameters"], numbers["FixedParameters"])
    scale = abs(np.linalg.det(matrix[:3, :3])) if np.isfinite(matrix).all() else np.nan
    if not _FLAT < scale < 1 / _FLAT:
        raise ImageError(
            f"{path}: wanted an affine between two scans of one head, found one that changes volumes by the factor "
            f"{scale:.3g}; give the right transform"
        )
    return matrix


def _read_numbers(path: Path) -> dict[str, list[float]]:
    fields: dict[str, list[str]] = {}
    for line in _read_text(path).splitlines():
        name, colon, value = line.partition(":")
        if colon and not line.startswith("#"):
            fields.setdefault(name.strip(), []).append(value)
    kinds = [kind.strip() for kind in fields.get("Transform", [])]
    if len(kinds) != 1 or kinds[0].split("_")[0] not in _AFFINES or not kinds[0].endswith("_3_3"):
        raise ImageError(
            f"{path}: wanted one affine in 3-D ({' or '.join(_AFFINES)}), found {', '.join(kinds) or 'none'}; "
            "save it as an affine, one transform a file"
        )
    numbers: dict[str, list[float]] = {}
    for name, count in (("Parameters", 12), ("FixedParameters", 3)):
        try:
            numbers[name] = [float(word) for word in fields[name][0].split()]
        except (KeyError, ValueError) as error:
            raise ImageError(f"{path}: wanted {count} numbers after {name}, found others; save it again") from error
        if len(numbers[name]) != count:
            raise ImageError(f"{path}: wanted {count} numbers after {name}, found {len(numbers[name])}; save it again")
    return numbers


def _read_text(path: Path) -> str:
    remedy = "give an affine that ITK or ANTs saved as text (.txt, .tfm)"
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
        text = data.decode()
    except OSError as error:
        raise ImageError(f"{path}: cannot be read ({error.strerror}); {remedy}", code="missing-file") from error
    except UnicodeDecodeError as error:
        raise ImageError(f"{path}: this is no text; {remedy}") from error
    if len(data) > _MOST_BYTES or not text.startswith("#Insight Transform File"):
        raise ImageError(f"{path}: this is no ITK transform file; {remedy}")
    return text
