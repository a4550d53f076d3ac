"""The datasets of an experiment's cohorts: given on the command line, or simulated."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Annotated

import typer

from jobs.preprocess import preprocess_dataset
from jobs.shared.intake import admit, recipe_of
from jobs.shared.progress import steps
from lesionlab.errors import SpecError
from lesionlab.simulation.cohort import simulate_cohort
from lesionlab.store.objects import Store
from storage_schemas.base import Slug
from storage_schemas.cohorts import CohortPlan
from storage_schemas.experiments import ExperimentSpec

WorkOption = Annotated[
    Path,
    typer.Option(
        metavar="DIR",
        help="Folder for simulated datasets and the report.",
        default_factory=lambda: Path.cwd() / ".lesionlab",
        show_default="./.lesionlab",
    ),
]
BidsOption = Annotated[
    list[str] | None,
    typer.Option("--bids", metavar="NAME=PATH", help="Dataset of one cohort of the study file; repeat for each."),
]


def cohort_origins(
    spec: ExperimentSpec, bids: Sequence[str], wanted: Collection[Slug] | None = None
) -> dict[Slug, Path | CohortPlan]:
    """Where each wanted cohort of the study file (None: all) comes from: a `NAME=PATH` option, else its simulation.

    Raises SpecError, all faults at once, where an option names no cohort or no dataset, or a wanted cohort has neither.
    """
    faults: list[str] = []
    names = spec.cohorts if wanted is None else wanted
    origins: dict[Slug, Path | CohortPlan] = {
        name: plan for name in names if (plan := spec.cohorts[name].simulate) is not None
    }
    for option in bids:
        name, _, path = option.partition("=")
        if name not in spec.cohorts:
            faults.append(f"--bids {option}: wanted NAME=PATH with NAME one of {', '.join(spec.cohorts)}")
        elif not Path(path).exists():
            faults.append(f"--bids {option}: there is no folder {path!r}")
        origins[name] = Path(path)
    faults += [
        f"cohort {name}: study {spec.name} needs a dataset for it; give --bids {name}=PATH"
        for name in names
        if name not in origins
    ]
    if faults:
        raise SpecError(*faults)
    return origins


def dataset_of(cohort: Slug, origin: Path | CohortPlan, work: Path) -> Path:
    """The dataset of a cohort: the given one, or the simulated one, which is made once for each plan."""
    if isinstance(origin, Path):
        return origin
    out = work / "bids" / f"{cohort}-{origin.digest()}"
    if not out.exists():
        with steps(f"simulating {cohort}") as step:
            simulate_cohort(origin, out, step)
    return out


def bring_in(
    spec: ExperimentSpec, cohort: Slug, path: Path, store: Store, *, exclude_faulty: bool, plain: bool
) -> None:
    """Preprocess a dataset as the cohort of a study, for the task that the study has for it."""
    recipe = recipe_of(spec.task_of(cohort), spec.spacing_mm, scrub=False)
    dataset = admit(path, recipe, None, hash_ids=False)
    preprocess_dataset(store, dataset, recipe, cohort, exclude_faulty=exclude_faulty, plain=plain)
