"""Name the format of a file that is not the NIfTI file it should be, and say what to do with it.

Signatures: the formats' own documents and the `magic` database of file(1).
"""

from __future__ import annotations

import gzip
import re
import zlib
from pathlib import Path

NIFTI = (".nii", ".nii.gz")
START_BYTES = 4096
_GZIP = b"\x1f\x8b"
_DICOM_PREAMBLE_BYTES = 128
_TAR_MAGIC_AT = 257
_HEADER_BYTES = {348: (344, b"n+1\0", b"ni1\0"), 540: (4, b"n+2\0", b"ni2\0")}
"""By header length: where the magic is, its value in a single file and in a pair of files."""

_LFS = "a Git LFS pointer instead of the image; fetch its content (git lfs pull)"
_ANNEX = "a git-annex pointer instead of the image; fetch its content (datalad get)"
_PAGE = "a web page, so the download failed; download the image again"
_TEXT = "a text file, such as the answer to a failed download; get the image again"
_DICOM = "DICOM; convert it with dcm2niix"
_MGH = "FreeSurfer's MGH format; convert it with mri_convert"
_NRRD = "NRRD; convert it with 3D Slicer or c3d"
_META = "MetaImage; convert it with 3D Slicer or c3d"
_MINC = "MINC; convert it with mnc2nii"
_PAIR = "one of a pair of files (.hdr, .img); save it as one file (fslchfiletype NIFTI_GZ)"
_PAR = "Philips PAR/REC; convert it with dcm2niix"
_AFNI = "AFNI's format; convert it with 3dAFNItoNIFTI"

_BLANKS = b"\xef\xbb\xbf \t\r\n"
_PRINTABLE = bytes(range(32, 127)) + bytes(range(128, 256)) + b"\t\r\n\f"
_DATA_SET = re.compile(rb"[\x02\x08]\0[\0-\x18]\0(?:[A-Z]{2}|[\0-\x40]\0\0\0)", re.DOTALL)
"""Start of DICOM without the preamble: the group 0002 or 0008, its element, a value representation or a length."""
_STARTS = {
    b"version https://git-lfs": _LFS,
    b"/annex/objects/": _ANNEX,
    b"NRRD000": _NRRD,
    b"ObjectType = Image": _META,
    b"CDF\x01": _MINC,
    b"CDF\x02": _MINC,
    b"\x89HDF\r\n\x1a\n": "HDF5, as MINC 2 is; convert it with mnc2nii",
    b"PK\x03\x04": "a ZIP archive; unpack it",
    b"BZh": "compressed with bzip2; unpack it (bunzip2)",
    b"\xfd7zXZ\0": "compressed with xz; unpack it (unxz)",
    b"\x28\xb5\x2f\xfd": "compressed with zstd; unpack it (unzstd)",
    b"7z\xbc\xaf\x27\x1c": "a 7-Zip archive; unpack it",
    b"\x89PNG": "a PNG picture; export the image as NIfTI",
    b"\xff\xd8\xff": "a JPEG picture; export the image as NIfTI",
    b"%PDF": "a PDF document; export the image as NIfTI",
    b"\x00\x00\x00\x01\x00\x00": _MGH,
}
_ENDINGS = {
    (".mgz", ".mgh"): _MGH,
    (".nrrd", ".nhdr", ".seg.nrrd"): _NRRD,
    (".mha", ".mhd"): _META,
    (".mnc", ".mnc.gz"): _MINC,
    (".dcm", ".ima"): _DICOM,
    (".hdr", ".img", ".hdr.gz", ".img.gz"): _PAIR,
    (".par", ".rec"): _PAR,
    (".head", ".brik", ".brik.gz"): _AFNI,
    (".nii.zip", ".zip"): "a ZIP archive; unpack it",
    (".nii.bz2", ".nii.xz", ".nii.zst"): "compressed by another program than gzip; unpack it",
}


