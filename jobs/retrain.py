"""Decide whether a model is trained again, and do it."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from typing import Annotated, Literal

import typer

from jobs.shared.audited import TRAINING, audited, studies_of
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
from lesionlab.orchestration.retraining import conclude
from lesionlab.orchestration.retraining import retrain as retrain_model
from lesionlab.orchestration.room import WAIT_MINUTES, declared_room
from storage_schemas.retraining import RetrainDecision, RetrainOutcome


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
    part: Annotated[
        Literal["train", "look"] | None,
        typer.Option(
            help="train: decide, train and register, with a trainer's rights. look: look at the candidate that waits, "
            "and promote it if it passes, with the gate's. Without: both.",
            show_default=False,
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
    one process at a time works on a rule. Where a sealed benchmark is the gate's
    alone, call it twice, with --part train and --part look, by two identities.

    Example: lesionlab retrain ms-flair
    """
    if part == "look" and (day or accept_drift):
        raise typer.BadParameter("--part look decides nothing; give --date and --accept-drift to --part train")
    place = connect(store)
    found_rule, person = find_rule(place, rule), this_person()
    decision: RetrainDecision | None
    outcome: RetrainOutcome | None
    if part == "look":
        decision, outcome = conclude(place, found_rule, person, cache) or (None, None)
    else:
        room = declared_room(device, gpus_per_worker, slots, wait)
        decision, outcome = retrain_model(
            place,
            found_rule,
            date.fromisoformat(day) if day else datetime.now(UTC).date(),
            person,
            cache,
            lambda runs: execute_with_progress(runs, place, cache, plain=plain, what="candidate", room=room),
            (accept_drift or "").strip(),
            to_the_end=part is None,
            reading=lambda run: audited(place, TRAINING, run.experiment, studies_of(place, (run,))),
        )
    if for_programs:
        found = {"decision": decision, "outcome": outcome}
        told = {name: one.model_dump(mode="json") if one else None for name, one in found.items()}
        console.print(json.dumps(told, indent=2))
    elif decision:
        show_decision(decision, outcome)
    else:
        console.print(f"{found_rule.model}: no trained candidate waits for a look")


if __name__ == "__main__":
    run_as_module(retrain)
