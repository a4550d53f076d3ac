"""List the registered models."""

from __future__ import annotations

from rich.table import Table

from jobs.shared.console import console
from jobs.shared.entry_points import run_as_module
from jobs.shared.options import StoreOption, connect
from lesionlab.experiments.registry import champion
from lesionlab.experiments.registry import models as registered


def models(store: StoreOption) -> None:
    """List the registered models; a name without a version means its champion.

    Example: lesionlab models
    """
    place = connect(store)
    table = Table(title=f"models in {store}", title_justify="left")
    for column in ("model", "version", "champion", "task", "spacing, mm", "depth", "trained on", "started from"):
        table.add_column(column)
    for card in registered(place):
        table.add_row(
            card.name,
            card.version,
            "yes" if champion(place, card.name) == card.version else "",
            card.task.name,
            f"{card.spacing_mm:g}",
            str(card.architecture.depth),
            f"{card.training_studies} studies of {card.cohort}",
            f"{card.parent.name}@{card.parent.version}" if card.parent else "de novo",
        )
    console.print(table)


if __name__ == "__main__":
    run_as_module(models)
