"""BIDS studies in; study volumes and a manifest in the store, out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from jobs.door import StoreOption, connect, console, notes, plain_name, run_alone
from jobs.progress import steps
from lesionlab.preprocessing.cohort import plan_cohort, preprocess_cohort
from lesionlab.store.objects import Store
from lesionlab.studies.code import PREPROCESSING, code_version
from storage_schemas.base import Slug
from storage_schemas.manifests import Manifest
from storage_schemas.tasks import TASKS, TaskName


def preprocess_dataset(
    store: Store,
    bids: Path,
    cohort: Slug,
    *,
    task: TaskName,
    spacing_mm: float,
    site: Slug | None = None,
    exclude_faulty: bool = False,
) -> Manifest:
    """Bring one BIDS dataset through the door, with progress on standard error; exclusions are named there too."""
    with steps(f"preprocessing {cohort}") as step:
        manifest = preprocess_cohort(
            store,
            bids,
            task=TASKS[task],
            cohort=cohort,
            spacing_mm=spacing_mm,
            site=site,
            code_version=code_version(PREPROCESSING),
            exclude_faulty=exclude_faulty,
            progress=step,
        )
    for exclusion in manifest.excluded:
        notes.print(f"excluded {exclusion.study}: {'; '.join(exclusion.faults)}", style="yellow", markup=False)
    return manifest


def preprocess(
    bids: Annotated[Path, typer.Argument(metavar="BIDS", help="BIDS dataset with masks under derivatives/manual.")],
    store: StoreOption,
    cohort: Annotated[str, typer.Option(metavar="NAME", callback=plain_name, help="Name of the cohort in the store.")],
    task: Annotated[TaskName, typer.Option(help="What is read, and what must be found.")] = "flair-single",
    spacing: Annotated[float, typer.Option(min=0.5, max=5.0, metavar="MM", help="Isotropic study grid.")] = 1.0,
    site: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", callback=plain_name, help="Site of all studies, where participants.tsv has no column site."
        ),
    ] = None,
    exclude_faulty: Annotated[
        bool, typer.Option("--exclude-faulty", help="Go on without the studies that have faults, and list them.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, write nothing.")] = False,
) -> None:
    """Check a BIDS dataset and write its study volumes and manifest.

    Example: lesionlab preprocess ./ms-cohort --cohort ms --spacing 2
    """
    place = connect(store)
    if dry_run:
        planned = plan_cohort(
            place,
            bids,
            task=TASKS[task],
            spacing_mm=spacing,
            site=site,
            code_version=code_version(PREPROCESSING),
        )
        for line in planned:
            console.print(line, markup=False)
        return
    manifest = preprocess_dataset(
        place, bids, cohort, task=task, spacing_mm=spacing, site=site, exclude_faulty=exclude_faulty
    )
    console.print(
        f"cohort {cohort}: {len(manifest.studies)} studies, {len(manifest.excluded)} excluded, "
        f"manifest {manifest.digest()}, in {store}",
        markup=False,
    )


if __name__ == "__main__":
    run_alone(preprocess)
