"""Check that a champion came into use as the platform lets it: by hand before the first look, by looks afterwards.

Trainers' keys may write below `models/`, and no trainer's below `benchmarks/results/`. So the tickets there, each with
the decision that was in force, tell whether the decisions about a model are those that were made.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from lesionlab.errors import DamagedObject
from lesionlab.experiments.champions import decisions
from lesionlab.experiments.registry import find_model
from lesionlab.store.documents import read_document
from lesionlab.store.objects import Store
from storage_schemas import keys
from storage_schemas.base import Slug
from storage_schemas.benchmarks import Ticket
from storage_schemas.decisions import Decision


def refuse_unearned(store: Store, name: Slug) -> None:
    """Compare the decisions about a model with all looks that were taken at its candidates, on any benchmark.

    Reads all tickets. Raises DamagedObject with everything that differs, MissingObject or DamagedObject if the history
    is not whole.
    """
    history = tuple(decisions(store, name))[::-1]
    taken = [ticket for ticket in _all_tickets(store) if ticket.model == name]
    if faults := [*_out_of_order(history), *_without_look(history, taken), *_other_weights(store, history)]:
        told = "; ".join(faults)
        raise DamagedObject(
            f"{store.uri}: the champion of {name}",
            f"somebody moved it without lesionlab: {told}. Restore models/{name}/ from the bucket's versions",
        )


def _all_tickets(store: Store) -> list[Ticket]:
    found = [key for key in store.list(keys.TICKET.prefix()) if keys.TICKET.parse(key)]
    return [read_document(store, key, Ticket) for key in found]


def _out_of_order(history: Sequence[Decision]) -> Iterator[str]:
    for before, made in pairwise(history):
        if made.replaced != before.champion:
            yield f"decision {made.number} replaced {made.replaced}, but {before.champion} was in use"
        if made.kind == "rollback" and made.champion != before.replaced:
            yield f"decision {made.number} rolls back to {made.champion}, but {before.replaced} was in use before"


def _without_look(history: Sequence[Decision], taken: Sequence[Ticket]) -> Iterator[str]:
    known = {made.id: made.number for made in history}
    looked_after: list[int] = []
    for ticket in taken:
        if ticket.decision is None:  # of a champion that an earlier version put into use
            continue
        if ticket.decision not in known:
            yield f"decision {ticket.decision}, in force at look {ticket.number}, is gone from the history"
        else:
            looked_after.append(known[ticket.decision])
    first = min(looked_after, default=None)
    looks = {(one.rule, one.number, one.candidate, one.champion, one.weights_sha256) for one in taken}
    for made in history:
        gate = made.gate
        if gate is not None:
            if (gate.rule, gate.ticket, made.champion, gate.champion, made.weights_sha256) not in looks:
                yield f"decision {made.number} names look {gate.ticket}, which nobody took at this candidate"
        elif made.kind == "promotion" and first is not None and made.number > first:
            yield f"decision {made.number} is by hand, after a look was taken"


def _other_weights(store: Store, history: Sequence[Decision]) -> Iterator[str]:
    for made in history[-1:]:
        card = find_model(store, f"{made.model}@{made.champion}")
        if card.weights_sha256 != made.weights_sha256:
            yield f"{card.full_name} has other weights than those that decision {made.number} put into use"
