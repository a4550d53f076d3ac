"""Count the looks that were taken at a benchmark: a ticket before each, and none beyond what the rule allows.

The benchmark has one sequence of tickets for all rules and models: each look spends level, whoever takes it.
"""

from __future__ import annotations

from lesionlab.errors import InputError, ObjectExists, StoreError
from lesionlab.experiments.champions import Person
from lesionlab.store.documents import document_bytes, read_document
from lesionlab.store.objects import Store
from storage_schemas import keys
from storage_schemas.base import Digest
from storage_schemas.benchmarks import Ticket
from storage_schemas.models import ModelCard
from storage_schemas.rules import Rule

_ROUNDING = 1e-9


def tickets(store: Store, benchmark: Digest) -> list[Ticket]:
    """The tickets that were taken for a benchmark, in order. Raises StoreError if one is missing among them."""
    stored = [key for key in store.list(keys.TICKET.prefix(benchmark=benchmark)) if keys.TICKET.parse(key)]
    found = sorted((read_document(store, key, Ticket) for key in stored), key=lambda ticket: ticket.number)
    if [ticket.number for ticket in found] != list(range(1, len(found) + 1)):
        numbers = ", ".join(str(ticket.number) for ticket in found)
        raise StoreError(
            f"{store.uri}: benchmark {benchmark}: wanted tickets without a gap, found {numbers}; restore the others"
        )
    return found


def take_ticket(
    store: Store, rule: Rule, candidate: ModelCard, champion: Digest, person: Person, decision: Digest | None = None
) -> Ticket:
    """The ticket for this look: the one taken before, if the same candidate was compared with the same champion by the
    same rule, or a new one. `decision`: by which that champion is in use.

    Raises InputError if the benchmark has no look left for this rule, StoreError if a ticket is missing or not listed.
    """
    refused = 0
    while True:
        taken = tickets(store, rule.benchmark)
        for ticket in taken:
            if (ticket.rule, ticket.model, ticket.candidate, ticket.champion) == (
                *(rule.id, rule.model, candidate.version),
                champion,
            ):
                return ticket
        spent = sum(ticket.spent for ticket in taken)
        if spent + rule.level > rule.alpha + _ROUNDING:
            raise InputError(
                f"benchmark {rule.benchmark}: no look is left: {len(taken)} were taken and spent {spent:.3g} of the "
                f"{rule.alpha:g} that rule {rule.id} allows; freeze a new benchmark of patients that nobody looked at"
            )
        ticket = Ticket(
            benchmark=rule.benchmark,
            number=len(taken) + 1,
            rule=rule.id,
            model=rule.model,
            candidate=candidate.version,
            champion=champion,
            weights_sha256=candidate.weights_sha256,
            spent=rule.level,
            by=person.name,
            at=person.at.isoformat(timespec="seconds"),
            decision=decision,
        )
        try:
            store.create(_key(rule.benchmark, ticket.number), document_bytes(ticket))
        except ObjectExists as error:
            if refused == ticket.number:
                raise StoreError(
                    f"{store.uri}: benchmark {rule.benchmark}: ticket {ticket.number} exists and is not listed; look "
                    "again when the storage lists what it holds (lesionlab storage check)"
                ) from error
            refused = ticket.number  # somebody took this number meanwhile, and the next listing has it
            continue
        return ticket


def looks_left(store: Store, rule: Rule) -> int:
    """How many more looks the benchmark has for this rule."""
    spent = sum(ticket.spent for ticket in tickets(store, rule.benchmark))
    return max(int((rule.alpha - spent + _ROUNDING) / rule.level), 0)


def _key(benchmark: Digest, number: int) -> str:
    return keys.TICKET.build(benchmark=benchmark, number=f"{number:04d}")
