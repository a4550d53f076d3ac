"""What is registered: every model and version, the champion marked."""

from __future__ import annotations

from rich.table import Table

from jobs.shared.command_line import StoreOption, connect, console, run_alone
from lesionlab.experiments.registry import champion
from lesionlab.experiments.registry import models as registered


def models(store: StoreOption) -> None:
    """List the registered models; the version that a bare name means is marked.

    Example: lesionlab models
    """
    place = connect(store)
    table = Table(title=f"models in {store}", title_justify="left")
    for column in ("model", "version", "champion", "task", "spacing mm", "depth", "trained on", "from"):
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
    run_alone(models)
