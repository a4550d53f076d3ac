"""A dataset of scans in; its studies under names that may be kept, what they are made by, and how they are shared out.

What `preprocess` and `verify` have in common, their options too.
"""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from jobs.shared.command_line import notes, plain_name
from lesionlab.errors import DatasetError
from lesionlab.orchestration.pool import pool_map, worth_a_pool
from lesionlab.preprocessing.cohort import Each
from lesionlab.preprocessing.costs import StudyCost
from lesionlab.preprocessing.files import Dataset
from lesionlab.preprocessing.ingest import Recipe, lost
from lesionlab.preprocessing.layouts.recognise import LAYOUTS, open_dataset
from lesionlab.preprocessing.layouts.tabular import read_table
from lesionlab.preprocessing.privacy import (
    SALT_VARIABLE,
    id_salt,
    pseudonymised,
    refuse_identifying_names,
    screen_dataset,
    scrubbed,
)
from storage_schemas.base import Slug
from storage_schemas.tasks import TASKS, Task

DatasetArgument = Annotated[
    Path, typer.Argument(metavar="DATASET", help=f"A dataset: {', '.join(layout.name for layout in LAYOUTS)}.")
]
TaskOption = Annotated[
    str,
    typer.Option(
        metavar="NAME|FILE",
        help=f"What is read, and what must be found: {', '.join(TASKS)}, or a YAML file with a task of your own.",
    ),
]
SpacingOption = Annotated[float, typer.Option(min=0.5, max=5.0, metavar="MM", help="Isotropic model grid.")]
SiteOption = Annotated[
    str | None,
    typer.Option(metavar="NAME", callback=plain_name, help="Site of all studies whose dataset names none."),
]
ScrubOption = Annotated[
    bool, typer.Option("--scrub", help="Leave identifiers behind and report them; without it they are refused.")
]
HashIdsOption = Annotated[
    bool,
    typer.Option("--hash-ids", help=f"Replace the names of patients and studies by hashes, salted by {SALT_VARIABLE}."),
]
ExcludeFaultyOption = Annotated[
    bool, typer.Option("--exclude-faulty", help="Go on without the studies that have faults, and list them.")
]
WorkersOption = Annotated[
    int | None,
    typer.Option(
        "--workers", min=1, metavar="N", help="At most so many studies at once, not as many as CPUs and memory allow."
    ),
]


def recipe_of(task: Task, spacing_mm: float, *, scrub: bool) -> Recipe:
    """What the code that is installed makes of a study."""
    return Recipe(task, spacing_mm, scrub)


def admit(path: Path, recipe: Recipe, site: Slug | None, *, hash_ids: bool) -> Dataset:
    """The studies of a dataset; those whose names could tell who the patient is are among the faulty ones.

    Raises DatasetError where its tables hold what could; where the recipe scrubs, that is reported instead.
    """
    told = screen_dataset(path) if path.exists() else []
    if not recipe.scrub and (standing := [finding.text() for finding in told if not finding.repaired]):
        raise DatasetError(*standing)
    for finding in scrubbed(told):
        notes.print(finding.text(), style="yellow")
    dataset = open_dataset(path, recipe.task, site)
    return refuse_identifying_names(pseudonymised(dataset, id_salt(os.environ)) if hash_ids else dataset)


def input_files(path: Path) -> list[Path]:
    """All files in a dataset's folder; of a table of paths itself, those that its cells name and the JSON beside them.

    Names from cells may be those of no file.
    """
    if path.is_dir():
        return [file for file in path.rglob("*") if file.is_file()]
    named = [path.parent / cell for _, cells in read_table(path).rows for cell in cells if cell]
    return [path, *named, *(Path(str(file).removesuffix(".gz").removesuffix(".nii") + ".json") for file in named)]


def shared_out(dataset: Dataset, cost: StudyCost, workers: int | None, *, plain: bool) -> Each:
    """How the studies are gone through: as Ray tasks where that is sooner done, else here, one after the other."""
    at_once = max(min(workers or os.cpu_count() or 1, len(dataset.studies)), 1)
    if plain or not worth_a_pool(cost.seconds * len(dataset.studies), at_once):
        return map
    return partial(pool_map, memory_bytes=cost.memory_bytes, lost=lost, workers=workers)
