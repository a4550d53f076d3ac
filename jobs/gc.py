"""Remove what nothing in a store refers to any more."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import Annotated

import typer

from jobs.shared.console import console
from jobs.shared.entry_points import run_as_module
from jobs.shared.options import CacheOption, JsonOption, StoreOption, connect, connect_to_read
from lesionlab.experiments.publishing import finished
from lesionlab.experiments.upkeep.contents import Contents
from lesionlab.experiments.upkeep.garbage import SAFE_AGE, Garbage, delete_garbage, find_garbage
from lesionlab.experiments.upkeep.node_cache import delete_unneeded, find_unneeded
from lesionlab.store.objects import Store
from lesionlab.training.augmented import copies_of


def needed_copies(store: Store) -> set[str]:
    """Names of the cache folders that unfinished runs of any plan read."""
    runs = [run for plan in Contents(store, frozenset(store.list("plans/"))).plans for run in plan.runs]
    done = finished(store, runs)
    left = [run for run in runs if run.run_id not in done]
    volumes = {entry.volume for run in left for entry in (*run.train, *run.test)}
    return volumes.union(*(copies_of(run) for run in left))


def show(garbage: Sequence[Garbage], *, deleted: bool) -> None:
    """One line for each, and the sum."""
    for found in garbage:
        console.print(f"{found.key}: {found.why} ({found.size / 1e6:.1f} MB)")
    size = sum(found.size for found in garbage) / 1e6
    what = "deleted" if deleted else "unused; to delete it: lesionlab gc --delete"
    console.print(f"{len(garbage)} items of {size:.1f} MB {what}")


def gc(
    store: StoreOption,
    cache: CacheOption,
    delete: Annotated[bool, typer.Option("--delete", help="Delete it. Without, it is only listed.")] = False,
    older_than: Annotated[
        float, typer.Option(metavar="DAYS", min=0.05, help="Keep what was written within so many days.")
    ] = SAFE_AGE.days,
    for_programs: JsonOption = False,
) -> None:
    """List what nothing in a store refers to any more; delete it with --delete.

    Attempts that do not count, checkpoints of complete runs, volumes that no
    manifest, plan or run refers to, leftovers of ended processes, and copies in
    this machine's cache that no unfinished run needs. Never what a ledger entry,
    a champion, a manifest, a plan or a claim refers to. Do not preprocess into
    the store meanwhile.

    Example: lesionlab gc --older-than 30 --delete
    """
    place, age = connect(store) if delete else connect_to_read(store), timedelta(days=older_than)
    garbage = find_garbage(place, age)
    copies = find_unneeded(cache, needed_copies(place), age)
    if delete:
        garbage = delete_garbage(place, garbage, age)
        delete_unneeded(copies)
    if for_programs:
        console.print(json.dumps([asdict(found) for found in (*garbage, *copies)], indent=2))
    else:
        show([*garbage, *copies], deleted=delete)


if __name__ == "__main__":
    run_as_module(gc)
