"""Everything about operating points in one value: curves, matched findings and calibration of every model."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from lesionlab.analysis.statistics.calibration import Calibration, calibrations
from lesionlab.analysis.statistics.comparisons import Unit
from lesionlab.analysis.statistics.conditions import Condition, conditions, rows_by_condition
from lesionlab.analysis.statistics.effects import Effect
from lesionlab.analysis.statistics.matched import MatchedFinding, matched_findings
from lesionlab.analysis.statistics.operating import Operating, curves, describe, pooled_counts
from lesionlab.analysis.statistics.rows import Row
from storage_schemas.base import Digest
from storage_schemas.experiments import Undefined
from storage_schemas.results import LesionRow, OperatingRow


@dataclass(frozen=True)
class OperatingAnalysis:
    """Every model that has probabilities, in the paper's order, and what becomes of the paper-style findings."""

    models: Mapping[Condition, Operating]
    calibration: Mapping[Condition, Calibration]
    findings: tuple[MatchedFinding, ...]


def operating_analysis(
    points: Sequence[OperatingRow],
    rows: Sequence[Row],
    effects: Sequence[Effect],
    lesions: Mapping[Condition, Sequence[LesionRow]],
    trained_on: Mapping[Digest, Collection[str]],
    unit: Unit,
    undefined: Undefined,
) -> OperatingAnalysis | None:
    """Compute it; None where no prediction has probabilities. `trained_on` has the training studies of every run."""
    if not points:
        return None
    found, pooled = curves(points, trained_on, undefined), pooled_counts(points)
    calibration = calibrations(points, lesions)
    order = conditions(points)
    return OperatingAnalysis(
        models={model: describe(found[model], pooled[model]) for model in order},
        calibration={model: calibration[model] for model in order},
        findings=matched_findings(effects, found, rows_by_condition(rows), unit, undefined),
    )
