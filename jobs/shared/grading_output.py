"""Print a self-grading, and as plain values for programs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.table import Table

from jobs.shared.console import console, show_table
from lesionlab.analysis.statistics.detection import Detection, SelfGrading

COLUMNS = ("by", "diameter_mm", "contrast", "value", "lesions", "patients", "detected", "low", "high")
"""Of CSV and JSON; low and high are the 95 % confidence interval over patients."""


def grading_lines(found: SelfGrading) -> list[dict[str, Any]]:
    """One line for each size and contrast, each height and each region."""
    return [dict(zip(COLUMNS, line, strict=True)) for line in _lines(found)]


def _lines(found: SelfGrading) -> Iterator[tuple[Any, ...]]:
    for (diameter_mm, contrast), one in found.cells.items():
        yield "size and contrast", diameter_mm, contrast, None, *_values(one)
    for by, own in (("height", found.heights), ("region", found.regions)):
        for value, one in own.items():
            yield by, None, None, value, *_values(one)


def _values(one: Detection | None) -> tuple[Any, ...]:
    if one is None:
        return None, None, None, None, None
    return one.lesions, one.patients, one.share, one.interval.low, one.interval.high


def show_grading(found: SelfGrading, fewest: int = 1) -> None:
    """Print the fraction detected with its 95 % CI, one row for each line; a dash: fewer than three patients, or than
    the `fewest` of whom it may tell."""
    table = Table(title=f"{found.model} on inserted lesions in {found.cohort}", title_justify="left")
    for column in ("lesions", "inserted", "patients", "detected", "95 % CI"):
        table.add_column(column, justify="left" if column == "lesions" else "right")
    for line in grading_lines(found):
        what = line["value"] or f"{line['diameter_mm']:g} mm, contrast {line['contrast']:g} SD"
        known = line["detected"] is not None
        table.add_row(
            str(what),
            str(line["lesions"]) if known else "–",
            str(line["patients"]) if known else "–",
            f"{line['detected']:.2f}" if known else "–",
            f"{line['low']:.2f} to {line['high']:.2f}" if known else "–",
        )
    show_table(table)
    if found.marked_before:
        count = found.marked_before if fewest == 1 else "some"
        console.print(f"{count} lesions left out: the model marked their places before the insertion too")
    if fewest > 1:
        console.print(f"–: it would tell of fewer than {fewest} patients")
