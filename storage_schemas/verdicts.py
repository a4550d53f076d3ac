"""Define the quality-control verdict on a study: pass, repaired or quarantined, with all findings."""

from __future__ import annotations

from typing import Literal, get_args

from storage_schemas.base import Document, Slug

Code = Literal[
    "missing-file",
    "ambiguous-file",
    "bad-name",
    "unreadable",
    "truncated",
    "implausible-size",
    "not-3d",
    "not-grey",
    "not-finite",
    "no-contrast",
    "implausible-values",
    "wrapped-values",
    "padding",
    "bad-scaling",
    "implausible-spacing",
    "bad-affine",
    "sform-qform-conflict",
    "grid-mismatch",
    "mask-not-binary",
    "mask-empty",
    "mask-outside",
    "mask-too-large",
    "other-space",
    "duplicate-image",
    "likely-duplicate",
    "visit-order",
    "identical-visits",
    "registration-failed",
    "registration-doubtful",
    "strip-failed",
    "strip-doubtful",
    "identifier",
    "not-finished",
]
"""Why a study was quarantined or what was repaired; `not-finished`: the platform failed, the study may be valid."""

CODES: tuple[Code, ...] = get_args(Code)

Verdict = Literal["pass", "repaired", "quarantined"]


class Finding(Document):
    """One fault or repair in one study."""

    code: Code
    place: str
    """File of the study by its role: `FLAIR`, `mask`, `initial`, `participants.tsv`; never a path."""
    what: str
    """What was wanted, what was found and what to do; for a repair, what was done."""
    repaired: bool = False
    """The platform repaired the fault and accepts the study; the study's own files are never changed."""

    def text(self) -> str:
        """`mask: wanted …, found …; …`."""
        return f"{self.place}: {self.what}"


class VerdictRow(Document):
    """One row of the verdict table: one row per finding, or one row for a study without findings."""

    study: str
    patient: str
    site: Slug
    verdict: Verdict
    code: Code | None
    place: str | None
    repaired: bool | None
    what: str | None


class StudyVerdict(Document):
    """The verdict on one study, with all findings."""

    study: str
    patient: str
    site: Slug
    findings: tuple[Finding, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """`quarantined` if any finding was not repaired, `repaired` if all were, `pass` if there are none."""
        if any(not finding.repaired for finding in self.findings):
            return "quarantined"
        return "repaired" if self.findings else "pass"

    def rows(self) -> tuple[VerdictRow, ...]:
        """Rows of this study in the verdict table."""
        of_study = {"study": self.study, "patient": self.patient, "site": self.site, "verdict": self.verdict}
        if not self.findings:
            return (VerdictRow(**of_study, code=None, place=None, repaired=None, what=None),)
        return tuple(VerdictRow(**of_study, **finding.model_dump()) for finding in self.findings)
