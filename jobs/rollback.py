"""Undo the last decision about a model."""

from __future__ import annotations

from typing import Annotated

import typer

from jobs.shared.console import console
from jobs.shared.decisions_output import decided
from jobs.shared.entry_points import run_as_module
from jobs.shared.options import StoreOption, connect, plain_name
from jobs.shared.people import ReasonOption, this_person
from lesionlab.experiments.champions import rollback as roll_back


def rollback(
    name: Annotated[str, typer.Argument(metavar="NAME", callback=plain_name, help="Name of a model.")],
    store: StoreOption,
    reason: ReasonOption,
) -> None:
    """Put the version back into use that the last decision replaced.

    The history keeps both decisions. A rollback is a decision too: rolled back
    again, the newer version is in use again.

    Example: lesionlab rollback demo-fine-tuned-8 --reason "misses small lesions at site B"
    """
    console.print(decided(roll_back(connect(store), name, reason, this_person())))


if __name__ == "__main__":
    run_as_module(rollback)
