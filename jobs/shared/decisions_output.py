"""Print decisions about models in words."""

from __future__ import annotations

from jobs.shared.console import notes
from lesionlab.experiments.champions import decision_in_force
from lesionlab.experiments.lineage import declared_text, imported_ancestors
from lesionlab.experiments.registry import champion
from lesionlab.experiments.withdrawn_models import withdrawn_from
from lesionlab.store.objects import Store
from storage_schemas.decisions import Decision
from storage_schemas.models import ModelCard


def decided(decision: Decision) -> str:
    """`decision 2 about demo-ms: 0123… is the champion, replaces 89ab… (rollback by ann@host, 2026-11-28): reason`."""
    replaced = f", replaces {decision.replaced}" if decision.replaced else ", the first one"
    return (
        f"decision {decision.number} about {decision.model}: {decision.champion} is the champion{replaced} "
        f"({decision.kind} by {decision.by}, {decision.at}): {decision.reason}"
    )


def note_origin(store: Store, card: ModelCard) -> None:
    """Say what is unknown about a model that was imported, or was fine-tuned from one, and which of its training
    studies were withdrawn since."""
    for imported in imported_ancestors(store, card):
        notes.print(declared_text(imported), style="yellow")
    if found := withdrawn_from(store, card):
        notes.print(
            f"model {card.full_name} was trained on {', '.join(found)}, withdrawn since: train it again without, or "
            "take it out of use (lesionlab rollback)",
            style="yellow",
        )


def why_in_use(store: Store, model: str, card: ModelCard) -> str:
    """Which version a name meant, and by which decision; empty if `model` names a version itself."""
    if "@" in model:
        return ""
    decision = decision_in_force(store, card.name)
    if decision is None and champion(store, card.name) is None:
        return f"{model} is {card.full_name}, a candidate and its only version: no decision put it into use"
    if decision is None:
        return f"{model} is {card.full_name}, by no decision: an earlier version of lesionlab put it into use"
    return f"{model} is {card.full_name}, by {decided(decision)}"
