"""The header of a NIfTI file in; what it claims, and every fault of that, out.

No claim is believed before it was held against the file, and no memory is taken for it: of a header that claims
100 GB, and of a stream that unpacks to as much, one block is held at a time. nibabel decodes the fields; its `load` is
not used, as it reads a header extension of whatever length the file claims.
"""

from __future__ import annotations

import gzip
import math
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal, cast

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from lesionlab.imaging.placement import Note, find_place
from storage_schemas.verdicts import Code, Finding
from storage_schemas.volumes import Shape3

MOST_VOXELS_PER_AXIS = 1024
MOST_VOXELS = 2**28
"""A head at 0.4 mm fits; as float32 this is 1 GiB."""
BLOCK_BYTES = 2**20
"""Unpacked at a time; as much may follow the last voxel, as padding."""
MOST_HEADER_BYTES = 2**26
"""Of a header with its extensions; conversions from DICOM write a few kB."""

_HEADERS: dict[int, Any] = {348: nib.Nifti1Header, 540: nib.Nifti2Header}
"""By their length in bytes, which their first four bytes state."""
_BYTE_ORDERS: tuple[Literal["little", "big"], ...] = ("little", "big")
_DAMAGE = (EOFError, zlib.error)


@dataclass(frozen=True, eq=False)
class Layout:
    """Where the voxels lie in the file, all of them, and what makes them grey values: stored × slope + intercept."""

    shape: Shape3
    dtype: np.dtype[Any]
    offset_bytes: int
    slope: float
    intercept: float


@dataclass(frozen=True, eq=False)
class Header:
    """What could be made of one header."""

    findings: tuple[Finding, ...]
    shape: Shape3 | None = None
    """Of the first three axes; None where there are no three, or they cannot be those of a head."""
    affine: NDArray[np.float64] | None = None
    """Voxel indices to world mm, RAS+; None where the header does not place the voxels."""
    layout: Layout | None = None
    """None where the file does not hold the voxels of one 3-D grey image."""


def read_header(path: Path, place: str) -> Header:
    """What the header says, held against the file; what is found goes by the name `place`, never by the path."""
    findings: list[Finding] = []

    def note(code: Code, what: str, *, repaired: bool = False) -> None:
        findings.append(Finding(code=code, place=place, what=what, repaired=repaired))

    fields = _decode(path, note)
    if fields is None:
        return Header(tuple(findings))
    dtype, claimed_shape = fields.get_data_dtype(), tuple(int(size) for size in fields.get_data_shape())
    shape = _three_axes(claimed_shape, note)
    affine = find_place(fields, shape, note)
    scaling = _scaling(fields, note)
    readable = _is_grey(dtype, note) and shape is not None and math.prod(claimed_shape) == math.prod(shape)
    if shape is None or not readable or not _holds_all(path, fields, math.prod(shape) * dtype.itemsize, note):
        return Header(tuple(findings), shape, affine)
    layout = Layout(shape, dtype, int(fields["vox_offset"]), *scaling) if scaling else None
    return Header(tuple(findings), shape, affine, layout)


def _decode(path: Path, note: Note) -> Any:
    """The fields of the header; None, and the reason noted, where there is no header of a NIfTI file."""
    if not path.name.endswith((".nii", ".nii.gz")):
        note("unreadable", "wanted a NIfTI file (.nii or .nii.gz); convert it")
        return None
    if not path.is_file():
        note("missing-file", "there is no such file; add it or exclude the study")
        return None
    try:
        with _open(path) as stream:
            block = stream.read(max(_HEADERS))
        length = next(size for order in _BYTE_ORDERS if (size := int.from_bytes(block[:4], order)) in _HEADERS)
        fields: Any = _HEADERS[length](block[:length], check=False)
        if fields["magic"].item() != fields.single_magic or not 1 <= int(fields["dim"][0]) <= 7:
            raise ValueError
        fields.get_data_dtype()  # refuses a code that stands for no type
    except _DAMAGE as error:
        note("truncated", f"damaged or truncated ({type(error).__name__}); copy or export it again")
        return None
    except Exception as error:  # nibabel passes on whatever its readers raise; their messages may hold the path
        note("unreadable", f"cannot be read as NIfTI ({type(error).__name__}); export the image again")
        return None
    fields["pixdim"][1:4] = np.abs(fields["pixdim"][1:4])
    if fields["pixdim"][0] not in (-1, 1):
        fields["pixdim"][0] = 1  # NIfTI: 0 counts as 1
    return fields


