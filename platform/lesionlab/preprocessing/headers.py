"""Find text in a NIfTI header that could identify the patient.

Only the first part of the file is read, so no claim of the header can exhaust the memory.
"""

from __future__ import annotations

import gzip
import io
import re
import xml.etree.ElementTree as ET
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib

from lesionlab.imaging.header import MOST_HEADER_BYTES
from lesionlab.preprocessing.identifiers import sign_in

HEAD_BYTES = 2**20
"""Maximum size of header and extensions; a larger header is refused unread."""

_TEXT_FIELDS = ("data_type", "db_name", "descrip", "aux_file", "intent_name", "unused_str")
"""Text fields of NIfTI-1 and NIfTI-2, by their names in nibabel."""

# Parts of texts written by programs that would look like identifiers: dcm2niix' time of day (not a date: see
# identifiers), FSL's version with its commit, the build date of FreeSurfer, the commit in `git describe` (MRtrix), the
# version of dcm2niix, which is a date.
_STAMPS = re.compile(
    r"\bTime=\d{1,6}(\.\d+)?|(?<=\d):[0-9a-f]{8}\b|\bFreeSurfer [A-Z][a-z]{2} [ \d]\d \d{4}\b"
    r"|(?<=\w)-\d{1,4}-g[0-9a-f]{7,12}\b|(?<=\bdcm2niix )v\d\.\d\.20\d{6}\b"
)
# A version and the time of its build, as FSL 6.0.7 writes it: 2203.11-dirty 2023-08-23T14:21:21+01:00.
_BUILD = re.compile(
    r"(?<![\w.])v?\d+(?:\.\d+)+(?:-[a-z]+)?[ ,;]+\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:Z|[+-]\d\d:?\d\d)?(?!\d)",
    re.IGNORECASE,
)
_WORD = re.compile(
    "t[eir]|fa|deg|ms|time|phase|mb|sec|fsl|spm|spmd|compatible|normali[sz]ed|realigned|resliced|coregistered|smoothed|segmented|skull"
    "|stripped|bias|corrected|warped|images?|nifti|analyze|dsr|mask|labels?|lesions?|segmentation|brain|head|flair|tw?"
    "|mprage|pd|none|unknown|freesurfer|matrix|size|itk|antsr?|simpleitk|mrtrix|afni|slicer|nibabel|nilearn|python|dcm"
    "|niix|nii|version|mni|icbm|space|mm|u?int|float|vector|scalar|[cdnvx]"
    "|algebra|imcalc|contrast|cat|mricrog?[ln]|mricron|mipav|dicom|convert|itksnap|snap|elastix|plastimatch|niftyreg"
    "|torchio|monai|nnunet|samseg|synthseg|synthstrip|hd|bet|flirt|fnirt|robex|lst|osirix"
    "|brainsuite|brainvoyager|caret|workbench|matlab|toolbox|tool|vtk|minc|mnc|mgh|mgz|nrrd|created|written|converted"
    "|exported|saved|by|with|from|using|the|and|of|to|software|program|build|release|beta|alpha|rc|dev|dirty"
    "|template|atlas|roi|overlay|seg|probability|prob|map|maps|threshold|thresholded|binary|binari[sz]ed|mean|sum"
    "|average|averaged|difference|subtraction|rigid|affine|deform(?:ed|able)?|registered|transformed|cropped|padded"
    "|reoriented|flipped|rotated|resampled|interpolated|scaled|filtered|denoised|unbiased|smooth"
    "|csf|gm|wm|volume|volumes|series|ras|las|lps|lpi|rpi"
)
_MOST_DIGITS = 4
"""Maximum digits of a number in a header text: versions and sizes have no more, record numbers do."""

_DICOM, _AFNI, _COMMENT = 2, 4, 6
# b value, direction, tensor component, degree of a harmonic, frame timing: numbers only.
_NUMBERS = (20, 22, 24, 26, 34)
_AFNI_OWN = frozenset({"TYPESTRING", "BYTEORDER_STRING", "TEMPLATE_SPACE", "IDCODE_STRING", "IDCODE_DATE"})
_AFNI_DEFAULTS = frozenset({"zyxt", "untitled", "undefined", ""})
_FREESURFER = 14
# FreeSurfer's own stamps in its history: TimeStamp: 2024/03/01-12:00:00-GMT, BuildTime: Mar  1 2024 12:00:00.
_FREESURFER_STAMP = re.compile(
    r"\d{4}/\d\d/\d\d-\d\d:\d\d:\d\d(?:-[A-Z]+)?|[A-Z][a-z]{2} [ \d]?\d \d{4} \d\d:\d\d:\d\d"
    r"|[\w-]*-\d+\.\d+\.\d+-\d{8}-[0-9a-f]+"
)
_HISTORY = "commands, with paths, users and times"
_AFNI_STAMP = re.compile(r"\[[\w.-]+@[\w.-]+: [A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \d{4}\]")


@dataclass(frozen=True)
class HeaderSign:
    """One place in a header and a description of what it contains."""

    place: str
    what: str
    harmless: bool = False
    """A processing history (who computed what and when); it is never stored and need not exclude the study."""


