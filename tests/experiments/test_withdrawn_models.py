"""A withdrawn study marks every model that was trained on it, from the moment of withdrawal, and none is promoted."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from lesionlab.errors import AccessDenied, InputError
from lesionlab.experiments.champions import Person, promote, rollback
from lesionlab.experiments.lineage import lineage
from lesionlab.experiments.registry import champion, register
from lesionlab.experiments.withdrawal import execute, withdrawals
from lesionlab.experiments.withdrawn_models import withdrawn_from, withdrawn_text
from lesionlab.store.documents import write_document
from lesionlab.store.objects import Store, open_store
from storage_schemas import keys
from storage_schemas.models import ModelCard
from storage_schemas.parts import Withdrawal
from storage_schemas.runs import RunSpec
from tests.experiments.finished import finish_experiment

ANN = Person("ann@north", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))


@pytest.fixture
def store() -> Store:
    return open_store("memory://")


@pytest.fixture
def runs(store: Store) -> list[RunSpec]:
    return [run for run in finish_experiment(store).runs if run.cell and run.cell.training_size == 2]


@pytest.fixture
def cards(store: Store, runs: list[RunSpec]) -> list[ModelCard]:
    return [register(store, run.run_id, "ms") for run in runs]


def withdraw(store: Store, run: RunSpec) -> str:
    """The receipt that a site leaves when it withdraws the first study that a run was trained on."""
    gone = run.train[0]
    receipt = Withdrawal(site=gone.site, study=gone.study, volumes=(gone.volume,), at="2026-02-01T00:00:00+00:00")
    write_document(store, keys.WITHDRAWAL.build(site=gone.site, study=gone.study), receipt)
    return gone.study


def test_a_receipt_marks_the_models_that_were_trained_on_the_study_and_no_others(
    store: Store, runs: list[RunSpec], cards: list[ModelCard]
) -> None:
    assert [withdrawn_from(store, card) for card in cards] == [()] * len(cards)
    study = withdraw(store, runs[0])
    trained = [study in {entry.study for entry in run.train} for run in runs]
    assert [bool(withdrawn_from(store, card)) for card in cards] == trained
    assert sum(trained) < len(cards)
    assert withdrawn_text(cards[0], withdrawn_from(store, cards[0])) == (
        f"{cards[0].full_name} was trained on 1 study withdrawn since: {study}"
    )
    assert lineage(store, cards[0]).generations[0].withdrawn == (study,)


def test_who_may_read_the_receipts_and_not_list_the_sites_sees_them(
    store: Store, runs: list[RunSpec], cards: list[ModelCard], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the gate, which promotes: its rights name each site's folder withdrawn/, not the folder of the sites."""
    study = withdraw(store, runs[0])

    def refused(self: Store, prefix: str) -> list[str]:
        raise AccessDenied(prefix)

    monkeypatch.setattr(Store, "folders", refused)
    assert study in withdrawn_from(store, cards[0])
    with pytest.raises(InputError, match=f"withdrawn since: {study}"):
        promote(store, cards[0].full_name, "better", ANN)


def test_the_stewards_mark_stays_when_the_receipt_cannot_be_read(
    store: Store, runs: list[RunSpec], cards: list[ModelCard]
) -> None:
    study = withdraw(store, runs[0])
    execute(store, withdrawals(store))
    assert withdrawn_from(store, cards[0], volumes=frozenset()) == (study,)
    tested = next(
        (card for card, run in zip(cards, runs, strict=True) if study in {entry.study for entry in run.test}), None
    )
    assert tested is not None
    assert withdrawn_from(store, tested, volumes=frozenset()) == (), "tested with it is not trained on it"


def test_such_a_model_is_not_promoted_and_can_be_taken_out_of_use(
    store: Store, runs: list[RunSpec], cards: list[ModelCard]
) -> None:
    study = withdraw(store, runs[0])
    with pytest.raises(InputError, match=f"withdrawn since: {study}; train a version without them"):
        promote(store, cards[0].full_name, "first", ANN)
    store.delete(keys.WITHDRAWAL.build(site=runs[0].train[0].site, study=study))
    clean = next(card for card, run in zip(cards, runs, strict=True) if study not in {e.study for e in run.train})
    promote(store, clean.full_name, "first", ANN)
    promote(store, cards[0].full_name, "second", ANN)
    withdraw(store, runs[0])
    rollback(store, "ms", "a study was withdrawn", ANN)
    assert champion(store, "ms") == clean.version
