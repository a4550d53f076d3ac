"""Lay out operating points, matched findings and calibration; write their numbers in full precision."""

from __future__ import annotations

from collections.abc import Iterable

from lesionlab.analysis.sheets.records import csv_text
from lesionlab.analysis.sheets.sheet import Sheet, columns, compact
from lesionlab.analysis.statistics.conditions import Condition, groups
from lesionlab.analysis.statistics.matched import MatchedFinding
from lesionlab.analysis.statistics.operating import Estimate, Operating
from lesionlab.analysis.statistics.operating_analysis import OperatingAnalysis
from lesionlab.analysis.words import operating as words
from lesionlab.analysis.words.models import effect_name, model_name, model_title, stratum_name
from lesionlab.analysis.words.numbers import NONE, fixed, or_dash, probability, signed
from storage_schemas.axes import told
from storage_schemas.base import as_columns
from storage_schemas.probabilities import THRESHOLDS


def operating_sheets(found: OperatingAnalysis) -> dict[str, Sheet]:
    """Lay them out, by file name."""
    return {
        "ours-operating-points": compact(_operating_sheet(found)),
        **({"ours-matched": compact(_matched_sheet(found))} if found.findings else {}),
    }


def operating_csvs(found: OperatingAnalysis) -> dict[str, str]:
    """FROC curves and calibration by file name, in full precision."""
    axes = told(found.models)
    return {
        "froc.csv": csv_text([row for model, one in found.models.items() for row in _froc(model, one, axes)]),
        "calibration.csv": csv_text(
            [
                _model(model, axes)
                | {"of": of, "from_probability": one.low, "mean_probability": one.mean_probability}
                | {"count": one.count, "true": one.true, "share": one.share}
                for model, own in found.calibration.items()
                for of, bins in (("voxels", own.voxels), ("lesions", own.lesions))
                for one in bins
            ]
        ),
    }


def _operating_sheet(found: OperatingAnalysis) -> Sheet:
    rows, numbers = [], []
    shown = [(group.stratum, model) for group in groups(found.models) for model in group.conditions]
    for stratum, model in shown:
        one, error = found.models[model], found.calibration[model].expected_error
        point = one.at_wanted
        rows.append(
            (
                *(stratum_name(stratum), model_title(model), words.estimate(one.average_precision)),
                *(words.thresholds(point.thresholds), words.estimate(point.sensitivity)),
                *(fixed(point.false_positives.mean, 1) if point.false_positives else NONE, words.estimate(error, 3)),
            )
        )
        numbers.append(
            _numbers("average_precision", one.average_precision)
            | _numbers("sensitivity_at_1_fp", point.sensitivity)
            | _numbers("false_positives_at_1_fp", point.false_positives)
            | _numbers("calibration_error", error)
        )
    return Sheet(
        words.OPERATING,
        (
            *columns(*words.OPERATING_COLUMNS),
            *columns(*words.AT_ONE_COLUMNS, group=words.AT_ONE),
            *columns(words.CALIBRATION_COLUMN),
        ),
        tuple(rows),
        heads=2,
        notes=words.OPERATING_NOTES,
        sortable=True,
        numbers=tuple(numbers),
    )


def _matched_sheet(found: OperatingAnalysis) -> Sheet:
    return Sheet(
        words.MATCHED,
        (
            *columns(*words.MATCHED_COLUMNS),
            *columns(*words.OWN_COLUMNS, group=words.OWN),
            *columns(*words.NEW_COLUMNS, group=words.NEW),
            *columns(words.OUTCOME),
        ),
        tuple(row for one in found.findings for row in _matched_rows(one)),
        heads=3,
        notes=words.MATCHED_NOTES,
        sortable=True,
        numbers=tuple(
            {"own_difference": one.effect.difference, "own_p": one.effect.p}
            | {
                "matched_difference": moved.difference if moved else None,
                "matched_p": moved.p if moved else None,
                "other_metric_difference": moved.other_difference if moved else None,
            }
            for one in found.findings
            for moved in one.moves or (None,)
        ),
    )


def _matched_rows(one: MatchedFinding) -> Iterable[tuple[str, ...]]:
    """One row for each model that was moved; one without numbers if none could be."""
    effect = one.effect
    for moved in one.moves or (None,):
        compared = (stratum_name(effect.stratum), effect.metric, effect_name(effect), or_dash(effect.training_size))
        own = (signed(effect.difference), probability(effect.p))
        if moved is None:
            new = (NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE)
        else:
            new = (
                *(model_name(moved.model), one.matched_on),
                words.thresholds(moved.thresholds) if moved.reached else words.UNREACHED,
                *(str(moved.n) if moved.reached else NONE, signed(moved.difference), probability(moved.p)),
                *(probability(one.p_bonferroni(moved)), signed(moved.other_difference)),
            )
        yield (*compared, *own, *new, words.outcome(one))


def _froc(model: Condition, one: Operating, axes: Iterable[str]) -> Iterable[dict[str, object]]:
    means = {name: one.curve.mean_T(name) for name in ("sensitivity", "ppv", "false_positives")}
    for place, threshold in enumerate(THRESHOLDS):
        values = {
            name: None if mean_T[place] != mean_T[place] else float(mean_T[place]) for name, mean_T in means.items()
        }
        yield _model(model, axes) | {"threshold": threshold, "studies": len(one.curve.studies)} | values


def _model(model: Condition, axes: Iterable[str]) -> dict[str, object]:
    named = as_columns(model)
    return {name: named[name] for name in axes}


def _numbers(name: str, found: Estimate | None) -> dict[str, float | None]:
    return {
        name: found.mean if found else None,
        f"{name}_low": found.low if found else None,
        f"{name}_high": found.high if found else None,
    }
