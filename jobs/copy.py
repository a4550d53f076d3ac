"""Copy an experiment or a cohort from one store to another."""

from __future__ import annotations

from typing import Annotated

import typer

from jobs.shared.audited import TRAINING, audited
from jobs.shared.console import console, notes
from jobs.shared.entry_points import run_as_module
from jobs.shared.options import connect, connect_to_read, plain_name, store_uri
from jobs.shared.progress import steps
from lesionlab.errors import InputError
from lesionlab.experiments.upkeep.copying import compare, copy_objects, verify
from lesionlab.experiments.upkeep.reach import reach
from lesionlab.training.checkpoint import is_whole


def copy(
    name: Annotated[
        str,
        typer.Argument(metavar="EXPERIMENT|COHORT", callback=plain_name, help="Name of an experiment or a cohort."),
    ],
    source: Annotated[str, typer.Argument(metavar="FROM", callback=store_uri, help="Store that has it.")],
    target: Annotated[str, typer.Argument(metavar="TO", callback=store_uri, help="Store that it is copied to.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be copied; write nothing.")] = False,
) -> None:
    """Copy an experiment or a cohort with everything that it refers to: laptop to bucket, bucket to backup and back.

    Of an experiment: plans, cohorts with their studies' volumes, runs that are
    complete, models, rows and reports. Nothing different is overwritten: if an object
    is there with other content, nothing is copied and it is named. Every copy is
    compared with its checksum. Safe to re-run: it goes on where it was stopped.

    Example: lesionlab copy demo ./.lesionlab/store s3://bucket/backup --dry-run
    """
    if source == target:
        raise InputError(f"FROM and TO: wanted two stores, found {source} twice")
    place = connect_to_read(source)
    whole = reach(place, name)
    other = connect_to_read(target) if dry_run else connect(target)
    keys = [key for stage in whole.stages for key in stage]
    found = compare(place, other, keys)
    told = f"{name}: {len(keys)} objects, {len(found.there)} there already"
    if whole.unfinished:
        notes.print(f"{whole.unfinished} runs are not complete; they are executed again there", style="yellow")
    if dry_run:
        console.print(f"{told}; {len(found.missing)} of {found.size / 1e6:.1f} MB would be copied; nothing was written")
        return
    stages = [[key for key in stage if key in found.missing] for stage in whole.stages]
    with audited(place, TRAINING, name, whole.studies), audited(other, TRAINING, name, whole.studies):
        with steps(f"copying {name}") as step:
            copy_objects(place, other, stages, lambda done, total: step(done, total, ""))
        checked = verify(other, keys, is_whole)
    console.print(
        f"{told}; {len(found.missing)} of {found.size / 1e6:.1f} MB copied; {checked} compared with their checksums"
    )


if __name__ == "__main__":
    run_as_module(copy)
