"""Open a dataset, screen it for identifying information, and choose how to map over its studies."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from jobs.shared.console import notes
from lesionlab.errors import DatasetError
from lesionlab.orchestration.pool import pool_map, worth_a_pool
from lesionlab.preprocessing.cohort import Each, Progress
from lesionlab.preprocessing.costs import StudyCost
from lesionlab.preprocessing.files import Dataset
from lesionlab.preprocessing.ingest import Recipe, lost
from lesionlab.preprocessing.layouts.recognise import open_dataset
from lesionlab.preprocessing.layouts.tabular import read_table
from lesionlab.preprocessing.privacy import (
    id_salt,
    pseudonymised,
    refuse_identifying_names,
    screen_dataset,
    scrubbed,
)
from storage_schemas.base import Slug


@dataclass(frozen=True)
class Screening:
    """What a user allows or states about datasets."""

    scrub: bool = False
    """Drop identifiers instead of refusing them."""
    hash_ids: bool = False
    site: Slug | None = None
    """Of studies whose site the dataset does not give."""
    absolute_paths: bool = False
    """A table may name files anywhere."""


AS_IT_IS = Screening()


def open_screened(
    path: Path,
    recipe: Recipe,
    site: Slug | None,
    *,
    hash_ids: bool,
    absolute_paths: bool = False,
    every_fault: bool = False,
    renamed: Callable[[Dataset], Dataset] | None = None,
) -> Dataset:
    """Find the studies of a dataset; studies with identifying names are listed among the faulty ones.

    Raises DatasetError if a study to accept is not there, or if the tables contain identifiers or do not match
    the subjects; with `every_fault` the dataset holds these faults, and its studies can be checked too. With
    `recipe.scrub` identifiers are only reported and never stored. `renamed` replaces its names; with `hash_ids` that is
    by the salt in the environment.
    """
    findings = screen_dataset(path) if path.exists() else []
    faults = [finding.text() for finding in findings if not finding.repaired and not recipe.scrub]
    if faults and not every_fault:
        raise DatasetError(*faults)
    for finding in scrubbed(findings):
        notes.print(finding.text(), style="yellow")
    dataset = open_dataset(path, recipe.task, site, absolute_paths=absolute_paths, every_fault=every_fault)
    if hash_ids:
        renamed = partial(pseudonymised, salt=id_salt(os.environ))
    named = refuse_identifying_names(renamed(dataset) if renamed else dataset, recipe.task)
    studies = [files.study for files in named.studies]
    unknown = [
        f"--accept {study}: wanted a study of {path}, found none" for study in sorted(recipe.accept - {*studies})
    ]
    if unknown and not every_fault:
        raise DatasetError(*unknown)
    told = list(named.notes)
    own = sorted({files.site for files in named.studies})
    if site and own and site not in own:
        told.append(f"--site {site}: no study needs it: the dataset says {', '.join(own)}")
    for note in told:
        notes.print(note, style="yellow")
    return replace(named, faults=(*faults, *dataset.faults, *unknown))


def input_files(path: Path) -> list[Path]:
    """All files in a dataset's folder; for a table: the table, the files that it names and their JSON sidecars.

    Files that a table names need not exist.
    """
    if path.is_dir():
        return [file for file in path.rglob("*") if file.is_file()]
    named = [path.parent / cell for _, cells in read_table(path).rows for cell in cells if cell]
    return [path, *named, *(Path(str(file).removesuffix(".gz").removesuffix(".nii") + ".json") for file in named)]


def study_map(
    dataset: Dataset,
    cost: StudyCost,
    workers: int | None,
    progress: Progress = lambda done, total, study: None,
    *,
    plain: bool,
) -> Each:
    """The function that maps over the studies: parallel Ray tasks if they save time, otherwise `map`.

    `progress` is told when the start-up of Ray is over.
    """
    count = len(dataset.studies) + len(dataset.faulty)
    at_once = max(min(workers or os.cpu_count() or 1, count), 1)
    ready = partial(progress, 0, count, "")
    if plain or not worth_a_pool(cost.seconds * len(dataset.studies), at_once):
        return map
    return partial(pool_map, memory_bytes=cost.memory_bytes, lost=lost, workers=workers, ready=ready)
