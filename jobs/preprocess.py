"""Check a dataset and store its study volumes, manifest and tables."""

from __future__ import annotations

from typing import Annotated

import typer

from jobs.shared.cohorts import preprocess_dataset
from jobs.shared.console import console
from jobs.shared.dataset_options import (
    AbsolutePathsOption,
    AcceptOption,
    AddOption,
    DatasetArgument,
    HashIdsOption,
    RegisteredOption,
    ReplaceOption,
    ScrubOption,
    SiteOption,
    SpacingOption,
    StripOption,
    StrippedOption,
    TaskOption,
    WorkersOption,
    chosen_second,
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
    add: AddOption = False,
    replace: ReplaceOption = False,
    workers: WorkersOption = None,
    plain: PlainOption = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be done; write nothing.")] = False,
) -> None:
    """Check a dataset and write study volumes, a list of them, and tables of verdicts and facts to the store.

    Studies are preprocessed in parallel, on this machine or on the cluster at
    RAY_ADDRESS. Safe to re-run, also after files were corrected: finished studies
    are skipped. A second dataset of a site needs --add or --replace.

    Example: lesionlab preprocess ./ms-cohort --cohort ms --spacing 2
    """
    second = chosen_second(add=add, replace=replace)
    place = connect_to_read(store) if dry_run else connect(store)
    stripping = chosen_stripping(strip=strip, stripped=stripped)
    recipe = Recipe(load_task(task), spacing, scrub, frozenset(accept or ()), registered, stripping)
    dataset = open_screened(path, recipe, site, hash_ids=hash_ids, absolute_paths=absolute_paths)
    if dry_run:
        for line in plan_cohort(place, dataset, recipe):
            console.print(line)
        return
    ingested = preprocess_dataset(
        place, dataset, recipe, cohort, exclude_faulty=exclude_faulty, plain=plain, workers=workers, second=second
    )
    console.print(
        f"cohort {cohort}: {len(ingested.manifest.studies)} studies, {len(ingested.manifest.excluded)} excluded, "
        f"in {store}",
        tally(ingested.verdicts),
        sep="\n",
    )
    for part in ingested.parts:
        key = {"site": part.site, "cohort": cohort, "digest": part.id}
        console.print(
            f"site {part.site}: {len(part.studies)} studies, {len(part.excluded)} excluded",
            f"  verdicts: {VERDICTS.build(**key)}",
            f"  facts of the studies: {FACTS.build(**key)}",
            sep="\n",
        )


if __name__ == "__main__":
    run_as_module(preprocess)
