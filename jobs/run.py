"""A study file and its BIDS datasets in; the whole flow, stage by stage, and the report out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from jobs.analyse import save_report
from jobs.door import CacheOption, PlainOption, SpecArgument, StoreOption, connect, console, load_spec, notes, run_alone
from jobs.plan import show_design
from jobs.preprocess import preprocess_dataset
from jobs.pretrain import pretrain_sources
from jobs.progress import stage, steps
from jobs.sweep import export_predictions, sweep_study
from lesionlab.analysis.report import write_report
from lesionlab.errors import SpecError
from lesionlab.simulation.cohort import simulate_cohort
from lesionlab.store.objects import Store
from storage_schemas.base import Slug
from storage_schemas.cohorts import CohortPlan
from storage_schemas.runs import StudySpec

WorkOption = Annotated[
    Path,
    typer.Option(
        metavar="DIR",
        help="Folder for simulated datasets and the report.",
        default_factory=lambda: Path.cwd() / ".lesionlab",
        show_default="./.lesionlab",
    ),
]


def run_study(
    spec: StudySpec,
    store: Store,
    cache: Path,
    work: Path,
    *,
    origins: Mapping[Slug, Path | CohortPlan],
    plain: bool,
    exclude_faulty: bool = False,
    save_predictions: Path | None = None,
) -> None:
    """Every stage of a study, each from what the one before left in the store; prints the answer last."""
    with stage("1/5 cohorts"):
        datasets = {name: dataset_of(name, origin, work) for name, origin in origins.items()}
    with stage("2/5 preprocessing: BIDS to study volumes"):
        for name, dataset in datasets.items():
            preprocess_dataset(
                store, dataset, name, task=spec.task, spacing_mm=spec.spacing_mm, exclude_faulty=exclude_faulty
            )
    with stage("3/5 pretraining: default models of other pathologies"):
        pretrain_sources(spec, store, cache, plain=plain)
    with stage("4/5 sweep: arms × training sizes × folds"):
        plan = sweep_study(spec, store, cache, plain=plain)
        if save_predictions:
            count = export_predictions(plan.runs, store, save_predictions)
            notes.print(f"{count} masks in {save_predictions}", markup=False)
    with stage("5/5 statistics and report"):
        result = write_report(store, plan)
        page = save_report(store, result, work / "reports" / spec.name)
    console.print(result.table_text, markup=False)
    console.print(result.answer, markup=False)
    console.print(f"report: {page}", markup=False)


def dataset_of(cohort: Slug, origin: Path | CohortPlan, work: Path) -> Path:
    """The BIDS folder of a cohort: the given one, or the simulated one, which is made once for each plan."""
    if isinstance(origin, Path):
        return origin
    out = work / "bids" / f"{cohort}-{origin.digest()}"
    if not out.exists():
        with steps(f"simulating {cohort}") as step:
            simulate_cohort(origin, out, step)
    return out


def cohort_origins(spec: StudySpec, bids: Sequence[str]) -> dict[Slug, Path | CohortPlan]:
    """Where each cohort of the study file comes from: a `NAME=PATH` option, else its simulation.

    Raises SpecError, all faults at once, where an option names no cohort or no folder, or a cohort has neither.
    """
    faults: list[str] = []
    origins: dict[Slug, Path | CohortPlan] = {
        name: cohort.simulate for name, cohort in spec.cohorts.items() if cohort.simulate is not None
    }
    for option in bids:
        name, _, path = option.partition("=")
        if name not in spec.cohorts:
            faults.append(f"--bids {option}: wanted NAME=PATH with NAME one of {', '.join(spec.cohorts)}")
        elif not Path(path).is_dir():
            faults.append(f"--bids {option}: there is no folder {path!r}")
        origins[name] = Path(path)
    faults += [
        f"cohort {name}: study {spec.name} needs a dataset for it; give --bids {name}=PATH"
        for name in spec.cohorts
        if name not in origins
    ]
    if faults:
        raise SpecError("; ".join(faults))
    return origins


def run(
    spec: SpecArgument,
    store: StoreOption,
    cache: CacheOption,
    work: WorkOption,
    bids: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=PATH", help="BIDS dataset of one cohort of the study file; repeat for each."),
    ] = None,
    exclude_faulty: Annotated[
        bool, typer.Option("--exclude-faulty", help="Go on without the studies that have faults, and list them.")
    ] = False,
    save_predictions: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write every predicted mask there as NIfTI, in native space.")
    ] = None,
    plain: PlainOption = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the design and stop.")] = False,
) -> None:
    """All stages of a study, from BIDS to the report; run it again after a stop and it does what is missing.

    Example: lesionlab run real-smoke --bids real-ms=./ms --bids real-glioma=./glioma
    """
    study = load_spec(spec)
    origins = cohort_origins(study, bids or [])
    show_design(study)
    if dry_run:
        return
    run_study(
        study,
        connect(store),
        cache,
        work,
        origins=origins,
        plain=plain,
        exclude_faulty=exclude_faulty,
        save_predictions=save_predictions,
    )


if __name__ == "__main__":
    run_alone(run)
