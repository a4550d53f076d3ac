"""Read what the decision page of a model shows: decisions, rules, looks, power, lineage, drift, self-gradings.

Scores of candidates that were not promoted are not read: below the gate there is pass or fail alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from lesionlab.analysis.statistics.detection import SelfGrading, self_grading
from lesionlab.analysis.statistics.rule_power import Chance, chance_when_equal
from lesionlab.errors import AccessDenied, InputError, MissingObject
from lesionlab.experiments.benchmarks import Frozen, find_benchmark
from lesionlab.experiments.champions import decisions
from lesionlab.experiments.lineage import Lineage, lineage
from lesionlab.experiments.registry import champion, find_model, models
from lesionlab.experiments.retraining import decisions_by
from lesionlab.experiments.rules import rules_of
from lesionlab.experiments.tickets import tickets
from lesionlab.store.documents import read_document
from lesionlab.store.objects import Store
from lesionlab.store.tables import read_rows
from storage_schemas import keys
from storage_schemas.base import Digest, Slug
from storage_schemas.benchmarks import Ticket
from storage_schemas.decisions import Decision
from storage_schemas.experiments import Plan
from storage_schemas.grading import InsertedLesion
from storage_schemas.models import ModelCard
from storage_schemas.results import StudyRow
from storage_schemas.retraining import RetrainDecision
from storage_schemas.rules import Detects, GateOutcome, Rule


@dataclass(frozen=True)
class Look:
    """One look that was taken, and whether each condition passed; None: it was not finished."""

    ticket: Ticket
    passed: tuple[bool, ...] | None


@dataclass(frozen=True)
class RuleEvidence:
    """A rule, the looks that were taken by it, and the chance of an equal candidate."""

    rule: Rule
    frozen: Frozen
    looks: tuple[Look, ...] | None
    """None: the reader's role may not see the looks."""
    spent: float
    """Level that all looks at the benchmark have spent, whoever took them."""
    chance: Chance | None
    """None: the champion was not tested on the benchmark yet, or its rows may not be read."""
    retraining: RetrainDecision | None
    """The newest scheduled decision."""
    compared: RetrainDecision | None
    """The newest one for which studies were compared."""

    @property
    def studies(self) -> int:
        """Of the benchmark."""
        return len(self.frozen.manifest.studies)

    @property
    def patients(self) -> int:
        """Of the benchmark."""
        return len({(entry.site, entry.patient) for entry in self.frozen.manifest.studies})


@dataclass(frozen=True)
class ModelEvidence:
    """All that the store says about the use of one model name."""

    name: Slug
    decisions: tuple[Decision, ...]
    """Newest first."""
    rules: tuple[RuleEvidence, ...]
    lineage: Lineage | None
    """Of the version in use; None: none is."""
    gradings: tuple[SelfGrading, ...]
    """Of all its versions, sorted by version and manifest."""


def models_of(store: Store, plan: Plan) -> tuple[ModelEvidence, ...]:
    """The models of an experiment about which something was decided, declared or graded, sorted by name.

    They are those that its runs trained, those that its runs started from, and those that a rule retrains by it.
    """
    runs = {run.run_id for run in plan.runs}
    cards = models(store)
    names = {run.parent.model.name for run in plan.runs if run.parent}
    names |= {card.name for card in cards if runs & {card.version, *card.members}}
    ruled = {values["name"] for key in store.list(keys.RULE.prefix()) if (values := keys.RULE.parse(key))}
    names |= {name for name in ruled if any(_retrains(rule, plan) for rule in rules_of(store, name))}
    found = (_evidence(store, name, [card for card in cards if card.name == name]) for name in sorted(names))
    return tuple(one for one in found if one.decisions or one.rules or one.gradings)


def _retrains(rule: Rule, plan: Plan) -> bool:
    return rule.retraining is not None and rule.retraining.experiment == plan.spec.name


def _evidence(store: Store, name: Slug, cards: list[ModelCard]) -> ModelEvidence:
    version = champion(store, name)
    return ModelEvidence(
        name=name,
        decisions=tuple(decisions(store, name)),
        rules=tuple(_rule(store, rule, version) for rule in rules_of(store, name)),
        lineage=lineage(store, find_model(store, f"{name}@{version}")) if version else None,
        gradings=tuple(grading for card in cards for grading in _gradings(store, card)),
    )


def _gradings(store: Store, card: ModelCard) -> Iterator[SelfGrading]:
    for key in store.list(keys.SELF_GRADE.prefix(name=card.name, version=card.version)):
        if keys.SELF_GRADE.parse(key) and (rows := read_rows(store, [key], InsertedLesion)):
            yield self_grading(rows)


def _rule(store: Store, rule: Rule, version: Digest | None) -> RuleEvidence:
    taken: list[Ticket] = []
    looks: tuple[Look, ...] | None = None
    chance = None
    with suppress(AccessDenied):
        taken = tickets(store, rule.benchmark)
        looks = tuple(Look(ticket, _passed(store, ticket)) for ticket in taken if ticket.rule == rule.id)
        chance = _chance(store, rule, version) if version else None
    scheduled = decisions_by(store, rule)
    return RuleEvidence(
        rule=rule,
        frozen=find_benchmark(store, rule.benchmark),
        looks=looks,
        spent=sum(ticket.spent for ticket in taken),
        chance=chance,
        retraining=scheduled[-1] if scheduled else None,
        compared=next((made for made in reversed(scheduled) if made.shifts), None),
    )


def _passed(store: Store, ticket: Ticket) -> tuple[bool, ...] | None:
    key = keys.GATE_OUTCOME.build(benchmark=ticket.benchmark, number=f"{ticket.number:04d}")
    try:
        return tuple(found.passed for found in read_document(store, key, GateOutcome).conditions)
    except MissingObject:
        return None


def _chance(store: Store, rule: Rule, version: Digest) -> Chance | None:
    rows = keys.GATE_ROWS.build(benchmark=rule.benchmark, version=version)
    grades = keys.GATE_GRADES.build(benchmark=rule.benchmark, version=version)
    inserted = any(isinstance(condition, Detects) for condition in rule.conditions)
    try:
        return chance_when_equal(
            rule,
            read_rows(store, [rows], StudyRow),
            grades=read_rows(store, [grades], InsertedLesion) if inserted else (),
        )
    except (MissingObject, InputError):
        return None
