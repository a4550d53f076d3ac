"""Read what the report of a plan shows besides its study rows: manifest, split, facts, quality control, lesions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

from lesionlab.analysis.statistics.chosen_rates import as_planned
from lesionlab.analysis.statistics.conditions import Condition, condition_of, conditions
from lesionlab.errors import InputError, MissingObject
from lesionlab.experiments.ledger import ledger_entries
from lesionlab.experiments.lineage import imported_ancestors
from lesionlab.experiments.manifests import manifest_facts, manifest_verdicts
from lesionlab.experiments.publishing import operating_rows
from lesionlab.experiments.registry import find_model
from lesionlab.experiments.run_history import finished_histories
from lesionlab.store.at_once import at_once
from lesionlab.store.documents import read_document
from lesionlab.store.objects import Store
from lesionlab.store.tables import read_parts
from storage_schemas import keys
from storage_schemas.base import Digest, Sha256
from storage_schemas.experiments import Plan
from storage_schemas.facts import StudyFacts
from storage_schemas.manifests import Manifest
from storage_schemas.models import ModelCard
from storage_schemas.results import EpochRow, LesionRow, OperatingRow
from storage_schemas.splits import Split
from storage_schemas.verdicts import StudyVerdict, VerdictRow


@dataclass(frozen=True)
class Evidence:
    """What the store holds on the labelled studies of a plan."""

    manifest: Manifest
    split: Split
    facts: tuple[StudyFacts, ...]
    """Of the studies that passed."""
    verdicts: tuple[VerdictRow, ...]
    """Every finding of quality control; those of excluded studies only where the sites' tables are missing."""
    lesions: Mapping[Digest, Sequence[LesionRow]]
    """By run, for every run that has results."""
    weights: Mapping[Digest, Sha256]
    """By run, for every run with a trained model, from its card."""
    operating: tuple[OperatingRow, ...] = ()
    """Counts at every threshold; none of runs of versions that stored masks only."""
    histories: Mapping[Digest, Sequence[EpochRow]] = field(default_factory=dict)
    """By run, for every run that trained a network; none of runs of versions that kept no history."""
    imported: tuple[ModelCard, ...] = ()
    """Models that were imported and that a network of the plan started from, however far back."""


def read_evidence(store: Store, plan: Plan) -> Evidence:
    """Read it. Raises MissingObject if the store lacks the manifest or the split."""
    cohort = plan.spec.target.cohort
    manifest = read_document(store, keys.MANIFEST.build(cohort=cohort, digest=plan.manifest), Manifest)
    runs = [run.run_id for run in plan.runs if run.cell]
    parts = {run_id: keys.LESION_ROWS.build(experiment=plan.spec.name, run_id=run_id) for run_id in runs}
    there = set(store.list(keys.LESION_ROWS.prefix(experiment=plan.spec.name)))
    entries = ledger_entries(store, runs)
    attempts = {run_id: entries[run_id].attempt if run_id in entries else "" for run_id in runs}
    cards = {run_id: keys.RUN_CARD.of(attempts[run_id]).build(run_id=run_id) for run_id in runs}
    tested = [run_id for run_id in runs if parts[run_id] in there]
    lesions = read_parts(store, [parts[run_id] for run_id in tested], LesionRow)
    return Evidence(
        manifest=manifest,
        split=read_document(store, keys.SPLIT.build(cohort=cohort, digest=plan.split), Split),
        facts=manifest_facts(store, manifest),
        verdicts=manifest_verdicts(store, manifest) or _exclusions(manifest),
        lesions={run_id: tuple(own) for run_id, own in zip(tested, lesions, strict=True)},
        weights={run_id: sha for run_id, sha in at_once(partial(_weights, store), cards.items()) if sha},
        operating=tuple(as_planned(operating_rows(store, plan), plan)),
        histories=finished_histories(store, entries),
        imported=_imported(store, plan),
    )


def lesions_by_model(plan: Plan, evidence: Evidence) -> dict[Condition, list[LesionRow]]:
    """Return all lesions of every model that has results, models in the paper's order."""
    found: dict[Condition, list[LesionRow]] = defaultdict(list)
    for run in plan.runs:
        if run.cell and run.run_id in evidence.lesions:
            found[condition_of(run.cell)] += evidence.lesions[run.run_id]
    return {model: found[model] for model in conditions(run.cell for run in plan.runs if run.cell) if model in found}


def losses_by_model(plan: Plan, evidence: Evidence) -> dict[Condition, list[Sequence[EpochRow]]]:
    """Return the histories of every model's networks, models in the paper's order."""
    found: dict[Condition, list[Sequence[EpochRow]]] = defaultdict(list)
    for run in plan.runs:
        if run.cell and run.run_id in evidence.histories:
            found[condition_of(run.cell)].append(evidence.histories[run.run_id])
    return {model: found[model] for model in conditions(run.cell for run in plan.runs if run.cell) if model in found}


def _weights(store: Store, of_run: tuple[Digest, str]) -> tuple[Digest, Sha256 | None]:
    """The digest of a run's weights by its model card; None without a card."""
    run_id, card = of_run
    try:
        return run_id, read_document(store, card, ModelCard).weights_sha256
    except MissingObject:
        return run_id, None


def _imported(store: Store, plan: Plan) -> tuple[ModelCard, ...]:
    found: dict[Digest, ModelCard] = {}
    for parent in sorted({(run.parent.model.name, run.parent.model.version) for run in plan.runs if run.parent}):
        with suppress(InputError):  # its card is gone
            card = find_model(store, "@".join(parent))
            found |= {one.version: one for one in imported_ancestors(store, card)}
    return tuple(found.values())


def _exclusions(manifest: Manifest) -> tuple[VerdictRow, ...]:
    outside = (StudyVerdict(study=e.study, patient="", site="unknown", findings=e.findings) for e in manifest.excluded)
    return tuple(row for verdict in outside for row in verdict.rows())
