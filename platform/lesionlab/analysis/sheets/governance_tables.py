"""Lay out the tables of a model's decision page."""

from __future__ import annotations

from lesionlab.analysis.model_evidence import ModelEvidence, RuleEvidence
from lesionlab.analysis.sheets.sheet import Sheet, columns
from lesionlab.analysis.statistics.detection import Detection, SelfGrading
from lesionlab.analysis.words import governance as words
from lesionlab.analysis.words.numbers import NONE
from storage_schemas.decisions import Decision
from storage_schemas.retraining import RetrainDecision
from storage_schemas.rules import GateOutcome


def condition_sheet(decision: Decision, gate: GateOutcome) -> Sheet:
    """What each condition found, for the version that was promoted by it."""
    return Sheet(
        f"Decision {decision.number}: look {gate.ticket}, each test at {gate.level:.2%}",
        columns(*words.CONDITION_COLUMNS),
        tuple(words.outcome_cells(one) for one in gate.conditions),
    )


def history_sheet(evidence: ModelEvidence) -> Sheet:
    """All decisions, newest first."""
    rows = tuple(words.history_cells(one) for one in evidence.decisions)
    return Sheet(f"All decisions about {evidence.name}", columns(*words.HISTORY_COLUMNS), rows)


def looks_sheet(one: RuleEvidence) -> Sheet:
    """All looks by one rule: pass or fail, no score."""
    rows = tuple(
        (
            str(look.ticket.number),
            look.ticket.at[:10],
            look.ticket.by,
            look.ticket.candidate,
            words.look_result(look, one.rule.conditions),
        )
        for look in one.looks or ()
    )
    return Sheet(f"Looks by rule {one.rule.id}", columns(*words.LOOK_COLUMNS), rows)


def shift_sheet(one: RetrainDecision) -> Sheet:
    """How new patients' studies compare with those that were trained on."""
    rows = tuple(
        (
            shift.name,
            str(shift.before),
            str(shift.now),
            _number(shift.median_before),
            _number(shift.median_now),
            _number(shift.p),
            ", ".join(shift.new),
            words.YES if shift.drifted else words.NO,
        )
        for shift in one.shifts
    )
    return Sheet(f"New patients on {one.date}", columns(*words.SHIFT_COLUMNS), rows)


def cell_sheet(one: SelfGrading) -> Sheet:
    """Detection by diameter and contrast."""
    rows = tuple(
        (f"{diameter_mm:g}", f"{contrast:g}", *_detection(found))
        for (diameter_mm, contrast), found in one.cells.items()
    )
    return Sheet(f"{one.model} in {one.cohort}: by size and contrast", columns(*words.CELL_COLUMNS), rows, heads=2)


def part_sheet(one: SelfGrading) -> Sheet:
    """Detection by height and region."""
    rows = tuple((name, *_detection(found)) for own in (one.heights, one.regions) for name, found in own.items())
    return Sheet(f"{one.model} in {one.cohort}: by height and region", columns(*words.PART_COLUMNS), rows)


def _detection(found: Detection | None) -> tuple[str, ...]:
    if found is None:
        return NONE, NONE, NONE, NONE
    low, high = found.interval.low, found.interval.high
    return str(found.lesions), str(found.patients), f"{found.share:.2f}", f"{low:.2f} to {high:.2f}"


def _number(value: float | None) -> str:
    return NONE if value is None else f"{value:.3g}"