def header_signs(path: Path) -> list[HeaderSign]:
    """Find possible identifiers in the header of this file; empty if it is not a readable NIfTI file."""
    try:
        with path.open("rb") as file:
            start = file.read(HEAD_BYTES)
            head = start
            if start[:2] == b"\x1f\x8b":
                file.seek(0)
                head = gzip.GzipFile(fileobj=file).read(HEAD_BYTES)
    except (OSError, EOFError, zlib.error):
        return []  # reported when the voxels are read
    kind: Any = next((kind for kind in (nib.Nifti1Header, nib.Nifti2Header) if kind.may_contain_header(head)), None)
    if kind is None:
        return []
    fields = kind(head[: kind.template_dtype.itemsize], check=False)
    texts = {f"header field {name}": _text(bytes(fields[name].item())) for name in _TEXT_FIELDS if name in fields}
    field_signs = [sign for place, text in texts.items() for sign in _text_signs(place, text)]
    offset_bytes = float(fields["vox_offset"])
    # Behind what any header may have there are no extensions: reported when the voxels are read.
    signs = _extensions_signs(head, kind, int(offset_bytes)) if 0 <= offset_bytes <= MOST_HEADER_BYTES else []
    return [*_name_signs(start), *field_signs, *signs]


def _name_signs(start: bytes) -> list[HeaderSign]:
    sign = sign_in(_name_in_gzip(start))
    return [HeaderSign("name in the gzip header", sign)] if sign else []


def _extensions_signs(head: bytes, kind: Any, offset_bytes: int) -> list[HeaderSign]:
    """Possible identifiers in all header extensions; `offset_bytes` is where the voxels start."""
    if offset_bytes > HEAD_BYTES:
        return [HeaderSign("header extensions", f"more than {HEAD_BYTES} bytes")]
    try:
        extensions = kind.from_fileobj(io.BytesIO(head), check=False).extensions
    except Exception:  # nibabel lets any exception of its decoders through
        return [HeaderSign("header extensions", "unreadable data")]
    return [sign for extension in extensions for sign in _extension_signs(extension.get_code(), extension._raw)]


def _extension_signs(code: int, content: bytes) -> list[HeaderSign]:
    place, text = f"header extension {code}", _text(content)
    if code in _NUMBERS or not text:
        return []
    if code == _AFNI:
        return _afni_signs(content)
    if code == _COMMENT:
        return _text_signs(place, text)
    if code == _FREESURFER:
        kind = sign_in(_FREESURFER_STAMP.sub("", text))
        place = f"{place} (FreeSurfer) history"
        return [HeaderSign(place, kind)] if kind else [HeaderSign(place, _HISTORY, harmless=True)]
    return [HeaderSign(place, "a DICOM header" if code == _DICOM else "text of an unsupported type")]


def _afni_signs(content: bytes) -> list[HeaderSign]:
    """Check AFNI's attributes: numbers pass, the history is reported as harmless, other text passes if AFNI's own."""
    place = f"header extension {_AFNI} (AFNI)"
    if b"<!" in content:  # never expand XML entities
        return [HeaderSign(place, "XML declarations that AFNI does not write")]
    try:
        attributes = ET.fromstring(content.rstrip(b"\0").decode()).iter("AFNI_atr")
    except (ET.ParseError, UnicodeDecodeError):
        return [HeaderSign(place, "unreadable text")]
    signs = []
    for attribute in attributes:
        name, text = attribute.get("atr_name", ""), (attribute.text or "").strip().strip('"')
        if attribute.get("ni_type") != "String" or name in _AFNI_OWN or text.lower() in _AFNI_DEFAULTS:
            continue
        if not name.startswith("HISTORY_NOTE"):
            signs += _text_signs(place, text)
        elif kind := sign_in(_AFNI_STAMP.sub("", text)):
            signs.append(HeaderSign(f"{place} history", kind))
        else:
            signs.append(HeaderSign(f"{place} history", _HISTORY, harmless=True))
    return signs


def _text_signs(place: str, text: str) -> list[HeaderSign]:
    """What is found in a header text; a program's build date is harmless."""
    rest = _BUILD.sub("", text)
    if kind := _sign_in_text(rest):
        return [HeaderSign(place, kind)]
    return [HeaderSign(place, "the build date of a program", harmless=True)] if rest != text else []


def _sign_in_text(text: str) -> str | None:
    """Kind of identifier in a header text; None if each word is one that programs are known to write there."""
    rest = _STAMPS.sub("", text)
    if kind := sign_in(rest):
        return kind
    words = re.findall(r"[^\W\d_]+", rest.lower())
    numbers = re.findall(r"\d+", rest)
    known = all(map(_WORD.fullmatch, words)) and all(len(number) <= _MOST_DIGITS for number in numbers)
    return None if known else "text not written by a known program"


def _text(content: bytes) -> str:
    """All human-readable text in these bytes, also after the first NUL and in 16-bit characters."""
    return " ".join(content.replace(b"\0", b"").decode("utf-8", errors="replace").split())


def _name_in_gzip(start: bytes) -> str:
    """Original file name stored by gzip (RFC 1952); empty if it was not recorded."""
    if start[:2] != b"\x1f\x8b" or len(start) < 12 or not start[3] & 8:
        return ""
    extra = 2 + int.from_bytes(start[10:12], "little") if start[3] & 4 else 0
    return start[10 + extra :].split(b"\0", 1)[0].decode("latin-1")
