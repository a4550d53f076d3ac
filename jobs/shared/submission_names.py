"""The argument that names a submission."""

from __future__ import annotations

import re
from typing import Annotated

import typer

_ID = re.compile(r"[0-9a-f]{16}")


def is_submission_id(text: str) -> bool:
    """Whether this is the form of a submission's id; an experiment may be called so too."""
    return _ID.fullmatch(text) is not None


def _valid(value: str) -> str:
    if not is_submission_id(value):
        raise typer.BadParameter(
            f"wanted the id of a submission (16 hexadecimal digits), found {value!r}; see: lesionlab jobs"
        )
    return value


SubmissionArgument = Annotated[
    str, typer.Argument(metavar="ID", callback=_valid, help="Id of a submission, as `lesionlab jobs` lists them.")
]
