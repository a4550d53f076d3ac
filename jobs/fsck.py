"""Check every object of a store against its checksum."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

from jobs.shared.console import console
from jobs.shared.entry_points import answer_no, run_as_module
from jobs.shared.options import JsonOption, StoreOption, connect, connect_to_read
from jobs.shared.progress import steps
from lesionlab.experiments.upkeep.fsck import check_store
from lesionlab.training.checkpoint import is_whole


def fsck(
    store: StoreOption,
    repair: Annotated[
        bool, typer.Option("--repair", help="Restore what has a second copy; prepare the rest to be made again.")
    ] = False,
    for_programs: JsonOption = False,
) -> None:
    """Check every object of a store against its checksum, and name what is damaged or missing.

    Says for each damaged object which command makes it again. With --repair,
    what has a second copy is restored from it; a run whose own output is lost
    counts as not complete, and the next sweep executes it again. Reads the whole
    store. Exit code 3 if something is damaged and not restored.

    Example: lesionlab fsck --repair
    """
    place = connect(store) if repair else connect_to_read(store)
    with steps("checking") as step:
        found = check_store(place, is_whole, repair=repair, progress=lambda done, total: step(done, total, ""))
    if for_programs:
        console.print(json.dumps([asdict(damage) for damage in found.damage], indent=2))
    else:
        for damage in found.damage:
            console.print(f"{damage.key}: {damage.what}; {damage.remedy}")
        repaired = len(found.damage) - found.left
        console.print(f"{found.places} checked, {len(found.damage)} damaged or missing, {repaired} restored")
    if found.left:
        answer_no(f"{found.left} damaged or missing and not restored")


if __name__ == "__main__":
    run_as_module(fsck)
