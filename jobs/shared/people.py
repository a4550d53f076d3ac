"""Say who decides, and why, for the record."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from lesionlab.experiments.champions import Person
from lesionlab.experiments.leases import this_user


def _stated(value: str) -> str:
    if not value.strip():
        raise typer.BadParameter("wanted a reason in words, found nothing")
    return value.strip()


ReasonOption = Annotated[
    str, typer.Option(metavar="TEXT", callback=_stated, help="Why, in words; stored with the decision.")
]


def this_person() -> Person:
    """The user of this process, now."""
    return Person(this_user(), datetime.now(UTC))
