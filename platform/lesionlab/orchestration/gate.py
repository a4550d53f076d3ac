"""Look at a candidate through the gate: a ticket first, then both models' rows on the benchmark, then the rule.

Here evaluation and analysis meet. All that a look writes lies under `benchmarks/results/`, which only those need to
read who decide.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from hashlib import sha256
from pathlib import Path

from lesionlab.analysis.statistics.gate import judge
from lesionlab.errors import DamagedObject, InputError, MissingObject, ObjectExists
from lesionlab.evaluation.registered_network import registered_network
from lesionlab.evaluation.study import evaluate_study
from lesionlab.experiments.benchmarks import Frozen, find_benchmark, volume_place
from lesionlab.experiments.caches.volumes import CachedVolume, open_cached
from lesionlab.experiments.champions import Person, decision_in_force
from lesionlab.experiments.earned import refuse_unearned
from lesionlab.experiments.patient_register import PatientRegister
from lesionlab.experiments.planning import testing_run
from lesionlab.experiments.registry import champion, find_model, source_model
from lesionlab.experiments.rules import find_rule
from lesionlab.experiments.seen import seen_in_training
from lesionlab.experiments.site_policies import refuse_forbidden
from lesionlab.experiments.tickets import take_ticket, tickets
from lesionlab.experiments.withdrawn_models import refuse_withdrawn_studies, withdrawn_among
from lesionlab.model.devices import best_device
from lesionlab.orchestration.self_grading import benchmark_grades
from lesionlab.store.documents import create_document
from lesionlab.store.objects import Store
from lesionlab.store.tables import read_rows, write_rows
from storage_schemas import keys
from storage_schemas.base import Digest, Sha256, StudyId
from storage_schemas.benchmarks import Ticket
from storage_schemas.grading import InsertedLesion
from storage_schemas.manifests import ManifestEntry
from storage_schemas.models import ModelCard
from storage_schemas.results import StudyRow
from storage_schemas.rules import Detects, GateOutcome, Rule


@dataclass(frozen=True)
class GateRows:
    """A model's rows on a benchmark, and the sha256 of the object that holds them."""

    rows: tuple[StudyRow, ...]
    sha256: Sha256


def look(store: Store, rule: Rule, candidate: ModelCard, person: Person, cache: Path) -> GateOutcome:
    """What the rule finds about a candidate. The same candidate again reads its ticket and spends nothing.

    Raises InputError if there is no champion to compare with, if the candidate was trained on the benchmark or nobody
    can tell, if a site's policy forbids it, or if no look is left; DamagedObject if what an earlier look left was
    altered, or if the champion was not put into use by a decision.
    """
    frozen = find_benchmark(store, rule.benchmark)
    current = champion(store, rule.model)
    if candidate.name != rule.model:
        raise InputError(f"rule {rule.id} is about {rule.model}, not about {candidate.full_name}")
    if current is None or current == candidate.version:
        found = "none" if current is None else "the candidate itself"
        raise InputError(f"model {rule.model}: wanted a champion to compare {candidate.version} with, found {found}")
    refuse_unearned(store, rule.model)
    in_force = decision_in_force(store, rule.model)
    refuse_if_seen(store, frozen, candidate)
    refuse_if_forbidden(store, frozen, candidate)
    before = benchmark_rows(store, frozen, find_model(store, f"{rule.model}@{current}"), cache)
    ticket = take_ticket(store, rule, candidate, current, person, in_force.id if in_force else None)
    now = benchmark_rows(store, frozen, candidate, cache)
    if needs_grades(rule):
        benchmark_grades(store, frozen, candidate, cache)
    outcome = _outcome(store, rule, ticket, before, now)
    key = _outcome_key(ticket)
    try:
        create_document(store, key, outcome)
    except ObjectExists as error:
        raise _altered(store, ticket) from error
    return outcome


def verify(store: Store, outcome: GateOutcome, rule_of: str) -> tuple[StudyId, ...]:
    """Check that a look's rule, ticket and rows are what the outcome was computed from, and that they give it again.

    Returns the studies of the benchmark that were withdrawn since and are gone from the rows: with them the outcome
    cannot be computed again, and nobody can tell whether the other rows are those of the look. Empty: all is as it was.
    Raises DamagedObject or MissingObject that names what differs.
    """
    rule = find_rule(store, f"{rule_of}@{outcome.rule}")
    ticket = next((t for t in tickets(store, rule.benchmark) if t.number == outcome.ticket), None)
    if ticket is None or ticket.rule != rule.id:
        raise MissingObject(f"{store.uri}: ticket {outcome.ticket} of benchmark {rule.benchmark} by rule {rule.id}")
    before, now = (stored_rows(store, rule.benchmark, version) for version in (ticket.champion, ticket.candidate))
    with suppress(InputError):  # the two tables do not have the same studies
        if _outcome(store, rule, ticket, before, now) == outcome:
            return ()
    if (ticket.candidate, ticket.champion, rule.level) == (outcome.candidate, outcome.champion, outcome.level):
        tested = {row.study for row in before.rows} & {row.study for row in now.rows}
        held = find_benchmark(store, rule.benchmark).manifest.studies
        lacking = [entry for entry in held if entry.study not in tested]
        gone = withdrawn_among(store, lacking)
        if lacking and len(gone) == len(lacking):
            return gone
    raise _altered(store, ticket)


