"""Show the results of one model, study by study, and whether it was trained on the study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from jobs.shared.console import show_table
from jobs.shared.seen_studies import UNSEEN
from storage_schemas.base import StudyId, as_columns
from storage_schemas.results import StudyRow

SEEN = "seen_in_training"
COLUMNS = [*StudyRow.model_fields, SEEN]
"""Of CSV and JSON."""
_SHOWN = (
    *("study", "site", "lesions", "true positives", "predicted", "false positives"),
    *("sensitivity", "PPV", "Dice"),
)


def marked(rows: Sequence[StudyRow], seen: Mapping[StudyId, str]) -> list[dict[str, Any]]:
    """Each row with all columns, the last of which says whether the model was trained on the study."""
    return [as_columns(row) | {SEEN: seen[row.study]} for row in rows]


def show_rows(rows: Sequence[StudyRow], seen: Mapping[StudyId, str], title: str) -> None:
    """Print one line per study; a dash means undefined. Says of every study if it was seen, unless none was."""
    tell = any(seen[row.study] != UNSEEN for row in rows)
    table = Table(title=title, title_justify="left")
    for column in _SHOWN:
        table.add_column(column, justify="left" if column in {"study", "site"} else "right")
    if tell:
        table.add_column("seen in training")
    for row in rows:
        counts = (row.reference_lesions, row.true_positives, row.predicted_lesions, row.false_positives)
        ratios = (row.sensitivity, row.ppv, row.dice)
        numbers = (*map(str, counts), *("–" if x is None else f"{x:.2f}" for x in ratios))
        table.add_row(row.study, row.site, *numbers, *([seen[row.study]] if tell else []))
    show_table(table)
