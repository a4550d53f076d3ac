"""Decide whether a model is trained again, and do it."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from typing import Annotated

import typer

from jobs.shared.console import console
from jobs.shared.entry_points import run_as_module
from jobs.shared.execution import execute_with_progress
from jobs.shared.options import (
    CacheOption,
    DeviceOption,
    GpusPerWorkerOption,
    JsonOption,
    PlainOption,
    SlotsOption,
    StoreOption,
    WaitOption,
    connect,
)
from jobs.shared.people import this_person
from jobs.shared.retrain_output import show_decision
from lesionlab.experiments.rules import find_rule
from lesionlab.orchestration.retraining import retrain as retrain_model
from lesionlab.orchestration.room import WAIT_MINUTES, declared_room


def _day(value: str | None) -> str | None:
    try:
        return None if value is None else date.fromisoformat(value).isoformat()
    except ValueError as error:
        raise typer.BadParameter(f"wanted a date such as 2026-11-28; found {value!r}") from error


def retrain(
    rule: Annotated[
        str, typer.Argument(metavar="MODEL", help="Model with a rule that declares retraining; or MODEL@RULE.")
    ],
    store: StoreOption,
    cache: CacheOption,
    accept_drift: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="Train although what came in differs; why, after you have looked at it."),
    ] = None,
    day: Annotated[
        str | None,
        typer.Option(
            "--date", metavar="DATE", callback=_day, help="Decide as of this date.", show_default="today, UTC"
        ),
    ] = None,
    plain: PlainOption = False,
    device: DeviceOption = None,
    slots: SlotsOption = None,
    gpus_per_worker: GpusPerWorkerOption = 1.0,
    wait: WaitOption = WAIT_MINUTES,
    for_programs: JsonOption = False,
) -> None:
    """Decide by a rule whether a model is trained again: train, wait or hold, with every number that decided.

    Meant for a schedule. It trains if there are enough new patients, if the learning
    curve promises more than chance, if the cool-down is over, and if GPU hours and
    looks are left. It holds if what came in differs from what was trained on. A
    training leads to a candidate, a look at the benchmark and, if it passes, a
    promotion. The decision is stored as retrain/MODEL/DATE.json.

    Safe to re-run: a training that was decided and not finished is finished first;
    one process at a time works on a rule.

    Example: lesionlab retrain ms-flair
    """
    place = connect(store)
    room = declared_room(device, gpus_per_worker, slots, wait)
    decision, outcome = retrain_model(
        place,
        find_rule(place, rule),
        date.fromisoformat(day) if day else datetime.now(UTC).date(),
        this_person(),
        cache,
        lambda runs: execute_with_progress(runs, place, cache, plain=plain, what="candidate", room=room),
        (accept_drift or "").strip(),
    )
    if for_programs:
        found = {"decision": decision, "outcome": outcome}
        told = {name: one.model_dump(mode="json") if one else None for name, one in found.items()}
        console.print(json.dumps(told, indent=2))
    else:
        show_decision(decision, outcome)


if __name__ == "__main__":
    run_as_module(retrain)
