"""Tabulate the registered models of a store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.table import Table

from jobs.shared.console import console, show_table
from lesionlab.experiments.registry import champion, models
from lesionlab.store.objects import Store

COLUMNS = (
    *("model", "version", "champion", "task", "spacing_mm", "depth", "cohort", "training_studies"),
    *("networks", "parent", "parent_version"),
)


def model_lines(store: Store) -> list[dict[str, Any]]:
    """One line per registered version with the keys COLUMNS; parent is None for a model that was trained de novo."""
    lines = []
    for card in models(store):
        parent = (card.parent.name, card.parent.version) if card.parent else (None, None)
        values = (card.name, card.version, champion(store, card.name) == card.version, card.task.name, card.spacing_mm)
        trained = (card.architecture.depth, card.cohort, card.training_studies, card.networks)
        lines.append(dict(zip(COLUMNS, (*values, *trained, *parent), strict=True)))
    return lines


def show_models(lines: Sequence[dict[str, Any]], uri: str) -> None:
    """Print one line per registered version."""
    if not lines:
        console.print(f"no models in {uri} yet; train and register default models with: lesionlab pretrain EXPERIMENT")
        return
    table = Table(title=f"models in {uri}", title_justify="left")
    for column in ("model", "version", "champion", "task", "spacing, mm", "depth", "trained on", "started from"):
        table.add_column(column)
    for line in lines:
        table.add_row(
            line["model"],
            line["version"],
            "yes" if line["champion"] else "",
            line["task"],
            f"{line['spacing_mm']:g}",
            str(line["depth"]),
            f"{line['training_studies']} studies of {line['cohort']}"
            + (f" ({line['networks']} networks)" if line["networks"] > 1 else ""),
            f"{line['parent']}@{line['parent_version']}" if line["parent"] else "de novo",
        )
    show_table(table)
