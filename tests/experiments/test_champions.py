"""Registered versions are candidates; decisions put one into use, in one chain, and none of them is lost."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from lesionlab.errors import Conflict, DamagedObject, InputError, LesionlabError, MissingObject
from lesionlab.experiments import champions
from lesionlab.experiments.champions import Person, decision_in_force, decisions, newest_decision, promote, rollback
from lesionlab.experiments.registry import champion, find_model
from lesionlab.experiments.rules import declare, find_rule
from lesionlab.store.documents import create_document, move_pointer, write_document
from lesionlab.store.objects import Store, open_store
from storage_schemas import keys
from storage_schemas.decisions import Champion, Decision
from storage_schemas.models import Architecture, InferenceConfig, ModelCard
from storage_schemas.rules import GateOutcome, Rule
from storage_schemas.tasks import TASKS

ANN = Person("ann@north", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
BOB = Person("bob@south", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
FIRST, SECOND, THIRD = (f"{number:016x}" for number in (1, 2, 3))


def card_of(version: str) -> ModelCard:
    return ModelCard(
        name="ms",
        version=version,
        task=TASKS["flair-single"],
        architecture=Architecture(depth=1),
        channels=("flair",),
        spacing_mm=1.0,
        patch_voxels=16,
        inference=InferenceConfig(),
        weights_sha256=version * 4,
        cohort="ms",
        training_studies=4,
    )


def registered(store: Store, *versions: str) -> None:
    for version in versions:
        create_document(store, keys.MODEL_CARD.build(name="ms", version=version), card_of(version))


@pytest.fixture
def store() -> Store:
    """Three candidates, none of them in use."""
    place = open_store("memory://")
    registered(place, FIRST, SECOND, THIRD)
    return place


def numbers(store: Store) -> list[int]:
    return [decision.number for decision in decisions(store, "ms")][::-1]


def test_only_a_promotion_puts_a_version_into_use(store: Store) -> None:
    assert champion(store, "ms") is None
    decision = promote(store, f"ms@{FIRST}", "first model", ANN)
    assert find_model(store, "ms").version == FIRST
    assert decision_in_force(store, "ms") == decision
    assert (decision.number, decision.kind, decision.replaced, decision.by) == (1, "promotion", None, "ann@north")
    assert (decision.reason, decision.at) == ("first model", "2026-01-02T03:04:05+00:00")


def test_a_rollback_puts_back_what_was_replaced_and_can_itself_be_undone(store: Store) -> None:
    for version in (FIRST, SECOND):
        promote(store, f"ms@{version}", "better", ANN)
    used = []
    for _ in range(3):
        rollback(store, "ms", "misses small lesions", BOB)
        used.append(champion(store, "ms"))
    assert used == [FIRST, SECOND, FIRST]
    assert numbers(store) == [1, 2, 3, 4, 5]
    assert [decision.kind for decision in decisions(store, "ms")] == ["rollback"] * 3 + ["promotion"] * 2


def test_there_is_nothing_to_roll_back_to_before_the_first_version(store: Store) -> None:
    with pytest.raises(InputError, match="found none: nobody decided anything yet"):
        rollback(store, "ms", "no", ANN)
    promote(store, f"ms@{FIRST}", "first", ANN)
    with pytest.raises(InputError, match="decision 1 put the first version into use"):
        rollback(store, "ms", "no", ANN)
    assert champion(store, "ms") == FIRST


@pytest.mark.parametrize(
    ("model", "wanted"),
    [
        ("ms", "found no version; lesionlab models lists them"),
        (f"ms@{'f' * 16}", "is not registered"),
        (f"ms@{FIRST}", "is the champion already"),
    ],
    ids=["no version", "unknown", "in use"],
)
def test_what_cannot_be_promoted_is_refused_and_leaves_nothing(store: Store, model: str, wanted: str) -> None:
    promote(store, f"ms@{FIRST}", "first", ANN)
    before = store.list("")
    with pytest.raises(InputError, match=wanted):
        promote(store, model, "again", ANN)
    assert store.list("") == before


def test_of_many_who_decide_at_once_the_history_has_those_that_succeeded_without_a_gap(store: Store) -> None:
    def attempt(number: int) -> Decision | None:
        try:
            return promote(store, f"ms@{(FIRST, SECOND, THIRD)[number % 3]}", f"attempt {number}", ANN)
        except LesionlabError:
            return None

    with ThreadPoolExecutor(8) as pool:
        made = [decision for decision in pool.map(attempt, range(40)) if decision]
    assert numbers(store) == list(range(1, len(made) + 1))
    assert {decision.id for decision in decisions(store, "ms")} == {decision.id for decision in made}


def meanwhile(store: Store, monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Let somebody else act between the reading of the pointer and its next write."""
    replace, create = store.replace, store.create

    def late(write: Callable[..., str]) -> Callable[..., str]:
        def written(key: str, *arguments: object) -> str:
            if key == keys.CHAMPION.build(name="ms"):
                monkeypatch.undo()
                act()
            return write(key, *arguments)

        return written

    monkeypatch.setattr(store, "replace", late(replace))
    monkeypatch.setattr(store, "create", late(create))


