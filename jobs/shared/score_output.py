"""Print a score as tables or JSON; save its lesions as CSV."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.table import Table

from jobs.shared.console import console, show_table
from jobs.shared.definitions import described
from jobs.shared.output_file import save_output
from lesionlab.evaluation.isbi import challenge_score, voxelwise_ppv
from lesionlab.evaluation.lesionwise import Score, ScoredLesion
from lesionlab.evaluation.operating import OperatingPoint
from storage_schemas.definitions import DEFINITIONS, MetricDefinition, OneToOne
from storage_schemas.lesion_sizes import SizeClass, detection_by_size

LESION_COLUMNS = ("side", "lesion", "outcome", "volume_mm3", "x_mm", "y_mm", "z_mm", "overlap")
"""As in LesionRow; a one-to-one definition adds `matched`, a probability map `peak`."""

VALUES = {
    "reference_lesions": "reference lesions",
    "true_positives": "  true positives",
    "missed": "  missed",
    "predicted_lesions": "predicted lesions",
    "false_positives": "  false positives",
    "sensitivity": "sensitivity, lesionwise",
    "ppv": "PPV, lesionwise",
    "f1": "F1, lesionwise",
    "dice": "Dice, voxelwise",
    "voxelwise_ppv": "PPV, voxelwise",
    "assd_mm": "average surface distance, mm",
    "hd95_mm": "95 % Hausdorff distance, mm",
    "reference_ml": "reference volume, ml",
    "predicted_ml": "predicted volume, ml",
    "isbi_score_without_corr": "ISBI 2015 score without Corr",
}
"""The printed values, in this order, with their titles."""


def summary(result: Score, definition: MetricDefinition) -> dict[str, float | None]:
    """Counts and ratios by name; None if undefined. The ISBI score is included for the ISBI definition only."""
    lesions = len(result.reference), len(result.prediction)
    values = {
        "reference_lesions": lesions[0],
        "true_positives": result.true_positives,
        "missed": lesions[0] - result.true_positives,
        "predicted_lesions": lesions[1],
        "false_positives": result.false_positives,
        "sensitivity": result.sensitivity,
        "ppv": result.ppv,
        "f1": result.f1,
        "dice": result.dice,
        "voxelwise_ppv": voxelwise_ppv(result),
        "assd_mm": None if result.surface is None else result.surface.average_mm,
        "hd95_mm": None if result.surface is None else result.surface.hausdorff95_mm,
        "reference_ml": result.reference_ml,
        "predicted_ml": result.predicted_ml,
    }
    if definition == DEFINITIONS["isbi-2015"]:
        values["isbi_score_without_corr"] = challenge_score([result]).without_corr
    return values


def as_json(result: Score, definition: MetricDefinition, points: Sequence[OperatingPoint] = ()) -> str:
    """Counts, ratios, detection by size and the full definition; without the single lesions.

    A probability map also has the counts at every threshold of the fixed list.
    """
    sides = {"reference": result.reference, "prediction": result.prediction}
    document: dict[str, Any] = {
        "definition": {"label": definition.label(), **definition.model_dump(mode="json")},
        **summary(result, definition),
        "by_size": {
            side: [asdict(size) | {"share": size.share} for size in detection_by_size(lesions)]
            for side, lesions in sides.items()
        },
    }
    if points:
        document["thresholds"] = [asdict(point) for point in points]
    return json.dumps(document, indent=2)


def show(result: Score, definition: MetricDefinition) -> None:
    """Print counts and ratios, then detection by size; a dash means undefined."""
    console.print(described(definition))
    table = Table(show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for name, value in summary(result, definition).items():
        table.add_row(VALUES[name], str(value) if isinstance(value, int) else _number(value))
    show_table(table)
    sizes = Table(title="by lesion volume", title_justify="left")
    for column in ("mm³", "lesions", "detected", "sensitivity", "predicted", "true", "PPV"):
        sizes.add_column(column, justify="right")
    rows = zip(detection_by_size(result.reference), detection_by_size(result.prediction), strict=True)
    for reference, predicted in rows:
        sizes.add_row(
            reference.title(), *_cells(reference), *_cells(predicted), end_section=reference.up_to_mm3 is None
        )
    show_table(sizes)
    console.print("–: undefined (the denominator is 0, or a mask is empty)")


def write_lesions(path: Path, result: Score, definition: MetricDefinition) -> None:
    """Save one line per lesion of either mask. Raises InputError if the file cannot be written."""
    matched = ("matched",) if isinstance(definition.matching, OneToOne) else ()
    with_peak = any(lesion.peak is not None for lesion in (*result.reference, *result.prediction))
    columns = (*LESION_COLUMNS, *matched, *(("peak",) if with_peak else ()))
    sheet = io.StringIO()
    lines = csv.writer(sheet, lineterminator="\n")
    lines.writerow(columns)
    for side, lesions in (("reference", result.reference), ("prediction", result.prediction)):
        lines.writerows([_cells_of(side, lesion)[column] for column in columns] for lesion in lesions)
    save_output("--lesions", path, sheet.getvalue().encode())


def _cells_of(side: str, lesion: ScoredLesion) -> dict[str, object]:
    # Affines are stored as float32, so further digits are noise. Adding 0 turns -0.0 into 0.0.
    numbers = (round(value, 6) + 0 for value in (lesion.volume_mm3, *lesion.centroid_mm, lesion.overlap))
    named = dict(zip(LESION_COLUMNS, (side, lesion.lesion, lesion.outcome, *numbers), strict=True))
    return named | {"matched": lesion.matched, "peak": lesion.peak}


def _cells(size: SizeClass) -> tuple[str, str, str]:
    return str(size.lesions), str(size.hits), _number(size.share)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
