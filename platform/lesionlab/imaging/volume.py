"""Read and write volumes (voxels and affine) as NIfTI files.

i j k voxel axes in the order of the file; world coordinates are millimetres, RAS+.
"""

from __future__ import annotations

import gzip
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, cast

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from lesionlab.atomic import write_atomically
from lesionlab.errors import ImageError
from lesionlab.imaging.background import background_to_air
from lesionlab.imaging.gaps import fill_air, fill_background, not_finite
from lesionlab.imaging.header import Header, Layout, read_header
from lesionlab.imaging.intensity import few_values
from lesionlab.imaging.inverted import inverted_values
from lesionlab.imaging.wrapped import wrapped_values
from storage_schemas.verdicts import Finding
from storage_schemas.volumes import Affine, Grid, Shape3

Image: TypeAlias = NDArray[np.float32]
Mask: TypeAlias = NDArray[np.uint8]
Matrix: TypeAlias = NDArray[np.float64]

MASK_ROUNDING = 1e-3
"""Tolerance for mask values around 0 and 1: resampled and scaled masks contain 0.99997."""


@dataclass(frozen=True, eq=False)
class Volume:
    """Voxels (i, j, k; float32 for images, uint8 for masks) and the 4×4 affine from indices to world mm."""

    voxels: NDArray[Any]
    affine: Matrix

    @property
    def grid(self) -> Grid:
        """Shape and affine as a storable value."""
        return grid_of(self.voxels.shape, self.affine)

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance between voxel centres along each voxel axis."""
        return spacing_of(self.affine)


def grid_of(shape: tuple[int, ...], affine: Matrix) -> Grid:
    """Convert a shape and an affine to a storable value."""
    return Grid(shape=cast(Shape3, tuple(shape)), affine=cast(Affine, tuple(tuple(map(float, row)) for row in affine)))


def matrix_of(grid: Grid) -> Matrix:
    """4×4 affine of a grid."""
    return np.array(grid.affine, dtype=np.float64)


def spacing_of(affine: Matrix) -> tuple[float, float, float]:
    """Distance between voxel centres along each voxel axis, in mm."""
    i, j, k = np.linalg.norm(affine[:3, :3], axis=0)
    return float(i), float(j), float(k)


@dataclass(frozen=True, eq=False)
class Examined:
    """Contents of one file, as far as they could be read, and every finding."""

    findings: tuple[Finding, ...]
    grid: Grid | None
    """None if the header has no valid shape and affine; known even if the voxels cannot be read."""
    volume: Volume | None
    """None if a finding leaves no usable voxels or no grid for them."""
    other_grid: Grid | None = None
    """The grid by the qform, if the header has an sform that differs from it; `grid` is by the sform."""


def examine_image(path: Path, place: str) -> Examined:
    """Read an image as float32 and report every fault; findings name the file `place`, never its path."""
    header = read_header(path, place)
    voxels_ijk = _voxels(path, header.layout)
    return _examined(header, *((None, ()) if voxels_ijk is None else _grey_values(voxels_ijk, place)))


def examine_mask(path: Path, place: str, labels: Collection[int] | None = None) -> Examined:
    """Read a mask as uint8, 0 and 1, and report every fault; findings name the file `place`, never its path.

    0 and 255, and 0 and 1 up to rounding, are read as 0 and 1; NaN around lesions that have none beside them as 0. Any
    other value may be a label of unknown meaning and is a fault, also a small one that rounding would erase. `labels`:
    the file is a label map, and these of its whole numbers are lesion.
    """
    header = read_header(path, place)
    voxels_ijk = _voxels(path, header.layout)
    if voxels_ijk is None:
        return _examined(header, None, ())
    filled_ijk, findings = fill_background(voxels_ijk, place)
    if filled_ijk is None:
        return _examined(header, None, findings)
    mask_ijk, further = _binary(filled_ijk, place) if labels is None else _labelled(filled_ijk, labels, place)
    return _examined(header, mask_ijk, findings + further)


def read_volume(path: Path) -> Volume:
    """Read an image as float32. Raises ImageError with every fault if it cannot be an image of a head."""
    return _sound(examine_image(path, "image"), path)


def read_map(path: Path) -> Volume:
    """Read a map of probabilities or labels as float32. Raises ImageError with every fault, also for any NaN."""
    return _sound(_examined(*_finite(path, "map")), path)


def read_mask(path: Path) -> Volume:
    """Read a mask as uint8, 0 and 1. Raises ImageError with every fault if it is not a valid mask."""
    return _sound(examine_mask(path, "mask"), path)


def write_volume(path: Path, volume: Volume) -> None:
    """Write `.nii` or `.nii.gz` atomically; the same volume gives the same bytes.

    The affine is written to the sform (code 1, scanner) and, if a quaternion can represent it (no shear), to the qform.
    Raises ImageError if the name is not that of a NIfTI file or the file cannot be written.
    """
    if not path.name.endswith((".nii", ".nii.gz")):
        raise ImageError(f"{path}: wanted a NIfTI file (.nii or .nii.gz); choose another name")
    image = nib.Nifti1Image(volume.voxels, volume.affine)
    image.header.set_xyzt_units("mm")
    image.set_sform(volume.affine, code=1)
    image.set_qform(volume.affine, code=1)
    if not np.allclose(image.get_qform(), volume.affine, atol=1e-3):
        image.set_qform(None, code=0)
    data = image.to_bytes()
    if path.name.endswith(".gz"):
        data = gzip.compress(data, compresslevel=6, mtime=0)
    try:
        write_atomically(path, data)
    except OSError as error:
        raise ImageError(f"{path}: cannot be written ({error.strerror}); choose another place") from error


def _sound(examined: Examined, path: Path) -> Volume:
    standing = [finding for finding in examined.findings if not finding.repaired]
    if standing or examined.volume is None:
        raise ImageError(*(f"{path}: {finding.what}" for finding in standing), code=standing[0].code)
    return examined.volume


def _examined(header: Header, voxels_ijk: NDArray[Any] | None, findings: tuple[Finding, ...]) -> Examined:
    if header.shape is None or header.affine is None:
        return Examined(header.findings + findings, None, None)
    volume = None if voxels_ijk is None else Volume(voxels_ijk, header.affine)
    other_grid = None if header.other_affine is None else grid_of(header.shape, header.other_affine)
    return Examined(header.findings + findings, grid_of(header.shape, header.affine), volume, other_grid)


def _finite(path: Path, place: str) -> tuple[Header, Image | None, tuple[Finding, ...]]:
    """Header and voxels of a file in which every value counts, also outside the head; None if one is not finite."""
    header = read_header(path, place)
    voxels_ijk = _voxels(path, header.layout)
    if voxels_ijk is None or np.isfinite(voxels_ijk).all():
        return header, voxels_ijk, ()
    return header, None, (not_finite(voxels_ijk, place),)


def _voxels(path: Path, layout: Layout | None) -> Image | None:
    """Grey values as float32; values beyond its range are infinite."""
    if layout is None:
        return None
    spec = (layout.shape, layout.dtype, layout.offset_bytes, layout.slope, layout.intercept)
    with np.errstate(over="ignore", invalid="ignore"):  # reported as not finite
        return np.ascontiguousarray(nib.arrayproxy.ArrayProxy(path, spec, mmap=False), dtype=np.float32)


def _grey_values(voxels_ijk: Image, place: str) -> tuple[Image | None, tuple[Finding, ...]]:
    """Give what is outside the scan the value of air; refuse gaps in the head and values that wrapped around or are
    inverted."""
    filled_ijk, findings = fill_air(voxels_ijk, place)
    if filled_ijk is None:
        return None, findings
    if few_values(filled_ijk):
        return filled_ijk, findings  # no scan: air has no level in it
    if strange := wrapped_values(filled_ijk, place) or inverted_values(filled_ijk, place):
        return None, (*findings, strange)
    filled_ijk, padding = background_to_air(filled_ijk, place)
    return filled_ijk, findings + padding


def _labelled(voxels_ijk: Image, labels: Collection[int], place: str) -> tuple[Mask | None, tuple[Finding, ...]]:
    """The voxels of a label map with one of these labels; a finding if it has other values than whole numbers."""
    rounded_ijk = np.rint(voxels_ijk)
    erased = voxels_ijk.any() and not rounded_ijk.any()
    if erased or np.abs(voxels_ijk - rounded_ijk).max(initial=0) > MASK_ROUNDING:
        what = "wanted whole numbers, the labels of a segmentation, found others; export it without interpolation"
        return None, (Finding(code="mask-not-binary", place=place, what=what),)
    return np.isin(rounded_ijk, list(labels)).astype(np.uint8), ()


def _binary(voxels_ijk: Image, place: str) -> tuple[Mask | None, tuple[Finding, ...]]:
    """Convert to a mask of 0 and 1; a finding says how its values were repaired or why they cannot be."""
    found = np.unique(voxels_ijk)
    few = ", ".join(f"{value:g}" for value in found[:6]) + (", …" if found.size > 6 else "")
    for one in (1, 255):
        rounded = np.rint(found / one)
        if found.any() and not rounded.any():
            continue  # 0 and 0.2, or 0 and 1 times a slope of 1/255, would become a mask without lesions
        if np.isin(rounded, (0, 1)).all() and np.allclose(found / one, rounded, rtol=0, atol=MASK_ROUNDING):
            mask_ijk = (voxels_ijk > one / 2).astype(np.uint8)
            if np.isin(found, (0, 1)).all():
                return mask_ijk, ()
            what = f"found the values {few}; read as 0 and 1"
            return mask_ijk, (Finding(code="mask-not-binary", place=place, what=what, repaired=True),)
    what = f"wanted a mask of 0 and 1, found the values {few}; save it as a binary mask"
    return None, (Finding(code="mask-not-binary", place=place, what=what),)
