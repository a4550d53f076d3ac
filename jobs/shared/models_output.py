"""Tabulate the registered models of a store."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from rich.table import Table

from jobs.shared.console import console, show_table
from lesionlab.experiments.champions import decisions
from lesionlab.experiments.registry import champion, models
from lesionlab.experiments.withdrawn_models import withdrawn_from, withdrawn_volumes
from lesionlab.store.objects import Store

COLUMNS = (
    *("model", "version", "champion", "task", "spacing_mm", "depth", "cohort", "training_studies"),
    *("networks", "parent", "parent_version", "decision", "decided_at", "withdrawn", "imported", "started_from"),
)


def model_lines(store: Store) -> list[dict[str, Any]]:
    """One line per registered version with the keys COLUMNS; parent is None for a model that was trained de novo.

    `decision` is the number of the newest decision that put the version into use; None: it is a candidate, or an
    earlier version of lesionlab put it into use. `withdrawn`: the studies that it, or a model it started from, was
    trained on and that were withdrawn since.
    """
    lines, gone = [], withdrawn_volumes(store)
    in_use, decided = cache(lambda name: champion(store, name)), cache(lambda name: tuple(decisions(store, name)))
    for card in models(store):
        parent = (card.parent.name, card.parent.version) if card.parent else (None, None)
        last = next((decision for decision in decided(card.name) if decision.champion == card.version), None)
        values = (card.name, card.version, in_use(card.name) == card.version, card.task.name, card.spacing_mm)
        trained = (card.architecture.depth, card.cohort, card.training_studies, card.networks)
        told = (last.number, last.at) if last else (None, None)
        origin = (" ".join(withdrawn_from(store, card, gone)), card.declared is not None, card.started_from)
        lines.append(dict(zip(COLUMNS, (*values, *trained, *parent, *told, *origin), strict=True)))
    return lines


def show_models(lines: Sequence[dict[str, Any]], uri: str) -> None:
    """Print one line per registered version."""
    if not lines:
        console.print(f"no models in {uri} yet; train and register default models with: lesionlab pretrain EXPERIMENT")
        return
    table = Table(title=f"models in {uri}", title_justify="left")
    for column in ("model", "version", "state", "task", "spacing, mm", "depth", "trained on", "started from"):
        table.add_column(column)
    for line in lines:
        table.add_row(
            line["model"],
            line["version"],
            _state(line),
            line["task"],
            f"{line['spacing_mm']:g}",
            str(line["depth"]),
            f"{line['training_studies'] or '?'} studies of {line['cohort']}"
            + (", as declared (imported)" if line["imported"] else "")
            + (f" ({line['networks']} networks)" if line["networks"] > 1 else "")
            + (f"; withdrawn since: {line['withdrawn']}" if line["withdrawn"] else ""),
            line["started_from"],
        )
    show_table(table)


def _state(line: dict[str, Any]) -> str:
    decision = f" (decision {line['decision']}, {line['decided_at'][:10]})" if line["decision"] else ""
    if line["champion"]:
        return f"champion{decision}"
    return f"replaced{decision}" if decision else "candidate"
