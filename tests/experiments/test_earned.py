"""Whoever holds a trainer's key can write decisions and the champion's pointer, and is found out by the looks."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lesionlab.errors import DamagedObject, LesionlabError
from lesionlab.experiments.champions import decision_in_force, newest_decision, promote, rollback
from lesionlab.experiments.earned import refuse_unearned
from lesionlab.experiments.tickets import take_ticket
from lesionlab.store.documents import write_document
from lesionlab.store.objects import Store, open_store
from storage_schemas import keys
from storage_schemas.decisions import Champion, Decision
from storage_schemas.rules import GateOutcome, Rule
from tests.experiments.test_champions import ANN, FIRST, SECOND, THIRD, card_of, registered

RULE = Rule.named(model="ms", benchmark="b" * 16, conditions=[{"kind": "superior", "metric": "ppv"}])
POINTER = keys.CHAMPION.build(name="ms")


def looked(store: Store, candidate: str, champion: str) -> GateOutcome:
    """Take a ticket for a candidate; the outcome says that it passed."""
    in_force = decision_in_force(store, "ms")
    assert in_force
    ticket = take_ticket(store, RULE, card_of(candidate), champion, ANN, in_force.id)
    passed = {"condition": RULE.conditions[0], "passed": True, "patients": 3}
    return GateOutcome(
        rule=RULE.id,
        ticket=ticket.number,
        candidate=candidate,
        champion=champion,
        level=RULE.level,
        conditions=[passed],
        champion_rows="0" * 64,
        candidate_rows="0" * 64,
    )


@pytest.fixture
def store() -> Store:
    """FIRST by hand, then SECOND by a look; a look at THIRD did not pass."""
    place = open_store("memory://")
    registered(place, FIRST, SECOND, THIRD)
    promote(place, f"ms@{FIRST}", "first", ANN)
    promote(place, f"ms@{SECOND}", "by rule", ANN, looked(place, SECOND, FIRST))
    looked(place, THIRD, SECOND)
    return place


def test_what_the_platform_decided_is_earned_rollbacks_too(store: Store) -> None:
    refuse_unearned(store, "ms")
    for _ in range(3):
        rollback(store, "ms", "misses small lesions", ANN)
        refuse_unearned(store, "ms")


def test_decisions_by_hand_before_the_first_look_are_earned() -> None:
    store = open_store("memory://")
    registered(store, FIRST, SECOND)
    for version in (FIRST, SECOND, FIRST):
        promote(store, f"ms@{version}", "no rule yet", ANN)
    looked(store, SECOND, FIRST)
    refuse_unearned(store, "ms")


def forge(store: Store, **changes: object) -> Decision:
    """A further decision with a pointer to it, as a trainer's key can write them."""
    last = newest_decision(store, "ms")
    fields = {"number": last.number + 1, "before": last.id, "replaced": last.champion, "gate": None} | changes
    made = last.changed(**fields)
    write_document(store, keys.DECISION.build(name="ms", digest=made.id), made)
    write_document(store, POINTER, Champion(target=made.champion, decision=made.id))
    return made


def by_hand(store: Store) -> None:
    forge(store, champion=THIRD, weights_sha256=THIRD * 4)


def by_a_look_that_nobody_took(store: Store) -> None:
    gate = newest_decision(store, "ms").gate
    assert gate
    forge(store, champion=FIRST, weights_sha256=FIRST * 4, gate=gate.model_copy(update={"candidate": FIRST}))


def by_a_rollback_to_what_was_never_in_use(store: Store) -> None:
    forge(store, kind="rollback", champion=THIRD, weights_sha256=THIRD * 4)


def by_hand_and_back_twice(store: Store) -> None:
    by_hand(store)
    rollback(store, "ms", "hide it", ANN)
    rollback(store, "ms", "and use it", ANN)


def with_a_history_of_its_own(store: Store) -> None:
    for key in store.list("models/ms/history/"):
        store.delete(key)
    store.delete(POINTER)
    promote(store, f"ms@{THIRD}", "always was", ANN)


def with_other_weights(store: Store) -> None:
    card = card_of(SECOND).model_copy(update={"weights_sha256": THIRD * 4})
    write_document(store, keys.MODEL_CARD.build(name="ms", version=SECOND), card)


def by_the_pointer_alone(store: Store) -> None:
    write_document(store, POINTER, Champion(target=THIRD, decision=newest_decision(store, "ms").id))


def by_a_pointer_without_decision(store: Store) -> None:
    write_document(store, POINTER, Champion(target=THIRD))


def by_removing_the_pointer(store: Store) -> None:
    store.delete(POINTER)


FORGED = {
    by_hand: "decision 3 is by hand, after a look was taken",
    by_a_look_that_nobody_took: "decision 3 names look 1, which nobody took at this candidate",
    by_a_rollback_to_what_was_never_in_use: f"decision 3 rolls back to {THIRD}, but {FIRST} was in use before",
    by_hand_and_back_twice: "decision 3 is by hand, after a look was taken",
    with_a_history_of_its_own: "in force at look 1, is gone from the history",
    with_other_weights: f"ms@{SECOND} has other weights than those that decision 2 put into use",
    by_the_pointer_alone: f"it names version {THIRD}, but decision 2 put {SECOND} into use",
    by_a_pointer_without_decision: "wanted the decision in force, found none, but 1 in models/ms/history/",
    by_removing_the_pointer: "fsck --repair restores a pointer that was lost",
}


@pytest.mark.parametrize("forged", FORGED, ids=lambda forged: forged.__name__)
def test_a_champion_that_was_forged_is_found(store: Store, forged: Callable[[Store], None]) -> None:
    forged(store)
    with pytest.raises(LesionlabError) as found:
        refuse_unearned(store, "ms")
    assert FORGED[forged] in str(found.value)


def test_a_forged_pointer_is_told_to_whoever_uses_the_model(store: Store) -> None:
    by_the_pointer_alone(store)
    uses = (
        lambda: decision_in_force(store, "ms"),
        lambda: promote(store, f"ms@{FIRST}", "again", ANN),
        lambda: rollback(store, "ms", "no", ANN),
    )
    for use in uses:
        with pytest.raises(DamagedObject, match=f"it names version {THIRD}, but decision 2 put {SECOND} into use"):
            use()
