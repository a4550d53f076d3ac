"""Read what a decision on retraining rests on, and keep the decisions: one a day, each with what became of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from lesionlab.errors import InputError, MissingObject
from lesionlab.experiments.benchmarks import frozen_benchmarks
from lesionlab.experiments.ledger import is_complete, ledger_entries
from lesionlab.experiments.manifests import current_manifest
from lesionlab.experiments.patient_register import PatientRegister
from lesionlab.experiments.planning import check_fits
from lesionlab.experiments.registry import champion, find_model, source_model
from lesionlab.experiments.site_policies import site_policy
from lesionlab.experiments.stored_plans import current_plan
from lesionlab.experiments.withdrawn_models import withdrawn_among
from lesionlab.store.documents import read_document
from lesionlab.store.objects import Store
from storage_schemas import keys
from storage_schemas.experiments import ExperimentSpec
from storage_schemas.manifests import Manifest, ManifestEntry
from storage_schemas.models import ModelName
from storage_schemas.policies import Purpose
from storage_schemas.retraining import RetrainDecision, Retraining, RetrainOutcome
from storage_schemas.rules import Rule
from storage_schemas.runs import Parent, RunSpec
from storage_schemas.tasks import Task
from storage_schemas.versions import CURRENT

Patient = tuple[str, str]
"""Site and label."""


def retraining_of(rule: Rule) -> Retraining:
    """How a rule retrains. Raises InputError if it does not."""
    if rule.retraining is None:
        raise InputError(f"rule {rule.model}@{rule.id} declares no retraining; declare a rule with one")
    return rule.retraining


@dataclass(frozen=True)
class Eligible:
    """The studies that a candidate may be trained on."""

    manifest: Manifest
    studies: tuple[ManifestEntry, ...]
    set_aside: int
    """Studies that a benchmark holds, or whose patient it holds."""

    @property
    def patients(self) -> frozenset[Patient]:
        return patients_in(self.studies)

    @property
    def quarantined(self) -> float:
        """Share of the cohort's studies that failed quality control."""
        failed, passed = len(self.manifest.excluded), len(self.manifest.studies)
        return failed / (failed + passed) if failed else 0.0


def patients_in(studies: Iterable[ManifestEntry]) -> frozenset[Patient]:
    """The patients of these studies."""
    return frozenset((entry.site, entry.patient) for entry in studies)


def retraining_purpose(rule: Rule, task: Task, on: date) -> Purpose:
    """What the studies are wanted for."""
    return Purpose(experiment=rule.model, task=task.name, tested=False, on=on)


def eligible(store: Store, rule: Rule, on: date) -> Eligible:
    """All studies of the cohort that the sites' policies allow on this date, outside every benchmark; a patient with
    one study in a benchmark is out with all."""
    retraining = retraining_of(rule)
    spec = current_plan(store, retraining.experiment).spec
    manifest = current_manifest(store, retraining.cohort, retraining_purpose(rule, spec.task, on))
    check_fits(spec, spec.task, manifest)
    marked = PatientRegister(store).marked
    out = {
        study
        for frozen in frozen_benchmarks(store)
        for study in frozen.found_in(manifest.studies, manifest.cohort, spec.cohorts, marked)
    }
    people = patients_in(entry for entry in manifest.studies if entry.study in out)
    kept = tuple(entry for entry in manifest.studies if (entry.site, entry.patient) not in people)
    return Eligible(manifest, kept, len(manifest.studies) - len(kept))


def trained_before(store: Store, rule: Rule) -> tuple[ManifestEntry, ...]:
    """The studies of the last training by a rule, or of the champion's; empty if there is neither."""
    runs = [decision.run for decision in trained_by(store, rule) if decision.run]
    if runs:
        return read_document(store, keys.RUN_SPEC.build(run_id=runs[-1]), RunSpec).train
    version = champion(store, rule.model)
    if version is None:
        return ()
    card = find_model(store, f"{rule.model}@{version}")
    own = {*(card.members or (card.version,))}
    return tuple(entry for run in source_model(store, card).made_by if run.run_id in own for entry in run.train)


