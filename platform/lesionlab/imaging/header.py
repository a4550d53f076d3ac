"""Read the header of a NIfTI file and report every fault in it.

Every claim of the header is checked against the file before memory is allocated for it: only one block is in memory at
a time, even if a header claims 100 GB or a stream decompresses to as much. nibabel decodes the fields. Its `load` is
not used because it reads a header extension of any length that the file claims.
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

from lesionlab.imaging.formats import format_by_content, format_by_name, is_nifti_name
from lesionlab.imaging.placement import Note, find_place, other_form
from storage_schemas.verdicts import Code, Finding
from storage_schemas.volumes import Shape3

MOST_AXES = 7
MOST_VOXELS_PER_AXIS = 1024
MOST_VOXELS = 2**28
"""A head at 0.4 mm fits; as float32 this is 1 GiB."""
BLOCK_BYTES = 2**20
"""Decompressed at a time; also the maximum padding after the last voxel."""
MOST_HEADER_BYTES = 2**26
"""Maximum size of a header with its extensions; DICOM converters write a few kB."""

_HEADERS: dict[int, Any] = {348: nib.Nifti1Header, 540: nib.Nifti2Header}
"""Header types by length in bytes; the first four bytes of a file state the length."""
_BYTE_ORDERS: tuple[Literal["little", "big"], ...] = ("little", "big")
_DAMAGE = (EOFError, zlib.error)


@dataclass(frozen=True, eq=False)
class Layout:
    """Position and type of the voxels in the file, all verified; grey value = stored value × slope + intercept."""

    shape: Shape3
    dtype: np.dtype[Any]
    offset_bytes: int
    slope: float
    intercept: float


@dataclass(frozen=True, eq=False)
class Header:
    """Contents of one header, as far as they could be read."""

    findings: tuple[Finding, ...]
    shape: Shape3 | None = None
    """Shape of the first three axes; None if there are fewer than three or the size is implausible for a head."""
    affine: NDArray[np.float64] | None = None
    """Voxel indices to world mm, RAS+; None if the header does not define it."""
    other_affine: NDArray[np.float64] | None = None
    """The qform, if the header has an sform that differs from it."""
    layout: Layout | None = None
    """None if the file does not contain the voxels of one 3-D greyscale image."""


def read_header(path: Path, place: str) -> Header:
    """Read a header and check it against the file; findings name the file `place`, never its path."""
    findings: list[Finding] = []

    def note(code: Code, what: str, *, repaired: bool = False) -> None:
        findings.append(Finding(code=code, place=place, what=what, repaired=repaired))

    fields = _decode(path, note)
    if fields is None:
        return Header(tuple(findings))
    dtype, claimed_shape = fields.get_data_dtype(), _claimed_shape(fields)
    shape = _three_axes(claimed_shape, note)
    affine = find_place(fields, shape, note)
    other = other_form(fields, affine, shape)
    scaling = _scaling(fields, note)
    readable = _is_grey(fields, dtype, note) and shape is not None and math.prod(claimed_shape) == math.prod(shape)
    if shape is None or not readable or not _holds_all(path, fields, math.prod(shape) * dtype.itemsize, note):
        return Header(tuple(findings), shape, affine, other)
    layout = Layout(shape, dtype, int(fields["vox_offset"]), *scaling) if scaling else None
    return Header(tuple(findings), shape, affine, other, layout)


def _decode(path: Path, note: Note) -> Any:
    """Decode the header fields; note the reason and return None if this is not a NIfTI file."""
    if not is_nifti_name(path.name):
        found = (path.is_file() and format_by_content(path)) or format_by_name(path.name)
        note("unreadable", f"wanted a NIfTI file (.nii or .nii.gz), found {found or 'another name; convert it'}")
        return None
    if not path.is_file():
        note("missing-file", "wanted a file, found none; add it or exclude the study")
        return None
    try:
        with _open(path) as stream:
            block = stream.read(max(_HEADERS))
        sizes = [int.from_bytes(block[:4], order) for order in _BYTE_ORDERS]
        length = next((size for size in sizes if size in _HEADERS), None)
        if length is None:
            found = format_by_content(path) or "a file that does not begin as NIfTI does; export the image again"
            note("unreadable", f"wanted a NIfTI file, found {found}")
            return None
        fields: Any = _HEADERS[length](block[:length], check=False)
        if fields["magic"].item() != fields.single_magic:
            raise ValueError
        if strange := _strange(fields):
            note("unreadable", f"{strange}; export the image again")
            return None
        fields.get_data_dtype()
    except _DAMAGE as error:
        note("truncated", f"damaged or truncated ({type(error).__name__}); copy or export it again")
        return None
    except Exception as error:  # nibabel lets any exception of its readers through; their messages may contain the path
        found = format_by_content(path)
        unknown = f"cannot be read as NIfTI ({type(error).__name__}); export the image again"
        note("unreadable", f"wanted a NIfTI file, found {found}" if found else unknown)
        return None
    fields["pixdim"][1:4] = np.abs(fields["pixdim"][1:4])
    if fields["pixdim"][0] not in (-1, 1):
        fields["pixdim"][0] = 1  # NIfTI: 0 counts as 1
    return fields


def _strange(fields: Any) -> str | None:
    """What no reader of NIfTI understands in these fields, or None."""
    axes, code = int(fields["dim"][0]), int(fields["datatype"])
    if not 1 <= axes <= MOST_AXES:
        return f"wanted 1 to {MOST_AXES} axes in the header, found {axes}"
    known = code in nib.nifti1.data_type_codes.code
    return None if known else f"wanted a data type of the NIfTI standard, found the code {code}"


def _claimed_shape(fields: Any) -> tuple[int, ...]:
    """Shape as in the header; a length of 0 behind the third axis counts as 1, as in the standard's own library."""
    sizes = tuple(int(size) for size in fields.get_data_shape())
    return sizes[:3] + tuple(size or 1 for size in sizes[3:])


