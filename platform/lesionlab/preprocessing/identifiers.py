"""Recognise text and field names that could identify a patient; the text itself is never repeated.

Sources: DICOM PS3.15, table E.1-1 (basic application level confidentiality profile); 45 CFR 164.514(b)(2)(i) (safe
harbour: dates finer than a year, but not a time of day alone); dcm2niix, BIDS/README.md (which keys it writes, of which
institution, address, department, station and serial number remain with its own `-ba y`).
No rule can recognise a name in free text under an unsuspicious field. No free text enters the store, see privacy.
"""

from __future__ import annotations

import re
from typing import Any

LONG_NUMBER_DIGITS = 7
"""Minimum length of digits that may be a record number; serial numbers of scanners and most counts are shorter."""
NAME_LETTERS = 4
"""A label of at least this many letters and nothing else looks like a name."""

# In BIDS, dates shifted for privacy are in 1925 or earlier.
_YEAR = r"(?:19(?:2[6-9]|[3-9]\d)|20\d\d)"
_MONTH, _DAY = r"(?:0[1-9]|1[0-2])", r"(?:0[1-9]|[12]\d|3[01])"
_MONTH_NAME = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*"
_CLOCK = r"(?:\d\d:\d\d(?::\d\d)?\s+)?"
_DATE = re.compile(
    rf"(?<!\d){_YEAR}{_MONTH}{_DAY}(?:\d{{4}}|\d{{6}})?(?!\d)"
    rf"|(?<!\d){_YEAR}[-/._ ]{_MONTH}[-/._ ]{_DAY}(?!\d)"
    rf"|(?<!\d)(?:0?[1-9]|[12]\d|3[01])[-/._](?:0?[1-9]|[12]\d|3[01])[-/._]{_YEAR}(?!\d)"
    rf"|(?<!\d)(?:0?[1-9]|[12]\d|3[01])/(?:0?[1-9]|[12]\d|3[01])/\d\d(?!\d)"
    rf"|(?<!\d)\d{{1,2}}(?:st|nd|rd|th)?[-. ]*{_MONTH_NAME}[-., ]*{_YEAR}(?!\d)"
    rf"|(?<![a-z]){_MONTH_NAME}[-. ]*\d{{1,2}}(?:st|nd|rd|th)?,?[-. ]+{_CLOCK}{_YEAR}(?!\d)",
    re.IGNORECASE,
)
_SIGNS = (
    ("an exact date", _DATE),
    ("an e-mail address", re.compile(r"[\w.+-]+@[\w-]+\.[a-z]{2,}", re.IGNORECASE)),
    ("a unique identifier (UID)", re.compile(r"(?<![\d.])[0-2](?:\.\d+){5,}(?![\d.])")),
    ("a person's name", re.compile(r"[^\W\d_]{2,}\^[^\W\d_]")),
    (
        "a telephone number",
        re.compile(
            r"\+\d{1,3}(?:[ ()/-]*\d){7,12}(?!\d)|\(\d{2,5}\) ?\d{3,}[ -]?\d{2,}|(?<!\d)\d{3}[-.]\d{3}[-.]\d{4}(?!\d)"
        ),
    ),
    ("a social security number", re.compile(r"(?<!\d)\d{3}-\d\d-\d{4}(?!\d)")),
    (
        "a long number, as of a record",
        re.compile(rf"(?<!\d)(?<!\d\.)\d{{{LONG_NUMBER_DIGITS},}}(?!\d)(?!\.\d)"),
    ),
)

_ABSENT = re.compile(
    r"(?:n/?a|none|null|nil|unknown|unspecified|anon(?:ymous|ymi[sz]ed)?|removed|redacted|de-?identified|[0x-]*)?",
    re.IGNORECASE,
)
_KEY = re.compile(
    r"^(?:other|additional)?patient(?!s?(?:position|orientation|sex|age|weight|size))"
    r"|birth|address|telephone|(?:^|mobile|home|work)phone|e?mail$|fax|physician|operator|performer|performing"
    r"|accession|serialnumber|stationname|institution|department|insurance|medicalrecord|^mrn|socialsecurity|^ssn"
    r"|uid$|^studyid$|admission|comments?$|additionalhistory|^(?:person|family|given|first|last|sur)name"
)
_COLUMN = re.compile(
    r"^(?:full|first|last|given|family|sur|maiden|middle|patients?|participants?|subjects?)?names?$"
    r"|^initials$|birth|^dob$|^mrn|medicalrecord|^(?:hospital|record|chart|case|insurance|health)(?:id|no|nr|number)$"
    r"|^ssn$|socialsecurity|^nhs|insurance|address|^street|^city$|^town$|^zip|post(?:al)?code|^plz$"
    r"|phone|^fax|e?mail$|accession|physician|^doctor|uid$|serialnumber|^comments?$"
)
_PLAIN_KEY = re.compile(r"[A-Za-z][A-Za-z0-9_. -]{0,48}")
_PSEUDONYM = re.compile(r"[a-f][0-9a-f]{11}")
_LABEL_WORD = re.compile(
    "baseline|followup|initial|screening|visit|month|year|week|post|before|after|scan|rescan|test|retest|control"
    "|patient|subject|case|training|testing|template|phantom|pilot",
    re.IGNORECASE,
)


def sign_in(text: str) -> str | None:
    """Kind of identifier that this text looks like (`an exact date`); None if it looks like none."""
    return next((kind for kind, sign in _SIGNS if sign.search(text)), None)


def sign_in_value(value: Any) -> str | None:
    """As `sign_in`, for a JSON value that is not a container; a number can only be a date."""
    if isinstance(value, str):
        return sign_in(value)
    if isinstance(value, int) and not isinstance(value, bool) and _DATE.fullmatch(str(value)):
        return "an exact date"
    return None


def is_absent(value: Any) -> bool:
    """Whether this value means that there is none: empty, `n/a`, `anonymous`, …"""
    return value is None or bool(_ABSENT.fullmatch(str(value).strip()))


def is_identifying_key(name: str) -> bool:
    """Whether a sidecar key of this name identifies the patient, staff, place or machine."""
    return bool(_KEY.search(_plain(name)))


def is_identifying_column(name: str) -> bool:
    """Whether a table column of this name identifies the patient, staff, place or machine."""
    return bool(_COLUMN.search(_plain(name)))


def sign_in_label(label: str) -> str | None:
    """Kind of identifier that a subject or session label looks like; None for pseudonyms and numbers."""
    if _PSEUDONYM.fullmatch(label):
        return None
    if label.isalpha() and len(label) >= NAME_LETTERS and not _LABEL_WORD.fullmatch(label):
        return "a name"
    return sign_in(label)


def quotable(name: str) -> str:
    """Name of a key or column for a message; a name that could itself identify a patient is not repeated."""
    return name if _PLAIN_KEY.fullmatch(name) and sign_in(name) is None else "(not repeated here)"


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
