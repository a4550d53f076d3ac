"""Judge registrations: by comparison with displaced placements of the same pair, not by a fixed correlation."""

from __future__ import annotations

from collections.abc import Sequence

from lesionlab.imaging.register import WORST_LOSS
from storage_schemas.tasks import Task
from storage_schemas.verdicts import Finding
from storage_schemas.volumes import RegistrationReport

RIGHT_RATIO = 2.5
"""From this ratio of the edge correlation to its mean at six placements 8 mm away, a registration is right.

Measured by the matrix alone, at 2 mm: 2.6 to 9.7 in 14 right real pairs (with correlations of 0.74 to 0.98), from 1.9
in others whose scanner changed; 1.7 to 2.4 for heads of two patients, at most 1.6 at 8 mm from the right place.
"""
FAILED_RATIO = 1.8
"""Below this ratio a registration has failed; between the two limits it is doubtful."""
LEAST_CORRELATION = 0.2
"""Below this correlation a ratio says nothing: at 20 mm from the right place it is at most 0.07."""
SURE_CORRELATION = 0.85
"""From this correlation on the ratio does not count: wrong placements reach 0.71, and on coarse grids or in smooth
images edges part little over 8 mm, and from a mirror image's."""
UNSURE_MIRRORED_RATIO, MIRRORED_RATIO = 0.92, 0.95
"""From these ratios of the mirror image's edge correlation to the image's own it is doubtful that it shows the same
head, and it does not.

A head is no mirror image of itself: 0.66 to 0.89 in 11 right real pairs (two visits, T1 with and without gadolinium,
FLAIR and T1), also if the second image was blurred, shaded and made noisy until the correlation fell to 0.55. Two
patients: 0.96 to 1.08 (6 pairs, each also with one image mirrored)."""
SWAPPED_RATIO = 1.1
"""From this ratio on left and right are swapped in one of the images: 1.14 to 1.55 in the same pairs, one mirrored."""
LEAST_OVERLAP = 0.85
"""Minimum Dice of the two heads: at least 0.92 if correct, at most 0.83 in a local optimum or with half a head."""


def registration_findings(
    reports: Sequence[RegistrationReport], task: Task, *, accepted: bool = False
) -> list[Finding]:
    """Findings for registrations that failed or are doubtful; doubtful ones do not quarantine the study.

    `accepted`: somebody has looked at the pictures, so only a low overlap of the heads is still a failure.
    """
    declared = {move.moving: move.least_correlation for move in task.registrations}
    findings = []
    for report in reports:
        if report.head_overlap < LEAST_OVERLAP:
            what = (
                f"wanted a head overlap with '{report.fixed}' of at least {LEAST_OVERLAP}, found "
                f"{report.head_overlap:.2f} {_numbers(report)}; check that both images show the same complete head"
            )
            findings.append(Finding(code="registration-failed", place=report.moving, what=what))
            continue
        fault = _failure(report, declared.get(report.moving))
        low = (report.displacement_ratio or RIGHT_RATIO) < RIGHT_RATIO
        doubt = (low or _mirror_ratio(report) > UNSURE_MIRRORED_RATIO) and not _sure(report)
        if fault and not accepted:
            remedy = (
                "check that both images show the same head in the correct orientation; if its picture shows that they "
                "agree, accept the study with --accept STUDY"
            )
            what = f"wanted {fault} {_numbers(report)}; {remedy}"
            findings.append(Finding(code="registration-failed", place=report.moving, what=what))
        elif fault or doubt:
            said = "accepted" if accepted else "doubtful; look at its picture"
            what = f"the registration to '{report.fixed}' is {said}: found {_ratio(report)} {_numbers(report)}"
            findings.append(Finding(code="registration-doubtful", place=report.moving, what=what, repaired=True))
    return findings


def _failure(report: RegistrationReport, least: float | None) -> str:
    """What was wanted and found instead; empty if nothing shows that the registration failed."""
    after, before = report.correlation_after, report.correlation_before
    if least is not None and after < least:
        return f"an edge correlation with '{report.fixed}' of at least {least:.2f}, as the task says, found {after:.2f}"
    if after < before - WORST_LOSS:
        return f"a registration that is not worse than none, found {after:.2f}"
    if report.affine_correlation is None or report.displacement_ratio is None or report.nearby_correlation is None:
        return ""  # written before placements were compared
    low = report.affine_correlation < LEAST_CORRELATION or report.displacement_ratio < FAILED_RATIO
    if low and not _sure(report):
        wanted = f"a better agreement with '{report.fixed}' than 8 mm away, by a factor of at least {FAILED_RATIO}"
        return f"{wanted}, found {_ratio(report)}"
    if swapped := _mirrored(report):
        return swapped
    if report.nearby_correlation > report.affine_correlation:
        return f"the best agreement with '{report.fixed}' where the image lies, found a better one 4 mm away"
    return ""


def _mirrored(report: RegistrationReport) -> str:
    """What the mirror image shows, if it agrees as well as the image; else empty."""
    ratio = _mirror_ratio(report)
    if ratio <= MIRRORED_RATIO or (ratio <= SWAPPED_RATIO and _sure(report)):
        return ""
    found = f"{report.mirrored_correlation:.2f} against {report.affine_correlation:.2f}"
    what = "left and right are swapped in one of the two" if ratio > SWAPPED_RATIO else "as of heads of two patients"
    wanted = f"an image that agrees clearly better with '{report.fixed}' than its mirror image"
    return f"{wanted}, found an edge correlation of {found}: {what}"


def _mirror_ratio(report: RegistrationReport) -> float:
    """The mirror image's edge correlation in units of the image's own; 0 if none was registered."""
    if report.mirrored_correlation is None or not report.affine_correlation:
        return 0.0
    return report.mirrored_correlation / report.affine_correlation


def _sure(report: RegistrationReport) -> bool:
    return (report.affine_correlation or 0) >= SURE_CORRELATION


def _ratio(report: RegistrationReport) -> str:
    return "no ratio" if report.displacement_ratio is None else f"a factor of {report.displacement_ratio:.1f}"


def _numbers(report: RegistrationReport) -> str:
    return (
        f"(edge correlation {report.correlation_after:.2f} after registration, {report.correlation_before:.2f} before; "
        f"head overlap {report.head_overlap:.2f})"
    )
