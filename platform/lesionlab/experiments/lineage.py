"""Gather what a registered model came from: its training runs, the models before it, and the decisions about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from lesionlab.errors import InputError
from lesionlab.experiments.champions import decisions
from lesionlab.experiments.ledger import ledger_entries, ledger_entry
from lesionlab.experiments.registry import find_model, source_model
from lesionlab.experiments.withdrawn_models import withdrawn_from
from lesionlab.store.documents import read_document
from lesionlab.store.objects import Store
from lesionlab.store.tables import read_rows
from storage_schemas import keys
from storage_schemas.base import Digest, StudyId
from storage_schemas.decisions import Decision
from storage_schemas.models import ModelCard, TensorTransfer
from storage_schemas.results import LedgerEntry
from storage_schemas.runs import RunSpec


@dataclass(frozen=True)
class Training:
    """One run that trained a network of a model."""

    run: RunSpec
    entry: LedgerEntry | None
    """None: the store has no ledger entry of it."""

    @property
    def patients(self) -> int:
        return len({(entry.site, entry.patient) for entry in self.run.train})

    @property
    def withdrawn(self) -> tuple[StudyId, ...]:
        """The training studies that were withdrawn since."""
        gone = {*self.entry.withdrawn} if self.entry else set()
        return tuple(own.study for own in self.run.train if own.study in gone)

    @property
    def studies_by_site(self) -> Mapping[str, int]:
        """Number of training studies of each site, sorted by site."""
        return dict(sorted(Counter(entry.site for entry in self.run.train).items()))


@dataclass(frozen=True)
class Generation:
    """One model of a lineage."""

    card: ModelCard
    trainings: tuple[Training, ...]
    missing: tuple[Digest, ...]
    """Runs that trained it and that the store lacks: what they were trained on is unknown."""
    tensors: Mapping[str, int]
    """Number of tensors by their origin in the weight-transfer report: source, adapted, random; empty: no report."""
    decisions: tuple[Decision, ...]
    """Those that put it into use, oldest first."""
    withdrawn: tuple[StudyId, ...] = ()
    """Studies that it, or a model before it, was trained on and that were withdrawn since."""


@dataclass(frozen=True)
class Lineage:
    """A model, the one that it was fine-tuned from, and so on."""

    generations: tuple[Generation, ...]
    unknown: str = ""
    """`name@version` of the first ancestor that the store lacks; empty: it has all of them."""

    @property
    def whole(self) -> bool:
        """Whether it is known what every generation was trained on."""
        return not self.unknown and not any(generation.missing for generation in self.generations)


def declared_text(card: ModelCard) -> str:
    """What is declared about an imported model, in one sentence; empty if a run of the platform trained it."""
    if card.declared is None:
        return ""
    named = len(card.declared.patients)
    patients = f" of {named} named patient{'' if named == 1 else 's'}" if named else ""
    return (
        f"{card.full_name} was imported ({card.declared.origin}): trained on "
        f"{card.training_studies or 'an unknown number of'} studies{patients} of {card.cohort}, started from "
        f"{card.started_from}. Nobody here can check this, so leakage cannot be excluded."
    )


def imported_ancestors(store: Store, card: ModelCard) -> tuple[ModelCard, ...]:
    """The imported models that a registered model came from, itself included."""
    return source_model(store, card).imported


def lineage(store: Store, card: ModelCard) -> Lineage:
    """The lineage of a registered model, as far as the store has it."""
    generations: list[Generation] = []
    at: ModelCard | None = card
    while at is not None:
        generations.append(_generation(store, at))
        parent = at.parent
        try:
            at = find_model(store, f"{parent.name}@{parent.version}") if parent else None
        except InputError:
            return Lineage(tuple(generations), f"{parent.name}@{parent.version}" if parent else "")
    return Lineage(tuple(generations))


def withdrawn_studies(store: Store, card: ModelCard) -> tuple[StudyId, ...]:
    """The studies that a model, or one that it started from, was trained on and that were withdrawn since, sorted."""
    found: set[StudyId] = set()
    at: ModelCard | None = card
    while at is not None:
        for run_id in at.members or (at.version,):
            entry = ledger_entry(store, run_id)
            if entry is not None and entry.withdrawn:
                trained = {own.study for _, run in _runs(store, (run_id,)) for own in run.train}
                found |= trained & {*entry.withdrawn}
        parent = at.parent
        try:
            at = find_model(store, f"{parent.name}@{parent.version}") if parent else None
        except InputError:
            break
    return tuple(sorted(found))


def _generation(store: Store, card: ModelCard) -> Generation:
    trained_by = card.members or (card.version,)
    entries = ledger_entries(store, trained_by)
    runs = dict(_runs(store, trained_by))
    return Generation(
        card,
        tuple(Training(run, entries.get(run_id)) for run_id, run in runs.items()),
        tuple(run_id for run_id in trained_by if run_id not in runs),
        _tensors(store, card),
        tuple(found for found in decisions(store, card.name) if found.champion == card.version)[::-1],
        withdrawn_from(store, card),
    )


def _runs(store: Store, run_ids: tuple[Digest, ...]) -> Iterator[tuple[Digest, RunSpec]]:
    for run_id in run_ids:
        if store.exists(key := keys.RUN_SPEC.build(run_id=run_id)):
            yield run_id, read_document(store, key, RunSpec)


def _tensors(store: Store, card: ModelCard) -> Mapping[str, int]:
    key = keys.MODEL_TRANSFER.build(name=card.name, version=card.version)
    rows = read_rows(store, [key], TensorTransfer) if store.exists(key) else []
    return dict(Counter(row.origin for row in rows))
