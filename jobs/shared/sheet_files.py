"""Save tables as CSV, Markdown and HTML."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from jobs.shared.output_file import save_output
from lesionlab.analysis.sheets.sheet import Sheet, files_of


def save_sheets(sheets: Mapping[str, Sheet], folder: Path) -> None:
    """Save each table as .csv, .md and .html. Raises InputError if a file cannot be written."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files_of(sheets).items():
        save_output("--out", folder / name, text.encode())
