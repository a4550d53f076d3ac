"""Put a registered version of a model into use: by its rule, or by hand while there is none."""

from __future__ import annotations

from typing import Annotated

import typer

from jobs.shared.console import console
from jobs.shared.decisions_output import decided
from jobs.shared.entry_points import answer_no, run_as_module
from jobs.shared.options import CacheOption, StoreOption, connect
from jobs.shared.people import ReasonOption, this_person
from jobs.shared.rule_output import show_outcome
from lesionlab.experiments.champions import promote as promote_version
from lesionlab.experiments.champions import refuse_withdrawn
from lesionlab.experiments.registry import champion, find_model
from lesionlab.experiments.rules import find_rule, rules_of
from lesionlab.orchestration.gate import look

CandidateArgument = Annotated[
    str, typer.Argument(metavar="NAME@VERSION", help="Registered version; lesionlab models lists them.")
]


def promote(
    model: CandidateArgument,
    store: StoreOption,
    cache: CacheOption,
    reason: ReasonOption,
    rule: Annotated[
        str | None, typer.Option(metavar="DIGEST", help="Rule to go by, if the model has several.", show_default=False)
    ] = None,
) -> None:
    """Make a registered version the champion of its name: what the name alone means.

    Nothing else moves a champion. While a model has no rule or no champion, your
    reason decides. After that its rule does: the command takes a ticket, tests the
    candidate on the rule's benchmark and promotes it if every condition holds.
    Otherwise it prints pass or fail of each and no score, and exits with 3. The
    same candidate again spends no further look.

    The decision is stored with who, when and why, and never changed; of two people
    who promote at the same time one succeeds and the other is told. Experiments
    that are under way keep the versions they started from.

    Example: lesionlab promote demo-fine-tuned-8@0123456789abcdef --reason "first model"
    """
    place, person = connect(store), this_person()
    name, _, version = model.partition("@")
    outcome = None
    if version and champion(place, name) and (rule or rules_of(place, name)):
        found = find_rule(place, f"{name}@{rule}" if rule else name)
        refuse_withdrawn(place, find_model(place, model))  # before a look is spent
        outcome = look(place, found, find_model(place, model), person, cache)
        console.print(
            f"look {outcome.ticket} of {found.looks} at benchmark {found.benchmark} by rule {name}@{found.id}"
        )
        show_outcome(outcome)
        if not outcome.passed:
            answer_no(f"model {model} is not promoted: it did not pass every condition; the champion stays")
    console.print(decided(promote_version(place, model, reason, person, outcome)))


if __name__ == "__main__":
    run_as_module(promote)
