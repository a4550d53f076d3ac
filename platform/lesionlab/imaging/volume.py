"""A NIfTI file in, voxels and their place in the world out; and back.

i j k voxel axes as they lie in the file; world coordinates are millimetres, RAS+.
"""

from __future__ import annotations

import gzip
import math
import os
import tempfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, cast

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from lesionlab.errors import ImageError
from storage_schemas.volumes import Affine, Grid, Shape3

Image: TypeAlias = NDArray[np.float32]
Mask: TypeAlias = NDArray[np.uint8]
Matrix: TypeAlias = NDArray[np.float64]

SPACING_MM = (0.1, 10.0)
"""Distances of voxel centres that a scan of a head can have."""
MOST_VOXELS_PER_AXIS = 1024
MOST_VOXELS = 2**28
"""A head at 0.4 mm fits; as float32 this is 1 GiB."""
LEAST_VOLUME = 0.1
"""Part of a rectangular voxel's volume that a voxel must have: 0 is flat, a gantry tilt of 30° leaves 0.87."""
DEFLATE_LIMIT = 1032
"""No deflate stream grows by more than this factor (zlib technical details)."""


@dataclass(frozen=True, eq=False)
class Volume:
    """Voxels (i, j, k; float32 for images, uint8 for masks) and the 4×4 matrix that takes indices to world mm."""

    voxels: NDArray[Any]
    affine: Matrix

    @property
    def grid(self) -> Grid:
        """Where the voxels lie, as a storable value."""
        return grid_of(self.voxels.shape, self.affine)

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance of voxel centres along each voxel axis."""
        return spacing_of(self.affine)


def grid_of(shape: tuple[int, ...], affine: Matrix) -> Grid:
    """The storable value of a shape and an affine."""
    return Grid(shape=cast(Shape3, tuple(shape)), affine=cast(Affine, tuple(tuple(map(float, row)) for row in affine)))


def matrix_of(grid: Grid) -> Matrix:
    """The 4×4 affine of a grid."""
    return np.array(grid.affine, dtype=np.float64)


def spacing_of(affine: Matrix) -> tuple[float, float, float]:
    """Distance of voxel centres along each voxel axis, in mm."""
    i, j, k = np.linalg.norm(affine[:3, :3], axis=0)
    return float(i), float(j), float(k)


def read_volume(path: Path) -> Volume:
    """An image as float32. Raises ImageError where it is no NIfTI file, damaged, not 3-D, not finite or implausible."""
    header = _read_header(path)
    voxels_ijk = _read_voxels(header, path)
    strange = int(voxels_ijk.size - np.count_nonzero(np.isfinite(voxels_ijk)))
    if strange:
        raise ImageError(
            f"{path}: wanted finite voxels, found {strange} that are NaN or infinite; export the image again"
        )
    return Volume(voxels_ijk, header.affine)


def read_mask(path: Path) -> Volume:
    """A mask as uint8, 0 and 1. Raises ImageError as `read_volume` does, and where there is any other value."""
    header = _read_header(path)
    voxels_ijk = _read_voxels(header, path)
    mask_ijk = (voxels_ijk == 1).astype(np.uint8)
    if not np.array_equal(mask_ijk, voxels_ijk):
        found = np.unique(voxels_ijk)
        few = ", ".join(f"{value:g}" for value in found[:6]) + (", …" if found.size > 6 else "")
        raise ImageError(f"{path}: wanted a mask of 0 and 1, found the values {few}; save it as a binary mask")
    return Volume(mask_ijk, header.affine)


def write_volume(path: Path, volume: Volume) -> None:
    """Writes `.nii` or `.nii.gz`, whole or not at all; the same volume gives the same bytes.

    The affine goes into the sform (code 1, scanner); into the qform as well where a quaternion can hold it (no shear).
    Raises ImageError where the name is not that of a NIfTI file or the place cannot be written to.
    """
    _check_name(path)
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
        _write_whole(path, data)
    except OSError as error:
        raise ImageError(f"{path}: cannot be written ({error.strerror}); choose another place") from error


def _write_whole(path: Path, data: bytes) -> None:
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def _check_name(path: Path) -> None:
    if not path.name.endswith((".nii", ".nii.gz")):
        raise ImageError(f"{path}: wanted a NIfTI file (.nii or .nii.gz)")


def _read_header(path: Path) -> Any:
    """The file without its voxels, once all that the header claims is plausible."""
    _check_name(path)
    if not path.is_file():
        raise ImageError(f"{path}: there is no such file")
    try:
        header: Any = nib.load(path)
    except Exception as error:  # nibabel passes on whatever its readers, gzip and zlib raise
        raise ImageError(f"{path}: cannot be read as NIfTI ({_reason(error, path)}); export the image again") from error
    faults = [*_shape_faults(header, path), *_affine_faults(header.affine)]
    if faults:
        raise ImageError(f"{path}: {'; '.join(faults)}")
    return header


def _shape_faults(header: Any, path: Path) -> list[str]:
    shape, dtype = header.shape, header.get_data_dtype()
    if len(shape) != 3:
        return [f"wanted one 3-D image, found shape {shape}; split it into 3-D images"]
    if not np.issubdtype(dtype, np.integer) and not np.issubdtype(dtype, np.floating):
        return [f"wanted one number per voxel, found {dtype}; export the image in grey values"]
    if min(shape) < 1 or max(shape) > MOST_VOXELS_PER_AXIS or math.prod(shape) > MOST_VOXELS:
        return [f"wanted at most {MOST_VOXELS_PER_AXIS} voxels along an axis and {MOST_VOXELS} in all, found {shape}"]
    claimed, held = header.dataobj.offset + math.prod(shape) * dtype.itemsize, path.stat().st_size
    if claimed > held * (DEFLATE_LIMIT if path.name.endswith(".gz") else 1):
        return [f"the header claims {claimed} bytes but the file has {held}; copy or export it again"]
    return []


def _affine_faults(affine: Matrix) -> list[str]:
    if not np.isfinite(affine).all():
        return ["the affine holds NaN or infinity; export the image again"]
    spacing = spacing_of(affine)
    if not all(SPACING_MM[0] <= mm <= SPACING_MM[1] for mm in spacing):
        found = " × ".join(f"{mm:.4g}" for mm in spacing)
        return [f"wanted a spacing from {SPACING_MM[0]} to {SPACING_MM[1]} mm, found {found} mm; correct the header"]
    if abs(np.linalg.det(affine[:3, :3])) < LEAST_VOLUME * math.prod(spacing):
        return ["the three voxel axes lie (almost) in one plane; correct the affine in the header"]
    return []


def _read_voxels(header: Any, path: Path) -> Image:
    try:
        if path.name.endswith(".gz"):
            _check_to_the_end(path)
        return np.ascontiguousarray(header.get_fdata(dtype=np.float32, caching="unchanged"))
    except (OSError, EOFError, ValueError, zlib.error, nib.spatialimages.HeaderDataError) as error:
        raise ImageError(f"{path}: damaged or truncated ({_reason(error, path)}); copy or export it again") from error


def _check_to_the_end(path: Path) -> None:
    """Compare the checksum: nibabel stops after the last voxel, so that changed bytes would be read as voxels."""
    with gzip.open(path) as stream:
        while stream.read(2**20):
            pass


def _reason(error: Exception, path: Path) -> str:
    return (str(error) or type(error).__name__).splitlines()[0].replace(str(path), path.name)
