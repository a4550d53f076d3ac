"""What every run of an experiment did, what it cost, and what made it: the ledger, for people and programs."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from jobs.shared.command_line import StoreOption, connect, console, plain_name, run_alone
from jobs.shared.output_file import csv_text, save_output
from jobs.shared.progress import minutes
from lesionlab.experiments.cells import run_title
from lesionlab.experiments.ledger import ledger_entries
from lesionlab.experiments.stored_plans import current_plan
from lesionlab.store.objects import Store
from storage_schemas.experiments import Plan

COLUMNS = (
    *("run_id", "cell", "state", "tested", "epochs", "steps", "final_loss", "workers", "device", "training_s"),
    *("evaluation_s", "attempts", "executed_for", "lesionlab", "code", "libraries"),
)


def run_lines(store: Store, plan: Plan) -> list[dict[str, Any]]:
    """One line a run of the plan, in its order; what only the ledger knows is None where a run is not finished."""
    entries = ledger_entries(store, (run.run_id for run in plan.runs))
    lines = []
    for run in plan.runs:
        entry = entries.get(run.run_id)
        known = entry.model_dump(mode="json") if entry else {}
        known["executed_for"] = known.pop("experiment", None)
        line = {"run_id": run.run_id, "cell": run_title(run), "state": "done" if entry else "to do"} | known
        lines.append({column: line.get(column) for column in COLUMNS})
    return lines


def differences(lines: list[dict[str, Any]]) -> list[str]:
    """Where the finished runs of one experiment were made by different code, libraries or devices."""
    done = [line for line in lines if line["state"] == "done"]
    made_by = {
        "code": Counter(f"{line['lesionlab']} ({line['code']})" for line in done),
        "device": Counter(line["device"] for line in done),
        **{
            library: Counter((line["libraries"] or {}).get(library, "not installed") for line in done)
            for library in sorted({name for line in done for name in line["libraries"] or {}})
        },
    }
    return [
        f"made by different {what}: " + ", ".join(f"{value} in {count} runs" for value, count in found.most_common())
        for what, found in made_by.items()
        if len(found) > 1
    ]


def show(lines: list[dict[str, Any]]) -> None:
    """Print the table, the sum, and what differs."""
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
    console.print(table)
    done = [line for line in lines if line["state"] == "done"]
    seconds = sum(line["training_s"] + line["evaluation_s"] for line in done)
    console.print(f"{len(done)} of {len(lines)} runs done, {minutes(seconds)} spent in them")
    for difference in differences(lines):
        console.print(difference)


def runs(
    experiment: Annotated[
        str,
        typer.Argument(
            metavar="EXPERIMENT", callback=plain_name, help="Name of an experiment that was swept, such as demo."
        ),
    ],
    store: StoreOption,
    csv_file: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE", help="Write the lines as CSV, with every column.")
    ] = None,
    for_programs: Annotated[bool, typer.Option("--json", help="Print the lines as JSON, with every column.")] = False,
) -> None:
    """Show what each run of an experiment did, what it cost, and which code, libraries and device made it.

    Says where the runs of one experiment were made by different code. Default models are runs of their own.

    Example: lesionlab runs demo
    """
    place = connect(store)
    lines = run_lines(place, current_plan(place, experiment))
    if csv_file:
        flat = [line | {"libraries": json.dumps(line["libraries"], sort_keys=True)} for line in lines]
        save_output("--csv", csv_file, csv_text(COLUMNS, flat).encode())
    if for_programs:
        console.print(json.dumps(lines, indent=2))
    else:
        show(lines)


if __name__ == "__main__":
    run_alone(runs)
