"""Show the run ledger of an experiment."""

from __future__ import annotations

import json

from jobs.shared.console import console
from jobs.shared.entry_points import run_as_module
from jobs.shared.options import CsvOption, ExperimentNameArgument, JsonOption, StoreOption, connect_to_read
from jobs.shared.output_file import save_csv
from jobs.shared.runs_output import show_runs
from lesionlab.experiments.run_table import COLUMNS, csv_lines, run_lines
from lesionlab.experiments.stored_plans import current_plan


def runs(
    experiment: ExperimentNameArgument,
    store: StoreOption,
    csv_file: CsvOption = None,
    for_programs: JsonOption = False,
) -> None:
    """Show what each run of an experiment did, what it cost, and which code, libraries and device made it.

    Reports if runs of the experiment were made by different code, libraries or devices.

    Example: lesionlab runs demo
    """
    place = connect_to_read(store)
    lines = run_lines(place, current_plan(place, experiment))
    if csv_file:
        save_csv(csv_file, COLUMNS, csv_lines(lines))
    if for_programs:
        console.print(json.dumps(lines, indent=2))
    else:
        show_runs(lines)


if __name__ == "__main__":
    run_as_module(runs)