def is_nifti_name(name: str) -> bool:
    """Whether this is the name of a NIfTI file, in upper or lower case."""
    return name.lower().endswith(NIFTI)


def without_ending(name: str) -> str:
    """The name of a NIfTI file without `.nii` or `.nii.gz`, in upper or lower case."""
    return re.sub(r"\.nii(\.gz)?$", "", name, flags=re.IGNORECASE)


def format_by_name(name: str) -> str | None:
    """Format and remedy (`DICOM; convert it with dcm2niix`) by the ending of the name; None if it is not known."""
    return next((kind for endings, kind in _ENDINGS.items() if name.lower().endswith(endings)), None)


def format_by_content(path: Path) -> str | None:
    """Format and remedy by the first bytes of the file; None if they are not known or the name is right for them."""
    try:
        with path.open("rb") as file:
            start = file.read(START_BYTES)
    except OSError as error:
        return f"a file that cannot be read ({error.strerror}); give read permission"
    if not start:
        return "an empty file; copy or export the image again"
    if not start.startswith(_GZIP):
        packed = path.name.lower().endswith(".gz")
        if found := _format(start):
            return found
        if not packed:
            return None
        return f"a file that is not gzip; {'name it .nii' if _nifti(start) else 'copy or export the image again'}"
    inside = _unpacked(path)
    if inside == b"":
        return "a gzip file without content; copy or export the image again"
    if inside is None:
        return None if path.name.lower().endswith(".gz") else "a gzip file; name it .nii.gz"
    if inside.startswith(_GZIP):
        return "an image that was compressed twice; unpack it once (gunzip)"
    if not path.name.lower().endswith(".gz"):
        return _format(inside) or "a gzip file; name it .nii.gz"
    return _format(inside)


def _unpacked(path: Path) -> bytes | None:
    """The first bytes inside a gzip file; None if it is damaged."""
    try:
        with gzip.open(path) as stream:
            return stream.read(START_BYTES)
    except (OSError, EOFError, zlib.error):
        return None


def _format(start: bytes) -> str | None:
    if start[_DICOM_PREAMBLE_BYTES : _DICOM_PREAMBLE_BYTES + 4] == b"DICM":
        return _DICOM
    if _DATA_SET.match(start):
        return _DICOM
    if start[_TAR_MAGIC_AT : _TAR_MAGIC_AT + 5] == b"ustar":
        return "a tar archive; unpack it"
    if start.lstrip(_BLANKS).startswith(b"<") and b"<html" in start.lower():
        return _PAGE
    known = next((kind for sign, kind in _STARTS.items() if start.startswith(sign)), None)
    return known or (_TEXT if _is_text(start) else _other_header(start))


def _is_text(start: bytes) -> bool:
    """Whether every byte is a printable character or a blank."""
    return bool(start) and not start.translate(None, _PRINTABLE)


def _other_header(start: bytes) -> str | None:
    """A header as of NIfTI that is not that of a single file."""
    magic = _magic(start)
    if magic is None or _nifti(start):
        return None
    if magic[0] in [pair for _, _, pair in _HEADER_BYTES.values()]:
        return _PAIR
    if magic[1] == 348 and not magic[0].strip(b"\0"):
        return "Analyze 7.5, which does not say where left and right are; export the image as NIfTI from its source"
    return None


def _nifti(start: bytes) -> bool:
    magic = _magic(start)
    return magic is not None and magic[0] == _HEADER_BYTES[magic[1]][1]


def _magic(start: bytes) -> tuple[bytes, int] | None:
    """Magic and header length; None if the first bytes do not state a length, in either byte order."""
    sizes = (int.from_bytes(start[:4], "little"), int.from_bytes(start[:4], "big"))
    length = next((size for size in sizes if size in _HEADER_BYTES and len(start) >= size), None)
    if length is None:
        return None
    at = _HEADER_BYTES[length][0]
    return start[at : at + 4], length
