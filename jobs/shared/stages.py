"""The stages of an experiment, each as one function with progress: pretrain, sweep, and all of them."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from pathlib import Path

from jobs.shared.audited import ANALYSING, audited, studies_of
from jobs.shared.cohorts import dataset_of, open_for, preprocess_dataset, refuse_too_few, second_of
from jobs.shared.console import console, notes
from jobs.shared.dataset_screening import AS_IT_IS, Screening
from jobs.shared.execution import execute_with_progress
from jobs.shared.left_out import note_left_out, note_policies
from jobs.shared.progress import stage
from jobs.shared.report_folder import save_report
from lesionlab.analysis.report import write_report
from lesionlab.errors import InputError
from lesionlab.evaluation.exports import export_predictions, refuse_export
from lesionlab.experiments.benchmarks import refuse_benchmark_studies
from lesionlab.experiments.manifests import forbidden_parts, frozen_manifest
from lesionlab.experiments.parts import Second
from lesionlab.experiments.planning import pretraining
from lesionlab.experiments.registry import register
from lesionlab.experiments.rehearsal import report_withheld
from lesionlab.experiments.site_policies import shared_instead
from lesionlab.experiments.source_models import finished_run, source_purpose
from lesionlab.experiments.store_planning import plan_experiment
from lesionlab.experiments.stored_plans import store_plan
from lesionlab.orchestration.room import Room
from lesionlab.preprocessing.cohort import tally
from lesionlab.store.objects import Store
from storage_schemas.base import Slug
from storage_schemas.cohorts import CohortPlan
from storage_schemas.experiments import ExperimentSpec, Plan
from storage_schemas.models import ModelCard


def pretrain_sources(
    spec: ExperimentSpec, store: Store, cache: Path, *, plain: bool, room: Room | None = None
) -> tuple[ModelCard, ...]:
    """Train and register every source model of an experiment at each of its depths; completed trainings are reused.

    They are candidates: the experiment uses these very versions, whatever is promoted. Raises TrainingError if a
    training failed, SpecError if a cohort does not fit or the experiment named by `trained_in` has not trained the
    model.
    """
    trained = [
        pretraining(spec, source, depth, frozen_manifest(store, source.cohort, source_purpose(spec, source)))
        for source, depth in product(spec.sources, spec.network_depths)
        if source.cohort is not None
    ]
    for source in spec.sources:
        if source.cohort is not None:
            note_left_out(forbidden_parts(store, source.cohort, source_purpose(spec, source)))
    taken = [(s.model, finished_run(store, s.trained_in)) for s in spec.sources if s.trained_in is not None]
    refuse_benchmark_studies(store, trained, spec.cohorts)
    execute_with_progress(trained, store, cache, plain=plain, what="default models", room=room)
    return (
        *(register(store, run.run_id) for run in trained),
        *(register(store, run.run_id, model) for model, run in taken),
    )


def sweep_experiment(
    spec: ExperimentSpec,
    store: Store,
    cache: Path,
    *,
    plain: bool,
    replan: bool = False,
    room: Room | None = None,
    masks: bool = False,
) -> Plan:
    """Execute every run of an experiment that is not complete.

    Raises TrainingError that names the failed cells, and InputError before anything is trained if masks are wanted and
    a site's policy lets none leave.
    """
    plan = plan_experiment(spec, store, replan=replan)
    if masks:
        refuse_export(store, plan.runs)
    note_policies(plan, store)
    store_plan(store, plan)
    execute_with_progress(plan.runs, store, cache, plain=plain, what="cells", room=room)
    return plan


def export_plan(plan: Plan, store: Store, folder: Path | None) -> None:
    """Export all predicted masks of a plan, if a folder is given."""
    if folder:
        with audited(store, ANALYSING, plan.spec.name, studies_of(store, plan.runs)):
            exported = export_predictions(store, plan.runs, folder)
        notes.print(f"{exported} masks in {folder}")


def run_experiment(
    spec: ExperimentSpec,
    store: Store,
    cache: Path,
    work: Path,
    *,
    origins: Mapping[Slug, Path | CohortPlan],
    plain: bool,
    exclude_faulty: bool = False,
    screening: Screening = AS_IT_IS,
    second: Second = "refuse",
    save_predictions: Path | None = None,
    replan: bool = False,
    room: Room | None = None,
) -> None:
    """Run every stage of an experiment from its datasets to the report; print the answer last.

    Cohorts without an origin are in the store. `screening` is for datasets that are given, not for simulated ones.
    """
    with stage("1/5 cohorts"):
        datasets = {name: dataset_of(name, origin, work) for name, origin in origins.items()}
    with stage("2/5 preprocessing: BIDS to study volumes"):
        opened = {
            name: open_for(spec, name, path, screening if isinstance(origins[name], Path) else AS_IT_IS)
            for name, path in datasets.items()
        }
        seconds = {name: second_of(origin, second) for name, origin in origins.items()}
        cohort = spec.target.cohort
        refuse_too_few(spec, store, opened[cohort][0] if cohort in opened else None, seconds.get(cohort, second))
        for name, (dataset, recipe) in opened.items():
            ingested = preprocess_dataset(
                store, dataset, recipe, name, exclude_faulty=exclude_faulty, plain=plain, second=seconds[name]
            )
            notes.print(f"cohort {name}: {tally(ingested.verdicts)}")
    if faults := report_withheld(spec, store):
        advice = "run ends with the report; lesionlab sweep trains and tests without one, then"
        raise InputError(*faults, f"{advice} {shared_instead(spec.name)}")
    with stage("3/5 pretraining: default models of other pathologies"):
        pretrain_sources(spec, store, cache, plain=plain, room=room)
    with stage("4/5 sweep: arms × training sizes × folds"):
        plan = sweep_experiment(spec, store, cache, plain=plain, replan=replan, room=room)
        export_plan(plan, store, save_predictions)
    with stage("5/5 statistics and report"):
        with audited(store, ANALYSING, spec.name, studies_of(store, plan.runs)):
            result = write_report(store, plan)
        page = save_report(store, result, work / "reports" / spec.name)
    console.print(result.table_text)
    console.print(result.answer)
    console.print(f"report: {page}")
