"""Print verdicts as a table; save them as JSON or CSV."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.table import Table
from rich.text import Text

from jobs.shared.console import console, show_table
from jobs.shared.output_file import save_csv, save_output
from lesionlab.preprocessing.cohort import tally
from storage_schemas.verdicts import Finding, StudyVerdict, VerdictRow

_STYLES = {"pass": "green", "repaired": "yellow", "quarantined": "bold red"}


def show_verdicts(verdicts: Sequence[StudyVerdict]) -> None:
    """Print one line per finding, and how many studies passed."""
    show_table(verdict_table(verdicts))
    console.print(tally(verdicts))


def save_verdict_json(verdicts: Sequence[StudyVerdict], path: Path) -> None:
    """Save the verdicts. Raises InputError if the file cannot be written."""
    documents = [verdict.model_dump() | {"verdict": verdict.verdict} for verdict in verdicts]
    save_output("--json", path, (json.dumps(documents, indent=2) + "\n").encode())


def save_verdict_csv(verdicts: Sequence[StudyVerdict], path: Path) -> None:
    """Save one line per finding. Raises InputError if the file cannot be written."""
    rows = [row.model_dump() for verdict in verdicts for row in verdict.rows()]
    save_csv(path, list(VerdictRow.model_fields), rows)


def verdict_table(verdicts: Sequence[StudyVerdict]) -> Table:
    """One row per finding; fits a terminal of 80 columns."""
    table = Table("study", "verdict", "finding", box=box.SIMPLE_HEAD, pad_edge=False)
    table.columns[0].max_width = 24
    for verdict in verdicts:
        style = _STYLES[verdict.verdict]
        first, *others = [_text(finding, verdict) for finding in verdict.findings] or [""]
        table.add_row(verdict.study, verdict.verdict, Text(first), style=style)
        for text in others:
            table.add_row("", "", Text(text), style=style)
    return table


def _text(finding: Finding, verdict: StudyVerdict) -> str:
    """Code and text; in a quarantined study, repaired findings are marked."""
    mark = " (repaired)" if finding.repaired and verdict.verdict == "quarantined" else ""
    return f"{finding.code}, {finding.text()}{mark}"
