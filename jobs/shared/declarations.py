"""Read what models from elsewhere were trained on, as their user declares."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Annotated

import typer

from lesionlab.errors import InputError

TrainedOnOption = Annotated[
    list[str] | None,
    typer.Option(
        "--trained-on",
        metavar="NAME=TEXT",
        help="What a model from elsewhere was trained on, for the report; otherwise the report says that leakage "
        "cannot be excluded. Repeatable.",
    ),
]


def declarations(options: Sequence[str]) -> dict[str, str]:
    """Each declaration by the model's name. Raises InputError with every fault."""
    pairs = [(option, *(part.strip() for part in option.partition("=")[::2])) for option in options]
    faults = [
        f"--trained-on {option}: wanted NAME=TEXT, as in nnU-Net=60 studies of another site"
        for option, name, text in pairs
        if not (name and text)
    ]
    if faults:
        raise InputError(*faults)
    return {name: text for _, name, text in pairs}


def refuse_unknown(declared: Iterable[str], names: Collection[str]) -> None:
    """Raise InputError for every declaration about a model that is not there."""
    faults = [
        f"--trained-on {name}=…: no such model from elsewhere; there are {', '.join(sorted(names)) or 'none'}"
        for name in declared
        if name not in names
    ]
    if faults:
        raise InputError(*faults)