def _three_axes(claimed: tuple[int, ...], note: Note) -> Shape3 | None:
    """Shape of the first three axes; note the reason and return None if it is implausible for a head."""
    if len(claimed) < 3:
        note("not-3d", f"wanted one 3-D image, found shape {claimed}; join the slices to one image")
    elif math.prod(claimed[3:]) != 1:
        note("not-3d", f"wanted one 3-D image, found shape {claimed}; split it into 3-D images")
    elif len(claimed) > 3:
        note("not-3d", f"found shape {claimed}; trailing axes of length 1 were dropped", repaired=True)
    if len(claimed) < 3:
        return None
    shape = cast(Shape3, claimed[:3])
    if min(shape) < 1 or max(shape) > MOST_VOXELS_PER_AXIS or math.prod(shape) > MOST_VOXELS:
        bounds = f"1 to {MOST_VOXELS_PER_AXIS} voxels along each axis and at most {MOST_VOXELS} in total"
        note("implausible-size", f"wanted {bounds}, found {shape}; correct the header or export it again")
        return None
    return shape


def _is_grey(fields: Any, dtype: np.dtype[Any], note: Note) -> bool:
    if np.issubdtype(dtype, np.integer) or np.issubdtype(dtype, np.floating):
        return True
    if dtype.itemsize == 0:
        label = nib.nifti1.data_type_codes.label[int(fields["datatype"])]
        note("unreadable", f"wanted 8 to 64 bits per voxel, found the data type {label}; save it as uint8 or float32")
        return False
    kind = f"{len(dtype.names)} colours" if dtype.names else dtype.name
    note("not-grey", f"wanted one number per voxel, found {kind}; export the image in greyscale")
    return False


def _scaling(fields: Any, note: Note) -> tuple[float, float] | None:
    """Slope and intercept; note the reason and return None if they cannot be recovered.

    In the NIfTI standard a slope of 0 means that values are used as stored. nibabel and the standard's own library
    treat a slope of NaN or infinity in the same way; that is correct if the intercept does not indicate a scaling.
    """
    slope, intercept = float(fields["scl_slope"]), float(fields["scl_inter"])
    if slope == 0:
        return 1.0, 0.0
    if math.isfinite(slope) and math.isfinite(intercept):
        return slope, intercept
    found = f"found slope {slope:g} and intercept {intercept:g}"
    if not math.isfinite(slope) and (intercept == 0 or math.isnan(intercept)):
        note("bad-scaling", f"{found}; values were read as stored", repaired=True)
        return 1.0, 0.0
    note("bad-scaling", f"wanted a finite slope and intercept, {found}; export the image again")
    return None


def _holds_all(path: Path, fields: Any, voxel_bytes: int, note: Note) -> bool:
    """Whether the file contains all bytes that the header claims, undamaged, and little more."""
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
        note("truncated", f"wanted {claimed} bytes, as in the header, found {held}; copy or export the image again")
    elif held > claimed + BLOCK_BYTES:
        note("implausible-size", f"wanted {claimed} bytes, as in the header, found more; export the image again")
    return claimed <= held <= claimed + BLOCK_BYTES


def _held_bytes(path: Path, enough: int) -> int:
    """Decompressed size in bytes; stops, without checking the checksum, once it exceeds `enough`.

    Reading to the end verifies the gzip checksum. nibabel stops after the last voxel and does not notice changed bytes.
    """
    if not path.name.lower().endswith(".gz"):
        return path.stat().st_size
    held = 0
    with gzip.open(path) as stream:
        while held <= enough and (block := stream.read(BLOCK_BYTES)):
            held += len(block)
    return held


def _open(path: Path) -> IO[bytes]:
    return cast(IO[bytes], gzip.open(path)) if path.name.lower().endswith(".gz") else path.open("rb")
