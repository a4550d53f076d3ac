"""Print the results of one model, study by study."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from jobs.shared.console import show_table
from storage_schemas.results import StudyRow

_COLUMNS = (
    *("study", "site", "lesions", "true positives", "predicted", "false positives"),
    *("sensitivity", "PPV", "Dice"),
)


def show_rows(rows: Sequence[StudyRow], title: str) -> None:
    """Print one line per study; a dash means undefined."""
    table = Table(title=title, title_justify="left")
    for column in _COLUMNS:
        table.add_column(column, justify="left" if column in {"study", "site"} else "right")
    for row in rows:
        counts = (row.reference_lesions, row.true_positives, row.predicted_lesions, row.false_positives)
        ratios = (row.sensitivity, row.ppv, row.dice)
        table.add_row(row.study, row.site, *map(str, counts), *("–" if x is None else f"{x:.2f}" for x in ratios))
    show_table(table)