def _three_axes(claimed: tuple[int, ...], note: Note) -> Shape3 | None:
    """The first three axes; None, and the reason noted, where they cannot be those of a head."""
    if len(claimed) < 3 or math.prod(claimed[3:]) != 1:
        note("not-3d", f"wanted one 3-D image, found shape {claimed}; split it into 3-D images")
    elif len(claimed) > 3:
        note("not-3d", f"found shape {claimed}; read without the axes of length 1 at its end", repaired=True)
    if len(claimed) < 3:
        return None
    shape = cast(Shape3, claimed[:3])
    if min(shape) < 1 or max(shape) > MOST_VOXELS_PER_AXIS or math.prod(shape) > MOST_VOXELS:
        bounds = f"at most {MOST_VOXELS_PER_AXIS} voxels along an axis and {MOST_VOXELS} in all"
        note("implausible-size", f"wanted {bounds}, found {shape}; correct the header or export it again")
        return None
    return shape


def _is_grey(dtype: np.dtype[Any], note: Note) -> bool:
    if np.issubdtype(dtype, np.integer) or np.issubdtype(dtype, np.floating):
        return True
    kind = f"{len(dtype.names)} colours" if dtype.names else dtype.name
    note("not-grey", f"wanted one number per voxel, found {kind}; export the image in grey values")
    return False


def _scaling(fields: Any, note: Note) -> tuple[float, float] | None:
    """Slope and intercept; None, and the reason noted, where they are lost.

    A slope of 0 means by the standard that values are as stored. One of NaN or infinity is read in the same way, by
    nibabel and by the standard's own library; that is right where nothing else speaks of a scale.
    """
    slope, intercept = float(fields["scl_slope"]), float(fields["scl_inter"])
    if slope == 0:
        return 1.0, 0.0
    if math.isfinite(slope) and math.isfinite(intercept):
        return slope, intercept
    found = f"found the slope {slope:g} and the intercept {intercept:g}"
    if not math.isfinite(slope) and (intercept == 0 or math.isnan(intercept)):
        note("bad-scaling", f"{found}; the values were read as stored", repaired=True)
        return 1.0, 0.0
    note("bad-scaling", f"wanted finite numbers to scale by, {found}; export the image again")
    return None


def _holds_all(path: Path, fields: Any, voxel_bytes: int, note: Note) -> bool:
    """Whether the file holds, undamaged, what the header claims, and not much more."""
    offset = float(fields["vox_offset"])
    if not fields.single_vox_offset <= offset <= MOST_HEADER_BYTES:
        note("implausible-size", f"the header puts the first voxel at byte {offset:g}; export the image again")
        return False
    claimed = int(offset) + voxel_bytes
    try:
        held = _held_bytes(path, claimed + BLOCK_BYTES)
    except (*_DAMAGE, OSError) as error:
        note("truncated", f"damaged or truncated ({type(error).__name__}); copy or export it again")
        return False
    if held < claimed:
        note("truncated", f"the header claims {claimed} bytes but the file holds {held}; copy or export it again")
    elif held > claimed + BLOCK_BYTES:
        note("implausible-size", f"the header claims {claimed} bytes but the file goes on; export the image again")
    return claimed <= held <= claimed + BLOCK_BYTES


def _held_bytes(path: Path, enough: int) -> int:
    """How many bytes the file holds unpacked; unpacking ends, the checksum unread, once they are more than enough.

    Read to the end the checksum is compared: nibabel stops after the last voxel, and takes changed bytes for voxels.
    """
    if not path.name.endswith(".gz"):
        return path.stat().st_size
    held = 0
    with gzip.open(path) as stream:
        while held <= enough and (block := stream.read(BLOCK_BYTES)):
            held += len(block)
    return held


def _open(path: Path) -> IO[bytes]:
    return cast(IO[bytes], gzip.open(path)) if path.name.endswith(".gz") else path.open("rb")
