"""List the registered models."""

from __future__ import annotations

import json

from jobs.shared.console import console
from jobs.shared.entry_points import run_as_module
from jobs.shared.models_output import COLUMNS, model_lines, show_models
from jobs.shared.options import CsvOption, JsonOption, StoreOption, connect_to_read
from jobs.shared.output_file import save_csv


def models(store: StoreOption, csv_file: CsvOption = None, for_programs: JsonOption = False) -> None:
    """List the registered models: candidates, the champion of each name, and the decision that put it into use.

    Example: lesionlab models
    """
    lines = model_lines(connect_to_read(store))
    if csv_file:
        save_csv(csv_file, COLUMNS, lines)
    if for_programs:
        console.print(json.dumps(lines, indent=2))
    else:
        show_models(lines, store)


if __name__ == "__main__":
    run_as_module(models)
