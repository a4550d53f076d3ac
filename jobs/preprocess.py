"""A dataset of scans in; study volumes, a manifest and two tables in the store, out."""

from __future__ import annotations

from typing import Annotated

import typer

from jobs.shared.command_line import PlainOption, StoreOption, connect, console, notes, plain_name, run_alone
from jobs.shared.intake import (
    DatasetArgument,
    ExcludeFaultyOption,
    HashIdsOption,
    ScrubOption,
    SiteOption,
    SpacingOption,
    TaskOption,
    WorkersOption,
    admit,
    recipe_of,
    shared_out,
)
from jobs.shared.progress import steps
from jobs.shared.tasks import load_task
from lesionlab.preprocessing.cohort import Ingested, plan_cohort, preprocess_cohort, tally
from lesionlab.preprocessing.costs import study_cost
from lesionlab.preprocessing.files import Dataset
from lesionlab.preprocessing.ingest import Recipe
from lesionlab.store.objects import Store
from storage_schemas.base import Slug
from storage_schemas.keys import FACTS, VERDICTS


def preprocess_dataset(
    store: Store,
    dataset: Dataset,
    recipe: Recipe,
    cohort: Slug,
    *,
    exclude_faulty: bool,
    plain: bool,
    workers: int | None = None,
) -> Ingested:
    """Bring one dataset through the door, with progress on standard error; exclusions are named there too."""
    with steps(f"preprocessing {cohort}") as step:
        ingested = preprocess_cohort(
            store,
            dataset,
            recipe,
            cohort=cohort,
            exclude_faulty=exclude_faulty,
            each=shared_out(dataset, study_cost(recipe.task, recipe.spacing_mm), workers, plain=plain),
            progress=step,
        )
    for exclusion in ingested.manifest.excluded:
        notes.print(f"excluded {exclusion.study}: {'; '.join(exclusion.faults)}", style="yellow")
    return ingested


def preprocess(
    path: DatasetArgument,
    store: StoreOption,
    cohort: Annotated[str, typer.Option(metavar="NAME", callback=plain_name, help="Name of the cohort in the store.")],
    task: TaskOption = "flair-single",
    spacing: SpacingOption = 1.0,
    site: SiteOption = None,
    scrub: ScrubOption = False,
    hash_ids: HashIdsOption = False,
    exclude_faulty: ExcludeFaultyOption = False,
    workers: WorkersOption = None,
    plain: PlainOption = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, write nothing.")] = False,
) -> None:
    """Check a dataset and write its study volumes, its manifest, and tables of verdicts and facts.

    Studies run side by side, on this machine or on the cluster of RAY_ADDRESS. Run it again after a stop, or after
    files were corrected: it does what is missing.

    Example: lesionlab preprocess ./ms-cohort --cohort ms --spacing 2
    """
    place = connect(store)
    recipe = recipe_of(load_task(task), spacing, scrub=scrub)
    dataset = admit(path, recipe, site, hash_ids=hash_ids)
    if dry_run:
        for line in plan_cohort(place, dataset, recipe):
            console.print(line)
        return
    ingested = preprocess_dataset(
        place, dataset, recipe, cohort, exclude_faulty=exclude_faulty, plain=plain, workers=workers
    )
    digest = ingested.manifest.id
    console.print(
        f"cohort {cohort}: {len(ingested.manifest.studies)} studies, {len(ingested.manifest.excluded)} excluded, "
        f"manifest {digest}, in {store}",
        f"{tally(ingested.verdicts)}: {VERDICTS.build(cohort=cohort, digest=digest)}",
        f"facts of the studies: {FACTS.build(cohort=cohort, digest=digest)}",
        sep="\n",
        markup=False,
    )


if __name__ == "__main__":
    run_alone(preprocess)
