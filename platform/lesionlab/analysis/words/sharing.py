"""Wording of reports that leave the hospitals."""

from __future__ import annotations

import re

from lesionlab.analysis.statistics.sharing import Level, Narrowed, Share
from lesionlab.analysis.words.models import model_title
from lesionlab.analysis.words.numbers import listed

_COUNTED = re.compile(
    r"\b[nF] = |degrees? of freedom|\bdf\b"
    r"|\d+ (?:of \d+ )?(?:\w+ ){0,2}(?:stud(?:y|ies)|patients?|lesions?|positions?)\b"
)
"""A number of patients, studies or lesions, or one from which it follows."""

WITHHELD = "×"
OTHER_VALUES = "all others"
COHORT, ALL, PATIENTS = "Tested patients", "all", "Patients"
COHORT_COLUMNS = ("Characteristic", "Value")
SCANNER = "Scanner"
AUDIENCE: dict[Level, str] = {
    "site": "the hospitals whose patients these are",
    "consortium": "the members of the consortium",
    "public": "everybody",
}


def at_least(number: int, smallest: int) -> str:
    """`≥ 30`: rounded down to a multiple of the smallest count, so that no difference of counts tells of a few."""
    return f"≥ {number // smallest * smallest}"


def about(share: Share) -> str:
    """Below the title."""
    return f"For {AUDIENCE[share.level]} · no number describes fewer than {share.smallest} patients"


def age_band(years: float) -> str:
    """`40–49`; the ends are open."""
    tens = int(years // 10)
    return "under 20" if tens < 2 else "80 and older" if tens >= 8 else f"{tens}0–{tens}9"


def cohort_note(share: Share) -> str:
    """How to read the table of patients."""
    return (
        f"{WITHHELD}: withheld, since it describes, or gives away with other cells, {_few(share)}. "
        f"{OTHER_VALUES.capitalize()}: values of {_few(share)} each. Patients with a number in "
        "this report; a patient with several studies counts once."
    )


def left_out(found: Narrowed, share: Share) -> tuple[str, ...]:
    """What a reader must know who compares the report with that of a hospital."""
    hidden = len(found.site_names) - len(found.sites)
    sites = "The site is" if hidden == 1 else "Sites are"
    lines = [
        "Nothing of single patients, studies, lesions or images. Lesions by volume, volumes, false positives, "
        "agreement with Grader 2, operating points and losses are in the report of the hospitals.",
        "The models of a table are compared on the patients that have a value under all of them, so means may differ "
        "slightly from those of a report in which each model has patients of its own.",
        f"n is rounded down to a multiple of {share.smallest}. Numbers have no more digits than are shown; degrees of "
        "freedom and test statistics, from which n follows, are left out.",
        f"{sites} not shown by themselves where that would describe, or give away, {_few(share)}." if hidden else "",
        "Sites have letters." if share.level == "public" else "",
        f"Too few patients: {listed(dict.fromkeys(map(model_title, found.left_out)))}." if found.left_out else "",
    ]
    return tuple(filter(None, lines))


def tells_patients(text: str, share: Share) -> bool:
    """Whether a sentence tells a number of patients, or one from which it follows."""
    return bool(_COUNTED.search(text.replace(_few(share), "")))


def _few(share: Share) -> str:
    return f"fewer than {share.smallest} patients"


def nothing_left(patients: int, share: Share) -> str:
    """Why there is no report."""
    return (
        f"--share {share.level}: wanted a model with values of at least {share.smallest} patients, found "
        f"{patients or 'none'} at most; nothing can be shared: add studies, or keep the report at the site "
        "(--share site)"
    )
