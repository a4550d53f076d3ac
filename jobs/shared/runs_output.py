"""Print the run ledger of an experiment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from jobs.shared.console import console, show_table
from jobs.shared.progress import minutes
from lesionlab.experiments.run_table import differences


def show_runs(lines: Sequence[dict[str, Any]]) -> None:
    """Print one line per run, the total time, and differences in code, libraries and devices."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in ("cell", "state", "device"):
        table.add_column(column)
    for column in ("workers", "training", "testing", "loss", "attempts"):
        table.add_column(column, justify="right")
    for line in lines:
        spent = [minutes(line[column]) if line[column] is not None else "" for column in ("training_s", "evaluation_s")]
        loss = "" if line["final_loss"] is None else f"{line['final_loss']:.4f}"
        counts = ["" if line[column] is None else str(line[column]) for column in ("workers", "attempts")]
        table.add_row(line["cell"], line["state"], line["device"] or "", counts[0], *spent, loss, counts[1])
    show_table(table)
    done = [line for line in lines if line["state"] == "done"]
    seconds = sum(line["training_s"] + line["evaluation_s"] for line in done)
    console.print(f"{len(done)} of {len(lines)} runs done, {minutes(seconds)} in total")
    for difference in differences(lines):
        console.print(difference)
    if done and not differences(lines):
        made = {"Python": done[0]["libraries"].get("python"), "torch": done[0]["libraries"].get("torch")}
        libraries = ", ".join(f"{name} {found}" for name, found in made.items() if found)
        console.print(
            f"all made by lesionlab {done[0]['lesionlab']} (code {done[0]['code']}), {libraries}; --csv has more"
        )
