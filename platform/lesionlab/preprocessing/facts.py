"""Read demographics and scanner parameters of one study from its files (Wahlig et al. 2023, tables 1 and 2).

Missing and impossible values are None; nothing is guessed from another study or image. Only numbers and words from
closed lists pass, so no free text of a sidecar or a table enters the store.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from lesionlab.delimited import is_missing
from lesionlab.preprocessing.files import StudyFiles
from storage_schemas.facts import StudyFacts
from storage_schemas.tasks import Task, Visit

OTHER = "other"
"""A scanner that is named by words outside the lists here."""

_SEXES: dict[str, Literal["F", "M", "O"]] = {
    **dict.fromkeys(("f", "female", "woman"), "F"),
    **dict.fromkeys(("m", "male", "man"), "M"),
    **dict.fromkeys(("o", "other", "x", "diverse", "non-binary", "nonbinary", "intersex"), "O"),
}
_SEX_COLUMNS = ("sex", "gender")
_AGE_COLUMNS = ("age", "age_years", "age_at_scan")
_HIGHEST_AGE = 90.0
"""Replaces all higher ages (45 CFR 164.514(b)(2)(i)(C))."""
_MOST_YEARS = 125

_FIELD_T = (0.01, 25.0)
_ECHO_S = (0.0005, 1.0)
_REPETITION_S = (0.002, 60.0)
"""Plausible ranges for sequences of a head scan; after more than one second an echo has no signal left."""

_VENDORS = {
    "Siemens": r"siemens",
    "GE": r"ge\b|general electric",
    "Philips": r"philips",
    "Canon": r"canon|toshiba",
    "United Imaging": r"uih|united imaging",
    "Fujifilm": r"hitachi|fuji",
    "Hyperfine": r"hyperfine",
    "Bruker": r"bruker",
    "Neusoft": r"neusoft",
    "Esaote": r"esaote",
}
_MAKERS_OWN = re.compile(r"magnetom|siemens|healthineers|ge|philips|healthcare|medical|systems", re.IGNORECASE)
# Names of clinical scanners as they appear in ManufacturersModelName.
_MODEL_WORD = re.compile(
    # Siemens
    r"skyra|verio|prisma|trio|triotim|trio-tim|avanto|aera|vida|lumina|sola|altea|amira|espree|essenza|symphony"
    r"|symphonytim|sonata|allegra|harmony|concerto|spectra|terra|sempra|viato|flow|cima|free|max|star|biograph|mmr"
    r"|connectom|fit|tim"
    # GE
    r"|signa|hd[xitert]{0,2}|excite|twinspeed|discovery|optima|brivo|architect|artist|premier|explorer|pioneer|voyager"
    r"|creator|hero|victor|champion|pet/mr|genesis|lx|mr\d{3}w?"
    # Philips
    r"|achieva|ingenia|intera|gyroscan|nt|dstream|elition|ambition|omega|multiva|panorama|prodiva|ingenuity|evolution"
    r"|x|s|tx|xr|cx|hp|mr"
    # Canon, United Imaging, Hitachi, Hyperfine
    r"|vantage|titan|galan|orian|elan|atlas|excelart|fortian|centurian|umr|jupiter|oasis|echelon|oval|airis|aperto"
    r"|trillium|swoop|biospec|\d{1,2}(?:\.\d)?t|\d{2,4}",
    re.IGNORECASE,
)


def read_facts(files: StudyFiles, task: Task) -> tuple[StudyFacts, ...]:
    """Facts of each visit from its sidecar and participant row; if a visit has several images, from the native one."""
    roles: dict[Visit, str] = {}
    for scan in task.inputs:
        if scan.visit not in roles or scan.role == task.native:
            roles[scan.visit] = scan.role
    return tuple(_visit(files, visit, roles[visit]) for visit in ("this", "initial") if visit in roles)


def _visit(files: StudyFiles, visit: Visit, role: str) -> StudyFacts:
    """Facts from this image's sidecar. A dataset gives one age per patient, taken as the age at `this` visit.

    BIDS times are in seconds. If the echo time exceeds one second or the repetition time one minute, both are taken as
    milliseconds, because no head is scanned so slowly.
    """
    sidecar, participant = files.sidecars.get(role, {}), _by_name(files.participant)
    echo, repetition = _number(sidecar.get("EchoTime")), _number(sidecar.get("RepetitionTime"))
    in_ms = (echo or 0) > _ECHO_S[1] or (repetition or 0) > _REPETITION_S[1]
    return StudyFacts(
        study=files.study,
        patient=files.patient,
        site=files.site,
        visit=visit,
        sex=_SEXES.get(_first(participant, *_SEX_COLUMNS).lower()),
        age_years=_age_years(_first(participant, *_AGE_COLUMNS)) if visit == "this" else None,
        field_strength_t=_within(_number(sidecar.get("MagneticFieldStrength")), _FIELD_T),
        echo_time_ms=_milliseconds(echo, _ECHO_S, in_ms),
        repetition_time_ms=_milliseconds(repetition, _REPETITION_S, in_ms),
        acquisition=_acquisition(sidecar.get("MRAcquisitionType")),
        manufacturer=_manufacturer(sidecar.get("Manufacturer")),
        model=_model(sidecar.get("ManufacturersModelName")),
    )


def fact_columns(participant: Mapping[str, str]) -> dict[str, str]:
    """The cells of a participant's row that facts are read from; no other is needed."""
    return {
        name: cell for name, cell in participant.items() if set(_by_name({name: cell})) & {*_SEX_COLUMNS, *_AGE_COLUMNS}
    }


