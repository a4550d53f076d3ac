"""Show what the studies of each site were used for."""

from __future__ import annotations

import json
from dataclasses import asdict, fields

from rich.box import SIMPLE_HEAD
from rich.table import Table

from jobs.shared.console import console, show_table
from jobs.shared.entry_points import run_as_module
from jobs.shared.options import CsvOption, JsonOption, StoreOption, connect_to_read
from jobs.shared.output_file import save_csv
from lesionlab.experiments.usage import Usage
from lesionlab.experiments.usage import usage as usage_of


def usage(store: StoreOption, csv_file: CsvOption = None, for_programs: JsonOption = False) -> None:
    """Show GPU hours and studies by month and site, from the ledger of complete runs.

    The hours of a run are divided among the sites by the number of their studies in
    it. Only the attempt that counts is in the ledger, so what was lost is not
    counted.

    Example: lesionlab usage --store s3://consortium/studies
    """
    found = usage_of(connect_to_read(store))
    lines = [asdict(one) for one in found]
    if csv_file:
        save_csv(csv_file, [field.name for field in fields(Usage)], lines)
    if for_programs:
        console.print(json.dumps(lines, indent=2))
        return
    if not found:
        console.print(f"no complete run in {store}")
        return
    table = Table(box=SIMPLE_HEAD)
    for title in ("month", "site", "runs", "GPU hours", "CPU hours", "trained on", "tested with"):
        table.add_column(title)
    for one in found:
        hours = (f"{one.gpu_hours:.2f}", f"{one.cpu_hours:.2f}")
        table.add_row(one.month, one.site, str(one.runs), *hours, str(one.trained), str(one.tested))
    show_table(table)


if __name__ == "__main__":
    run_as_module(usage)
