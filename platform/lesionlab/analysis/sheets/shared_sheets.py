"""The door of a shared report: every table that leaves passes `let_out`, and what is not listed here stays.

It takes tables of narrowed rows, none of whose numbers describes fewer patients than the smallest count, and removes
whatever would tell how many patients exactly: counts are rounded down, numbers keep the digits that are shown.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import replace

from lesionlab.analysis.sheets.sheet import Column, Sheet
from lesionlab.analysis.statistics.sharing import Share
from lesionlab.analysis.words import cross_site
from lesionlab.analysis.words import sharing as words

SHEETS = (
    *("table-", "every-comparison", "ours-endpoints", "ours-models-from-elsewhere"),
    *("sites", "ours-sites", "cross-site-"),
    *("ours-learning", "ours-effect-sizes", "ours-mixed-models", "ours-holm", "ours-welch", "ours-null"),
    *("ours-f1", "ours-dice", "ours-false-positives", "ours-assd-mm", "ours-hd95-mm"),
    "patients-by-site",
)
"""How the names of tables that may leave begin."""

COUNTS = ("n", "Patients", "Studies")
"""Columns with a number of patients or studies."""

KEPT = (
    *("Endpoint", "Stratum", "Metric", "Comparison", "N", "Difference", "95 % CI", "The CI covers", "p", "p, Holm"),
    *("Result", "Labelled studies saved"),
    *("Model", "Method", "Target training", "mean ± SE", "Dice score", "Lesionwise sensitivity", "Lesionwise PPV"),
    *("Test", "p × m", "m", "Significant", "Holm-adjusted p (ours)", "Welch's p (ours)"),
    *("Site", "Sensitivity", "PPV", "F1", "Dice", "False positives", "ASSD (mm)", "HD95 (mm)"),
    *("Trained on", "Unseen", "Seen", "Gap"),
    *("Arm", "Target", "Target mean", "Studies needed [95 % CI]", "Term", "Estimate"),
    *("p in the table", "Change", "Rate", "99.9 % CI", "Simulated experiments"),
    *("Depth", "Learning rate", "Budget", "Freezing", "Loss", "Optimizer"),
    *("Characteristic", "Value"),
)
"""Columns that leave as they are, besides those of p values."""

_N = re.compile(r"\s*\([^()]*\bn = [^()]*\)")


def let_out(
    sheets: Mapping[str, Mapping[str, Sheet]], share: Share, sites: Collection[str]
) -> dict[str, dict[str, Sheet]]:
    """Return what may leave of the tables of each section; `sites` may be shown by themselves."""
    return {
        section: {name: let_out_sheet(sheet, share, sites) for name, sheet in own.items() if name.startswith(SHEETS)}
        for section, own in sheets.items()
    }


def let_out_sheet(sheet: Sheet, share: Share, sites: Collection[str]) -> Sheet:
    """Return what may leave of one table."""
    places = [place for place, column in enumerate(sheet.columns) if _may_leave(column, sites)]
    rows = []
    for row in sheet.rows:
        told = {column.title: text for column, text in zip(sheet.columns, row, strict=True)}
        few = any(count < share.smallest for title in COUNTS for count in _numbers(told.get(title, "")))
        known = told.get("Site") in (None, cross_site.EVERYWHERE, *sites)
        if known and not few:
            rows.append(tuple(_text(sheet.columns[place], row[place], share) for place in places))
    return replace(
        sheet,
        columns=tuple(sheet.columns[place] for place in places),
        rows=tuple(rows),
        heads=sum(place < sheet.heads for place in places),
        notes=tuple(note for note in map(without_n, sheet.notes) if not words.tells_patients(note, share)),
        numbers=(),
    )


def without_n(text: str) -> str:
    """Remove `(n = 36)`."""
    return _N.sub("", text)


def _may_leave(column: Column, sites: Collection[str]) -> bool:
    if column.group in (cross_site.TESTED_ON, words.COHORT):
        return column.title in (cross_site.EVERYWHERE, words.ALL, *sites)
    return column.title in KEPT or column.title in COUNTS or column.title.startswith("p ")


def _text(column: Column, text: str, share: Share) -> str:
    if column.title in COUNTS:
        return " / ".join(words.at_least(number, share.smallest) for number in _numbers(text)) or text
    return without_n(text)


def _numbers(text: str) -> list[int]:
    """`36`, `36 / 6`."""
    return [int(number) for number in re.findall(r"\d+", text)]
