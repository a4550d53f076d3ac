"""Tabulate the runs of a plan with their ledger entries, and find differences in what made them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

from lesionlab.experiments.cells import count_of_runs, run_title
from lesionlab.experiments.ledger import ledger_entries
from lesionlab.experiments.publishing import finished
from lesionlab.store.objects import Store
from storage_schemas.experiments import Plan

COLUMNS = (
    *("run_id", "cell", "state", "tested", "epochs", "steps", "final_loss", "workers", "device", "training_s"),
    *(
        "finished_at",
        "evaluation_s",
        "attempts",
        "attempt",
        "executed_for",
        "lesionlab",
        "code",
        "libraries",
        "withdrawn",
    ),
)


def run_lines(store: Store, plan: Plan) -> list[dict[str, Any]]:
    """One line per run in the plan's order, with the keys COLUMNS; ledger values of an unfinished run are None."""
    entries = ledger_entries(store, finished(store, plan.runs))
    lines = []
    for run in plan.runs:
        entry = entries.get(run.run_id)
        known = entry.model_dump(mode="json") if entry else {}
        known["executed_for"] = known.pop("experiment", None)
        line = {"run_id": run.run_id, "cell": run_title(run), "state": "done" if entry else "to do"} | known
        lines.append({column: line.get(column) for column in COLUMNS})
    return lines


def differences(lines: Sequence[dict[str, Any]]) -> list[str]:
    """One sentence for each of code, device and library that differs between the finished runs."""
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
        f"made by different {what}: "
        + ", ".join(f"{value} in {count_of_runs(count)}" for value, count in found.most_common())
        for what, found in made_by.items()
        if len(found) > 1
    ]


def csv_lines(lines: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same lines for a CSV: `libraries` as JSON text, withdrawn studies apart by spaces."""
    return [
        line
        | {
            "libraries": json.dumps(line["libraries"], sort_keys=True) if line["libraries"] else None,
            "withdrawn": " ".join(line["withdrawn"] or ()),
        }
        for line in lines
    ]