def _by_name(participant: Mapping[str, str]) -> dict[str, str]:
    return {re.sub(r"[^a-z]+", "_", name.lower()).strip("_"): value.strip() for name, value in participant.items()}


def unread_notes(table: str, participants: Sequence[Mapping[str, str]]) -> Iterator[str]:
    """One note for ages, and one for sexes, that are there and cannot be read; never with the cells, which may hold
    anything."""
    ages = [text for row in participants if not is_missing(text := _first(row, *_AGE_COLUMNS))]
    sexes = [text for row in participants if not is_missing(text := _first(row, *_SEX_COLUMNS))]
    for what, unread, wanted in (
        ("age", [text for text in ages if _age_years(text) is None], "years, as 47, 047Y, 018M or 90+"),
        ("sex", [text for text in sexes if text.lower() not in _SEXES], "F, M or O"),
    ):
        if unread:
            yield f"{table}: {len(unread)} of {len(participants)} rows have no readable {what}; wanted {wanted}"


def _first(participant: Mapping[str, str], *names: str) -> str:
    own = {column.lower(): cell for column, cell in participant.items()}
    return next((own[name] for name in names if own.get(name)), "")


def _age_years(text: str) -> float | None:
    """Parse `47`, `47.5`, DICOM's `047Y` and `018M`, `90+` and `>89`; None for any other open range."""
    match = re.fullmatch(r"(>?)\s*(\d{1,3}(?:[.,]\d+)?)\s*(\+|y(?:ears?|rs?)?|m)?", text.lower())
    if match is None:
        return None
    years = float(match[2].replace(",", ".")) / (12 if match[3] == "m" else 1)
    if match[1] or match[3] == "+":
        return _HIGHEST_AGE if years >= _HIGHEST_AGE - 1 else None
    return min(years, _HIGHEST_AGE) if years <= _MOST_YEARS else None


def _number(value: Any) -> float | None:
    """A finite number above zero, also if written as text."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) and number > 0 else None


def _within(number: float | None, bounds: tuple[float, float]) -> float | None:
    return number if number is not None and bounds[0] <= number <= bounds[1] else None


def _milliseconds(number: float | None, bounds_s: tuple[float, float], in_ms: bool) -> float | None:
    seconds = _within(None if number is None else number / 1000 if in_ms else number, bounds_s)
    return None if seconds is None else round(seconds * 1000, 6)


def _acquisition(value: Any) -> Literal["2D", "3D"] | None:
    text = str(value).strip().upper()
    return "2D" if text == "2D" else "3D" if text == "3D" else None


def _manufacturer(value: Any) -> str | None:
    text = _clean_text(value).lower()
    return next((name for name, sign in _VENDORS.items() if re.match(sign, text)), OTHER) if text else None


def _model(value: Any) -> str | None:
    """`MAGNETOM Skyra_fit` becomes `Skyra fit`, `SIGNA Premier` `Signa Premier`: listed words without the vendor's."""
    words = [word for word in _clean_text(value).replace("_", " ").split() if not _MAKERS_OWN.fullmatch(word)]
    if not all(map(_MODEL_WORD.fullmatch, words)):
        return OTHER
    return (
        " ".join(word.capitalize() if word.isupper() and word.isalpha() and word[4:] else word for word in words)
        or None
    )


def _clean_text(value: Any) -> str:
    text = " ".join(value.split()) if isinstance(value, str) else ""
    return "" if text.lower() in ("n/a", "none", "unknown") else text
