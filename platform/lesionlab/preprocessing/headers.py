"""A NIfTI file in; what its header says beside the voxels that could tell who the patient is, out.

Only the first part of the file is read, so that nothing that it claims takes memory.
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

from lesionlab.preprocessing.identifiers import sign_in

HEAD_BYTES = 2**20
"""Header and extensions of a scan fit into this; more is refused unread."""

_TEXT_FIELDS = ("data_type", "db_name", "descrip", "aux_file", "intent_name", "unused_str")
"""Of NIfTI-1 and NIfTI-2, as nibabel names them."""

# What programs write there, with the parts that would look like something else: dcm2niix' time of day (not a date: see
# identifiers), FSL's version with its commit, the day on which FreeSurfer was built.
_STAMPS = re.compile(r"\bTime=\d{1,6}(\.\d+)?|(?<=\d):[0-9a-f]{8}\b|\bFreeSurfer [A-Z][a-z]{2} [ \d]\d \d{4}\b")
_WORD = re.compile(
    "te|time|phase|mb|sec|fsl|spm|spmd|compatible|normali[sz]ed|realigned|resliced|coregistered|smoothed|segmented|skull"
    "|stripped|bias|corrected|warped|images?|nifti|analyze|dsr|mask|labels?|lesions?|segmentation|brain|head|flair|tw?"
    "|mprage|pd|none|unknown|freesurfer|matrix|size|itk|antsr?|simpleitk|mrtrix|afni|slicer|nibabel|nilearn|python|dcm"
    "|niix|nii|version|mni|icbm|space|mm|u?int|float|vector|scalar|[dnvx]"
)
_MOST_DIGITS = 4
"""Of a number in a header text: versions and sizes have no more, records do."""

_DICOM, _AFNI, _COMMENT = 2, 4, 6
# b value, direction, tensor component, harmonic's degree, frame timing: numbers alone.
_NUMBERS = (20, 22, 24, 26, 34)
_AFNI_OWN = frozenset({"TYPESTRING", "BYTEORDER_STRING", "TEMPLATE_SPACE", "IDCODE_STRING", "IDCODE_DATE"})
_AFNI_DEFAULTS = frozenset({"zyxt", "untitled", "undefined", ""})
_AFNI_STAMP = re.compile(r"\[[\w.-]+@[\w.-]+: [A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \d{4}\]")


@dataclass(frozen=True)
class HeaderSign:
    """One place in a header, and what stands there, in words."""

    place: str
    what: str
    harmless: bool = False
    """A processing history: who computed what and when; it is left behind and need not keep the study out."""


def header_signs(path: Path) -> list[HeaderSign]:
    """What the header of this file says that it should not. A file that is no readable NIfTI file has no header."""
    try:
        with path.open("rb") as file:
            start = file.read(HEAD_BYTES)
            head = start
            if start[:2] == b"\x1f\x8b":
                file.seek(0)
                head = gzip.GzipFile(fileobj=file).read(HEAD_BYTES)
    except (OSError, EOFError, zlib.error):
        return []  # told by those who read the voxels
    kind: Any = next((kind for kind in (nib.Nifti1Header, nib.Nifti2Header) if kind.may_contain_header(head)), None)
    if kind is None:
        return []
    fields = kind(head[: kind.template_dtype.itemsize], check=False)
    texts = {f"header field {name}": _text(bytes(fields[name].item())) for name in _TEXT_FIELDS if name in fields}
    texts_told = [HeaderSign(place, sign) for place, text in texts.items() if (sign := _sign_in_text(text))]
    return [*_name_signs(start), *texts_told, *_extensions_signs(head, kind, int(fields["vox_offset"]))]


def _name_signs(start: bytes) -> list[HeaderSign]:
    sign = sign_in(_name_in_gzip(start))
    return [HeaderSign("name in the gzip header", sign)] if sign else []


def _extensions_signs(head: bytes, kind: Any, offset_bytes: int) -> list[HeaderSign]:
    """Of all header extensions; `offset_bytes` is where the voxels start."""
    if offset_bytes > HEAD_BYTES:
        return [HeaderSign("header extensions", f"more than {HEAD_BYTES} bytes")]
    try:
        extensions = kind.from_fileobj(io.BytesIO(head), check=False).extensions
    except Exception:  # nibabel passes on whatever its decoders stumble over
        return [HeaderSign("header extensions", "what cannot be read")]
    return [sign for extension in extensions for sign in _extension_signs(extension.get_code(), extension._raw)]


def _extension_signs(code: int, content: bytes) -> list[HeaderSign]:
    place, text = f"header extension {code}", _text(content)
    if code in _NUMBERS or not text:
        return []
    if code == _AFNI:
        return _afni_signs(content)
    if code == _COMMENT:
        kind = _sign_in_text(text)
        return [HeaderSign(place, kind)] if kind else []
    return [HeaderSign(place, "a DICOM header" if code == _DICOM else "text that the platform does not read")]


def _afni_signs(content: bytes) -> list[HeaderSign]:
    """AFNI's attributes: numbers pass, its history is left behind, other texts pass where they are AFNI's own words."""
    place = f"header extension {_AFNI} (AFNI)"
    if b"<!" in content:  # no entity is expanded here
        return [HeaderSign(place, "declarations that AFNI does not write")]
    try:
        attributes = ET.fromstring(content.rstrip(b"\0").decode()).iter("AFNI_atr")
    except (ET.ParseError, UnicodeDecodeError):
        return [HeaderSign(place, "text that the platform cannot read")]
    signs = []
    for attribute in attributes:
        name, text = attribute.get("atr_name", ""), (attribute.text or "").strip().strip('"')
        if attribute.get("ni_type") != "String" or name in _AFNI_OWN or text.lower() in _AFNI_DEFAULTS:
            continue
        if not name.startswith("HISTORY_NOTE"):
            kind = _sign_in_text(text)
            signs += [HeaderSign(place, kind)] if kind else []
        elif kind := sign_in(_AFNI_STAMP.sub("", text)):
            signs.append(HeaderSign(f"{place} history", kind))
        else:
            signs.append(HeaderSign(f"{place} history", "commands, with paths, users and times", harmless=True))
    return signs


def _sign_in_text(text: str) -> str | None:
    """A header text passes where each word of it is one that programs write there."""
    rest = _STAMPS.sub("", text)
    if kind := sign_in(rest):
        return kind
    words = re.findall(r"[^\W\d_]+", rest.lower())
    numbers = re.findall(r"\d+", rest)
    known = all(map(_WORD.fullmatch, words)) and all(len(number) <= _MOST_DIGITS for number in numbers)
    return None if known else "text that is no program's own"


def _text(content: bytes) -> str:
    """What a person could read of these bytes, also behind the first NUL, and of 16-bit characters."""
    return " ".join(content.replace(b"\0", b"").decode("utf-8", errors="replace").split())


def _name_in_gzip(start: bytes) -> str:
    """The name that the file had when it was compressed (RFC 1952); empty where it is not recorded."""
    if start[:2] != b"\x1f\x8b" or len(start) < 12 or not start[3] & 8:
        return ""
    extra = 2 + int.from_bytes(start[10:12], "little") if start[3] & 4 else 0
    return start[10 + extra :].split(b"\0", 1)[0].decode("latin-1")
