"""Remove what nothing in a store refers to any more."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
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
from storage_schemas.base import Digest
from storage_schemas.runs import RunSpec


def needed_copies(runs: Iterable[RunSpec]) -> set[str]:
    """Names of the cache folders that these runs read."""
    runs = tuple(runs)
    volumes = {entry.volume for run in runs for entry in (*run.train, *run.test)}
    return volumes.union(*(copies_of(run) for run in runs))


def copies(store: Store) -> tuple[set[str], frozenset[str]]:
    """Names of the cache folders that unfinished runs of any plan read, and of those of withdrawn studies."""
    contents = Contents(store, frozenset(store.list("")))
    planned, gone = [run for plan in contents.plans for run in plan.runs], contents.withdrawn
    withdrawn = gone.union(*(copies_of(trained_on(run, gone)) for run in contents.runs.values()))
    done = finished(store, planned)
    left = [run for run in planned if run.run_id not in done and not reads(run, gone)]  # else it is refused
    return needed_copies(left) - withdrawn, withdrawn


def reads(run: RunSpec, volumes: Collection[Digest]) -> bool:
    """Whether a run trains on, or tests, one of these volumes."""
    return any(entry.volume in volumes for entry in (*run.train, *run.test))


def trained_on(run: RunSpec, volumes: Collection[Digest]) -> RunSpec:
    """The run with these of its training studies alone."""
    return run.model_copy(update={"train": tuple(entry for entry in run.train if entry.volume in volumes)})


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
        float, typer.Option(metavar="DAYS", min=0.05, max=36500, help="Keep what was written within so many days.")
    ] = SAFE_AGE.days,
    for_programs: JsonOption = False,
) -> None:
    """List what nothing in a store refers to any more; delete it with --delete.

    Attempts that do not count, checkpoints of complete runs, volumes that no
    manifest, plan or run refers to, leftovers of ended processes, and copies in
    this machine's cache that no unfinished run needs, or of withdrawn studies,
    whatever their age. Never what a ledger entry,
    a champion, a manifest, a plan or a claim refers to. Do not preprocess into
    the store meanwhile.

    Example: lesionlab gc --older-than 30 --delete
    """
    place, age = connect(store) if delete else connect_to_read(store), timedelta(days=older_than)
    garbage = find_garbage(place, age)
    needed, withdrawn = copies(place)
    found = find_unneeded(cache, needed, age, withdrawn)
    if delete:
        garbage = delete_garbage(place, garbage, age)
        delete_unneeded(found)
    if for_programs:
        console.print(json.dumps([asdict(one) for one in (*garbage, *found)], indent=2))
    else:
        show([*garbage, *found], deleted=delete)


if __name__ == "__main__":
    run_as_module(gc)