def _altered(store: Store, ticket: Ticket) -> DamagedObject:
    return DamagedObject(
        f"{store.uri}: look {ticket.number} at benchmark {ticket.benchmark}",
        "its rows, rule or ticket are not those that the decision rests on",
    )


def refuse_if_seen(store: Store, frozen: Frozen, card: ModelCard) -> None:
    """Raise InputError if a model, or an ancestor, was trained on a study of the benchmark, or if nobody can tell."""
    model, marked = source_model(store, card), PatientRegister(store).marked
    held = {
        study: f"{how} in cohort {run.cohort}"
        for run in model.made_by
        for study, how in frozen.held(run.train, run.cohort, marked=marked).items()
    }
    seen = seen_in_training(frozen.manifest, model, marked=marked)
    if found := dict(seen.reasons) | held:
        told = "; ".join(f"{study}: {how}" for study, how in sorted(found.items()))
        raise InputError(f"model {card.full_name} was trained on studies of benchmark {frozen.name}: {told}")
    if not seen.whole:
        raise InputError(
            f"model {card.full_name}: the store does not have all runs that trained it, so nobody can tell whether it "
            f"was trained on benchmark {frozen.name}"
        )


def refuse_if_forbidden(store: Store, frozen: Frozen, card: ModelCard, on: date | None = None) -> None:
    """Raise InputError that names each site whose policy forbids, by now or on a date, testing the model on its
    studies, or each study of the benchmark that was withdrawn."""
    advice = f"benchmark {frozen.name} cannot be looked at; freeze another one"
    refuse_forbidden(store, (testing_run(card, frozen.manifest),), advice, on)
    refuse_withdrawn_studies(store, frozen.manifest.studies, advice)


def benchmark_rows(store: Store, frozen: Frozen, card: ModelCard, cache: Path) -> GateRows:
    """A model's rows on a benchmark: the stored ones, or those of testing it now. No prediction is stored."""
    key = keys.GATE_ROWS.build(benchmark=frozen.benchmark.id, version=card.version)
    if not store.exists(key):
        refuse_if_forbidden(store, frozen, card)
        network, _ = registered_network(store, card.full_name)
        run = testing_run(card, frozen.manifest).changed(metric=frozen.benchmark.metric)
        rows = [
            evaluate_study(run, network, _opened(store, entry, cache), entry, place, best_device()).row
            for place, entry in enumerate(run.test, start=1)
        ]
        # Without wall times, so that testing again on the same kind of device gives the same bytes.
        write_rows(store, key, [row.model_copy(update={"inference_s": 0.0}) for row in rows], StudyRow)
    return stored_rows(store, frozen.benchmark.id, card.version)


def _opened(store: Store, entry: ManifestEntry, cache: Path) -> CachedVolume:
    return open_cached(store, entry, cache, volume_place(store, entry))


def stored_rows(store: Store, benchmark: Digest, version: Digest) -> GateRows:
    """The stored rows of a model on a benchmark. Raises MissingObject, or DamagedObject if they were altered."""
    key = keys.GATE_ROWS.build(benchmark=benchmark, version=version)
    return GateRows(tuple(read_rows(store, [key], StudyRow)), sha256(store.get(key)).hexdigest())


def needs_grades(rule: Rule) -> bool:
    """Whether a condition of the rule is about inserted lesions."""
    return any(isinstance(condition, Detects) for condition in rule.conditions)


def _outcome(store: Store, rule: Rule, ticket: Ticket, before: GateRows, now: GateRows) -> GateOutcome:
    graded = keys.GATE_GRADES.build(benchmark=rule.benchmark, version=ticket.candidate) if needs_grades(rule) else None
    outcome = GateOutcome(
        rule=rule.id,
        ticket=ticket.number,
        candidate=ticket.candidate,
        champion=ticket.champion,
        level=rule.level,
        conditions=judge(rule, before.rows, now.rows, read_rows(store, [graded], InsertedLesion) if graded else ()),
        champion_rows=before.sha256,
        candidate_rows=now.sha256,
        candidate_grades=sha256(store.get(graded)).hexdigest() if graded else None,
    )
    # As it is read back: every field counts as written, so the same outcome is the same document.
    return GateOutcome.model_validate(outcome.model_dump(mode="json"))


def _outcome_key(ticket: Ticket) -> str:
    return keys.GATE_OUTCOME.build(benchmark=ticket.benchmark, number=f"{ticket.number:04d}")
