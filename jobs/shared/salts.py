"""Read the secret salts of pseudonyms: from the environment or from a file, never from the command line."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from lesionlab.errors import InputError
from lesionlab.preprocessing.privacy import SALT_VARIABLE, checked_salt

REGISTER_SALT = "LESIONLAB_REGISTER_SALT"
"""Environment variable of the consortium's register salt."""

SaltOption = Annotated[
    Path | None,
    typer.Option(
        "--salt-file", metavar="FILE", help=f"The site's own salt, which pseudonyms are made with; or {SALT_VARIABLE}."
    ),
]
RegisterSaltOption = Annotated[
    Path | None,
    typer.Option(
        "--register-salt-file",
        metavar="FILE",
        help=f"The salt of the consortium's patient register; or {REGISTER_SALT}.",
    ),
]


def read_salt(variable: str, file: Path | None) -> str | None:
    """The salt in the file, else in the environment; None: neither is given.

    Raises InputError if the file cannot be read or the salt is short enough to be guessed; no message repeats it.
    """
    if file is not None:
        try:
            return checked_salt(file.read_text(encoding="utf-8").strip(), str(file))
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{file}: wanted a text file with a salt, found none that can be read") from error
    found = os.environ.get(variable)
    return checked_salt(found, variable) if found else None
