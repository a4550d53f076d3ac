"""Check a dataset and store its study volumes, manifest and tables."""

from __future__ import annotations

from typing import Annotated

import typer

from jobs.shared.cohorts import preprocess_dataset
from jobs.shared.console import console
from jobs.shared.dataset_options import (
    AbsolutePathsOption,
    AcceptOption,
    DatasetArgument,
    HashIdsOption,
    RegisteredOption,
    ScrubOption,
    SiteOption,
    SpacingOption,
    StripOption,
    StrippedOption,
    TaskOption,
    WorkersOption,
)
from jobs.shared.dataset_screening import open_screened
from jobs.shared.entry_points import run_as_module
from jobs.shared.options import ExcludeFaultyOption, PlainOption, StoreOption, connect, connect_to_read, plain_name
from jobs.shared.stripping import chosen_stripping
from jobs.shared.tasks import load_task
from lesionlab.preprocessing.cohort import plan_cohort, tally
from lesionlab.preprocessing.ingest import Recipe
from storage_schemas.keys import FACTS, VERDICTS


def preprocess(
    path: DatasetArgument,
    store: StoreOption,
    cohort: Annotated[str, typer.Option(metavar="NAME", callback=plain_name, help="Name of the cohort in the store.")],
    task: TaskOption = "flair-single",
    spacing: SpacingOption = 1.0,
    site: SiteOption = None,
    scrub: ScrubOption = False,
    hash_ids: HashIdsOption = False,
    absolute_paths: AbsolutePathsOption = False,
    accept: AcceptOption = None,
    registered: RegisteredOption = False,
    strip: StripOption = False,
    stripped: StrippedOption = False,
    exclude_faulty: ExcludeFaultyOption = False,
    workers: WorkersOption = None,
    plain: PlainOption = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be done; write nothing.")] = False,
) -> None:
    """Check a dataset and write study volumes, a manifest, and tables of verdicts and facts to the store.

    Studies are preprocessed in parallel, on this machine or on the cluster at
    RAY_ADDRESS. Safe to re-run, also after files were corrected: finished studies
    are skipped.

    Example: lesionlab preprocess ./ms-cohort --cohort ms --spacing 2
    """
    place = connect_to_read(store) if dry_run else connect(store)
    stripping = chosen_stripping(strip=strip, stripped=stripped)
    recipe = Recipe(load_task(task), spacing, scrub, frozenset(accept or ()), registered, stripping)
    dataset = open_screened(path, recipe, site, hash_ids=hash_ids, absolute_paths=absolute_paths)
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
    )


if __name__ == "__main__":
    run_as_module(preprocess)
