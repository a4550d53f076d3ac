"""A study file and its BIDS datasets in; the whole flow, stage by stage, and the report out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from jobs.analyse import save_report
from jobs.plan import show_design
from jobs.pretrain import pretrain_sources
from jobs.shared.command_line import (
    CacheOption,
    PlainOption,
    ReplanOption,
    SpecArgument,
    StoreOption,
    connect,
    console,
    notes,
    run_alone,
)
from jobs.shared.datasets import BidsOption, WorkOption, bring_in, cohort_origins, dataset_of
from jobs.shared.intake import ExcludeFaultyOption
from jobs.shared.progress import stage
from jobs.shared.specs import load_spec
from jobs.sweep import export_predictions, sweep_experiment
from lesionlab.analysis.report import write_report
from lesionlab.store.objects import Store
from storage_schemas.base import Slug
from storage_schemas.cohorts import CohortPlan
from storage_schemas.experiments import ExperimentSpec


def run_experiment(
    spec: ExperimentSpec,
    store: Store,
    cache: Path,
    work: Path,
    *,
    origins: Mapping[Slug, Path | CohortPlan],
    plain: bool,
    exclude_faulty: bool = False,
    save_predictions: Path | None = None,
    replan: bool = False,
) -> None:
    """Every stage of a study, each from what the one before left in the store; prints the answer last."""
    with stage("1/5 cohorts"):
        datasets = {name: dataset_of(name, origin, work) for name, origin in origins.items()}
    with stage("2/5 preprocessing: BIDS to study volumes"):
        for name, path in datasets.items():
            bring_in(spec, name, path, store, exclude_faulty=exclude_faulty, plain=plain)
    with stage("3/5 pretraining: default models of other pathologies"):
        pretrain_sources(spec, store, cache, plain=plain)
    with stage("4/5 sweep: arms × training sizes × folds"):
        plan = sweep_experiment(spec, store, cache, plain=plain, replan=replan)
        if save_predictions:
            count = export_predictions(plan.runs, store, save_predictions)
            notes.print(f"{count} masks in {save_predictions}")
    with stage("5/5 statistics and report"):
        result = write_report(store, plan)
        page = save_report(store, result, work / "reports" / spec.name)
    console.print(result.table_text)
    console.print(result.answer)
    console.print(f"report: {page}")


def run(
    spec: SpecArgument,
    store: StoreOption,
    cache: CacheOption,
    work: WorkOption,
    bids: BidsOption = None,
    exclude_faulty: ExcludeFaultyOption = False,
    save_predictions: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write every predicted mask there as NIfTI, in native space.")
    ] = None,
    plain: PlainOption = False,
    replan: ReplanOption = False,
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
    run_experiment(
        study,
        connect(store),
        cache,
        work,
        origins=origins,
        plain=plain,
        exclude_faulty=exclude_faulty,
        save_predictions=save_predictions,
        replan=replan,
    )


if __name__ == "__main__":
    run_alone(run)
