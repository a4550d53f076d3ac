"""Put a version of a model into use, and take it out again: each decision is a document, and one of two wins.

The decision is written first, under its digest, and counts from the moment at which the pointer names it. The pointer
is moved by compare-and-swap, so of two who decide at the same time one succeeds, and the decisions that the pointer
leads to are numbered without a gap. A process killed between the two leaves a decision that never counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from lesionlab.errors import Conflict, DamagedObject, InputError, MissingObject, ObjectExists
from lesionlab.experiments.registry import champion, find_model
from lesionlab.experiments.rules import rules_of
from lesionlab.experiments.withdrawn_models import withdrawn_from, withdrawn_text
from lesionlab.store.documents import create_named, document_bytes, parse_document, read_document
from lesionlab.store.objects import Store
from storage_schemas import keys
from storage_schemas.base import Slug
from storage_schemas.decisions import Champion, Decision, DecisionKind
from storage_schemas.models import ModelCard
from storage_schemas.rules import GateOutcome


@dataclass(frozen=True)
class Person:
    """Who decides, and when."""

    name: str
    """`user@host`."""
    at: datetime
    """In UTC."""


def promote(store: Store, model: str, reason: str, person: Person, gate: GateOutcome | None = None) -> Decision:
    """Put a registered version (`name@version`) into use.

    Once a name has a champion and a rule, only a look that passed (`gate`) promotes. Raises InputError without one, or
    if the version is not registered, in use already or trained on a study that was withdrawn since; Conflict if
    somebody else decided at the same time.
    """
    name, _, version = model.partition("@")
    if not version:
        raise InputError(f"model {model!r}: wanted NAME@VERSION, found no version; lesionlab models lists them")
    card = find_model(store, f"{name}@{version}")
    refuse_withdrawn(store, card)
    if gate is None:
        _refuse_by_hand(store, name)
    elif not gate.passed or gate.candidate != version:
        found = "did not pass" if gate.candidate == version else f"is about {gate.candidate}"
        raise InputError(f"model {model}: wanted a look at it that passed, but look {gate.ticket} {found}")
    return _decide(store, card, "promotion", reason, person, gate=gate)


def refuse_withdrawn(store: Store, card: ModelCard) -> None:
    """Raise InputError if the model, or one that it was fine-tuned from, was trained on a study withdrawn since."""
    if told := withdrawn_text(card, withdrawn_from(store, card)):
        raise InputError(f"{told}; train a version without them, and promote that one")


def rollback(store: Store, name: Slug, reason: str, person: Person) -> Decision:
    """Undo the last decision: the version that it replaced is in use again. A rollback can be undone in the same way.

    Raises InputError if no decision replaced a version, Conflict if somebody else decided at the same time.
    """
    last = next(iter(decisions(store, name)), None)
    if last is None or last.replaced is None:
        found = f"decision {last.number} put the first version into use" if last else "nobody decided anything yet"
        raise InputError(f"model {name!r}: wanted a decision that replaced a version, found none: {found}")
    return _decide(store, find_model(store, f"{name}@{last.replaced}"), "rollback", reason, person, undoes=last)


def decisions(store: Store, name: Slug) -> Iterator[Decision]:
    """The decisions about a name that count, newest first.

    Raises MissingObject or DamagedObject if one of the chain is missing, altered or out of order, or if the pointer was
    removed or names a version that the newest of them did not put into use.
    """
    pointer = _read_pointer(store, name)[1]
    _refuse_moved_by_hand(store, name, pointer)
    following = None
    at = pointer.decision if pointer else None
    while at is not None:
        key = keys.DECISION.build(name=name, digest=at)
        decision = read_document(store, key, Decision)
        if decision.model != name or (following and following.number != decision.number + 1):
            raise MissingObject(
                f"{store.uri}: {key}: wanted decision {following.number - 1 if following else '?'} about {name}, found "
                f"decision {decision.number} about {decision.model}; restore models/{name}/ from a backup"
            )
        yield decision
        following, at = decision, decision.before
    if following and following.number != 1:
        raise MissingObject(
            f"{store.uri}: wanted decision 1 about {name} at the beginning, found decision {following.number}; restore "
            f"models/{name}/ from a backup"
        )


def _refuse_moved_by_hand(store: Store, name: Slug, pointer: Champion | None) -> None:
    if pointer and pointer.decision:
        made = read_document(store, keys.DECISION.build(name=name, digest=pointer.decision), Decision)
        if made.champion != pointer.target:
            raise DamagedObject(
                f"{store.uri}: {keys.CHAMPION.build(name=name)}",
                f"it names version {pointer.target}, but decision {made.number} put {made.champion} into use",
            )
        return
    # Before the first pointer there may be a first decision, of somebody who was stopped before it counted.
    lost = [made for made in _stored(store, name) if made.number > 1]
    if lost:
        raise MissingObject(
            f"{store.uri}: {keys.CHAMPION.build(name=name)}: wanted the decision in force, found none, but "
            f"{len(lost)} in models/{name}/history/; lesionlab fsck --repair restores a pointer that was lost"
        )


def decision_in_force(store: Store, name: Slug) -> Decision | None:
    """The decision that put the champion of a name into use; None if there is no champion, or nobody decided."""
    return next(iter(decisions(store, name)), None)


def _refuse_by_hand(store: Store, name: Slug) -> None:
    if champion(store, name) is not None and (rules := rules_of(store, name)):
        raise InputError(
            f"model {name!r} has a champion and a rule ({', '.join(rule.id for rule in rules)}): wanted a look that "
            "passed; lesionlab promote takes it"
        )


def _decide(
    store: Store,
    card: ModelCard,
    kind: DecisionKind,
    reason: str,
    person: Person,
    *,
    undoes: Decision | None = None,
    gate: GateOutcome | None = None,
) -> Decision:
    tag, pointer = _read_pointer(store, card.name)
    _refuse_moved_by_hand(store, card.name, pointer)
    undone, compared = (undoes.id if undoes else None), (gate.champion if gate else None)
    if (undone and (not pointer or pointer.decision != undone)) or (
        compared and (not pointer or pointer.target != compared)
    ):
        raise _overtaken(store, card.name)
    if pointer and pointer.target == card.version:
        raise InputError(f"model {card.full_name} is the champion already; nothing to decide")
    before = (
        read_document(store, keys.DECISION.build(name=card.name, digest=pointer.decision), Decision)
        if pointer and pointer.decision
        else None
    )
    decision = Decision.named(
        model=card.name,
        number=before.number + 1 if before else 1,
        before=before.id if before else None,
        kind=kind,
        champion=card.version,
        weights_sha256=card.weights_sha256,
        replaced=pointer.target if pointer else None,
        reason=reason,
        gate=gate,
        by=person.name,
        at=person.at.isoformat(timespec="seconds"),
    )
    create_named(store, keys.DECISION.build(name=card.name, digest=decision.id), decision)
    _move(store, card.name, Champion(target=card.version, decision=decision.id), tag)
    return decision


def _read_pointer(store: Store, name: Slug) -> tuple[str | None, Champion | None]:
    key = keys.CHAMPION.build(name=name)
    try:
        found = store.get_tagged(key)
    except MissingObject:
        return None, None
    return found.tag, parse_document(store, key, Champion, found.data)


def _move(store: Store, name: Slug, to: Champion, tag: str | None) -> None:
    key, data = keys.CHAMPION.build(name=name), document_bytes(to)
    try:
        if tag is None:
            store.create(key, data)
        else:
            store.replace(key, data, tag)
    except (Conflict, ObjectExists) as error:
        raise _overtaken(store, name) from error


def _overtaken(store: Store, name: Slug) -> Conflict:
    return Conflict(
        f"{store.uri}: somebody else decided about {name} at the same time; see lesionlab models, then decide again"
    )


def _stored(store: Store, name: Slug) -> list[Decision]:
    found = [key for key in store.list(keys.DECISION.prefix(name=name)) if keys.DECISION.parse(key)]
    return [read_document(store, key, Decision) for key in found]


def newest_decision(store: Store, name: Slug) -> Decision:
    """The newest of all stored decisions about a name, for a pointer that was lost.

    Raises InputError if there is none, or several have the highest number: one of them never counted.
    """
    found = _stored(store, name)
    highest = max((decision.number for decision in found), default=0)
    newest = [decision for decision in found if decision.number == highest]
    if len(newest) != 1:
        raise InputError(f"model {name!r}: wanted one newest decision, found {len(newest)}")
    return newest[0]