def readable(
    store: Store, rule: Rule, task: Task, on: date, studies: Iterable[ManifestEntry]
) -> tuple[ManifestEntry, ...]:
    """Those of an earlier training that their sites still allow to be read on this date, and have not withdrawn."""
    studies, purpose = tuple(studies), retraining_purpose(rule, task, on)
    policies = {site: site_policy(store, site) for site in {entry.site for entry in studies}}
    forbidden = {site for site, policy in policies.items() if policy is not None and policy.forbids(purpose)}
    gone = {*withdrawn_among(store, studies)}
    return tuple(entry for entry in studies if entry.site not in forbidden and entry.study not in gone)


def candidate_run(store: Store, rule: Rule, found: Eligible) -> RunSpec:
    """The training of a candidate. Raises SpecError if the cohort does not fit the experiment, InputError without the
    source model or without studies."""
    retraining = retraining_of(rule)
    spec = current_plan(store, retraining.experiment).spec
    if not found.studies:
        raise InputError(f"cohort {retraining.cohort}: no study is left outside the benchmarks")
    return RunSpec.named(
        experiment=rule.model,
        task=spec.task,
        channels=spec.task.channel_names,
        spacing_mm=spec.spacing_mm,
        cell=None,
        cohort=found.manifest.cohort,
        manifest=found.manifest.id,
        train=found.studies,
        test=(),
        parent=_parent(store, retraining, spec),
        architecture=spec.architecture_at(spec.main_depth),
        training=spec.training,
        inference=spec.inference,
        metric=spec.metric,
        seed=spec.seeds[0],
        versions=CURRENT,
    )


def _parent(store: Store, retraining: Retraining, spec: ExperimentSpec) -> Parent | None:
    if retraining.source is None:
        return None
    card = find_model(store, f"{retraining.source.name}@{retraining.source.version}")
    name = ModelName(name=card.name, version=card.version)
    return Parent(model=name, weights_sha256=card.weights_sha256, adaptation=retraining.adaptation)


def decisions_by(store: Store, rule: Rule) -> list[RetrainDecision]:
    """The decisions by a rule, oldest first."""
    stored = [
        key for key in store.list(keys.RETRAIN_DECISION.prefix(name=rule.model)) if keys.RETRAIN_DECISION.parse(key)
    ]
    found = [read_document(store, key, RetrainDecision) for key in stored]
    return sorted((own for own in found if own.rule == rule.id), key=lambda own: (own.date, own.accepted))


def trained_by(store: Store, rule: Rule) -> list[RetrainDecision]:
    """Those that were followed by a training, oldest first; of some, nothing came because a site forbade it."""
    return [own for own in decisions_by(store, rule) if own.run and is_complete(store, own.run)]


def outcome_of(store: Store, decision: RetrainDecision) -> RetrainOutcome | None:
    """What became of a training that was decided; None: it is not finished."""
    try:
        return read_document(store, outcome_key(decision), RetrainOutcome)
    except MissingObject:
        return None


def outcome_key(decision: RetrainDecision) -> str:
    """Where the outcome of a decision lies."""
    return keys.RETRAIN_OUTCOME.build(name=decision.model, date=decision_name(decision))


def decision_key(decision: RetrainDecision) -> str:
    """Where a decision lies."""
    return keys.RETRAIN_DECISION.build(name=decision.model, date=decision_name(decision))


def decision_name(decision: RetrainDecision) -> str:
    """The date; one that accepts a drift has its own name, because another decision may be there."""
    return f"{decision.date}-accepted" if decision.accepted else decision.date


def costs(store: Store, rule: Rule, run: RunSpec) -> tuple[float, float | None]:
    """GPU hours spent by this rule, and those that another training is expected to take.

    The latter is by steps, from the trainings of the experiment and of the rule; None if there are none.
    """
    own = [decision.run for decision in decisions_by(store, rule) if decision.run]
    entries = ledger_entries(store, own)
    spent = sum(entry.training_s * entry.workers / 3600 for entry in entries.values())
    planned = current_plan(store, retraining_of(rule).experiment).runs
    known = [*entries.values(), *ledger_entries(store, [r.run_id for r in planned if r.train]).values()]
    steps = sum(entry.steps for entry in known)
    if not steps:
        return spent, None
    hours_per_step = sum(entry.training_s * entry.workers for entry in known) / 3600 / steps
    return spent, hours_per_step * run.training.all_steps(len(run.train))