@pytest.mark.parametrize("in_use", [False, True], ids=["no champion", "a champion"])
def test_of_two_promoters_one_wins_and_the_other_is_told(
    store: Store, monkeypatch: pytest.MonkeyPatch, in_use: bool
) -> None:
    if in_use:
        promote(store, f"ms@{FIRST}", "first", ANN)
    meanwhile(store, monkeypatch, lambda: promote(store, f"ms@{SECOND}", "mine is better", BOB))
    with pytest.raises(Conflict, match="somebody else decided about ms at the same time"):
        promote(store, f"ms@{THIRD}", "mine is better", ANN)
    assert champion(store, "ms") == SECOND
    assert numbers(store) == [1, 2] if in_use else [1]


def test_a_rollback_undoes_the_decision_that_it_saw_or_none(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for version in (FIRST, SECOND):
        promote(store, f"ms@{version}", "better", ANN)
    meanwhile(store, monkeypatch, lambda: promote(store, f"ms@{THIRD}", "mine is better", BOB))
    with pytest.raises(Conflict):
        rollback(store, "ms", "no", ANN)
    assert champion(store, "ms") == THIRD


def test_a_rollback_of_a_decision_that_another_one_followed_meanwhile_is_refused(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the reading of the decisions and that of the pointer, which would be moved without a conflict."""
    for version in (FIRST, SECOND):
        promote(store, f"ms@{version}", "better", ANN)

    def late(place: Store, model: str) -> ModelCard:
        monkeypatch.undo()
        promote(store, f"ms@{THIRD}", "mine is better", BOB)
        return find_model(place, model)

    monkeypatch.setattr(champions, "find_model", late)
    with pytest.raises(Conflict):
        rollback(store, "ms", "no", ANN)
    assert champion(store, "ms") == THIRD


def test_an_altered_or_missing_decision_is_found(store: Store) -> None:
    first = promote(store, f"ms@{FIRST}", "first", ANN)
    promote(store, f"ms@{SECOND}", "second", ANN)
    key = keys.DECISION.build(name="ms", digest=first.id)
    write_document(store, key, first.model_copy(update={"reason": "another one"}))
    with pytest.raises(DamagedObject, match=first.id):
        list(decisions(store, "ms"))
    store.delete(key)
    with pytest.raises(MissingObject):
        list(decisions(store, "ms"))


def test_the_decisions_of_another_model_are_no_history(store: Store) -> None:
    first = promote(store, f"ms@{FIRST}", "first", ANN)
    alien = first.changed(model="other")
    write_document(store, keys.DECISION.build(name="ms", digest=alien.id), alien)
    second = first.changed(number=2, before=alien.id, champion=SECOND)
    write_document(store, keys.DECISION.build(name="ms", digest=second.id), second)
    pointer = {"target": SECOND, "decision": second.id}
    write_document(store, keys.CHAMPION.build(name="ms"), Champion(**pointer))
    with pytest.raises(MissingObject, match="wanted decision 1 about ms, found decision 1 about other"):
        list(decisions(store, "ms"))


@pytest.mark.parametrize("lacks", ["the middle", "the beginning"])
def test_a_history_with_a_gap_is_no_history(store: Store, lacks: str) -> None:
    first = promote(store, f"ms@{FIRST}", "first", ANN)
    begins = lacks == "the beginning"
    forged = first.changed(number=2 if begins else 3, before=None if begins else first.id, champion=SECOND)
    write_document(store, keys.DECISION.build(name="ms", digest=forged.id), forged)
    write_document(store, keys.CHAMPION.build(name="ms"), Champion(target=SECOND, decision=forged.id))
    with pytest.raises(MissingObject, match="wanted decision 1 about" if begins else "wanted decision 2 about"):
        list(decisions(store, "ms"))


def test_a_champion_of_an_earlier_version_has_no_decision_until_the_next_one(store: Store) -> None:
    move_pointer(store, keys.CHAMPION.build(name="ms"), FIRST)
    assert (find_model(store, "ms").version, decision_in_force(store, "ms")) == (FIRST, None)
    decision = promote(store, f"ms@{SECOND}", "better", ANN)
    assert (decision.number, decision.replaced) == (1, FIRST)
    rollback(store, "ms", "no", ANN)
    assert champion(store, "ms") == FIRST


@pytest.mark.parametrize("step", ["create_named", "_move"])
def test_a_process_killed_while_it_decides_leaves_the_version_in_use_and_whole_decisions(
    store: Store, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    first = promote(store, f"ms@{FIRST}", "first", ANN)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(champions, step, killed)
        with pytest.raises(KeyboardInterrupt):
            promote(store, f"ms@{SECOND}", "second", ANN)
    assert decision_in_force(store, "ms") == first
    promote(store, f"ms@{SECOND}", "second", ANN)
    assert (champion(store, "ms"), numbers(store)) == (SECOND, [1, 2])


def test_a_lost_pointer_is_found_again_from_the_newest_decision(store: Store) -> None:
    promote(store, f"ms@{FIRST}", "first", ANN)
    second = promote(store, f"ms@{SECOND}", "second", ANN)
    assert newest_decision(store, "ms") == second
    write_document(store, keys.DECISION.build(name="ms", digest=(twin := second.changed(by="bob")).id), twin)
    with pytest.raises(InputError, match="wanted one newest decision, found 2"):
        newest_decision(store, "ms")


def test_once_there_is_a_rule_no_hand_promotes(store: Store) -> None:
    condition = {"kind": "superior", "metric": "ppv"}
    declare(store, Rule.named(model="ms", benchmark="b" * 16, conditions=[condition]))
    promote(store, f"ms@{FIRST}", "the first one has nothing to be compared with", ANN)
    with pytest.raises(InputError, match="has a champion and a rule"):
        promote(store, f"ms@{SECOND}", "trust me", ANN)
    assert champion(store, "ms") == FIRST


def test_of_several_rules_one_is_named_or_nobody_goes_by_any(store: Store) -> None:
    condition = {"kind": "superior", "metric": "ppv"}
    rules = [Rule.named(model="ms", benchmark="b" * 16, conditions=[condition], looks=looks) for looks in (1, 2)]
    assert [declare(store, one) for one in (*rules, rules[0])] == [True, True, False]
    with pytest.raises(InputError, match="found 2; there are: ") as refused:
        find_rule(store, "ms")
    assert all(f"ms@{one.id}" in str(refused.value) for one in rules)
    assert find_rule(store, f"ms@{rules[1].id}") == rules[1]
    for unknown in (f"ms@{'0' * 16}", "other"):
        with pytest.raises(InputError, match="found 0"):
            find_rule(store, unknown)


def test_a_look_at_another_champion_than_the_one_in_use_promotes_nothing(store: Store) -> None:
    promote(store, f"ms@{FIRST}", "first", ANN)
    passed = {"condition": {"kind": "least-patients", "patients": 3}, "passed": True, "patients": 3}
    outcome = GateOutcome(
        rule="b" * 16,
        ticket=1,
        candidate=SECOND,
        champion=THIRD,
        level=0.05,
        conditions=[passed],
        champion_rows="0" * 64,
        candidate_rows="0" * 64,
    )
    with pytest.raises(Conflict):
        promote(store, f"ms@{SECOND}", "by rule", ANN, outcome)
    assert champion(store, "ms") == FIRST
