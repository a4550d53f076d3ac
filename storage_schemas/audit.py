"""Define an entry of the audit: who did what on whose studies, with what outcome.

Each writer has one chain, numbered from 1 without a gap. An entry holds the sha256 of the bytes of the one before it,
so none can be changed, left out or put in between without all later ones telling it.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from storage_schemas.base import Digest, Document, Sha256, Slug

Outcome = Literal["begun", "done", "failed"]

KnownBy = Literal["cluster", "aws", "declared", "login"]
"""cluster: the Kubernetes API server said so when the work was submitted. aws: the credentials' own identity. declared:
LESIONLAB_USER. login: the user of the process."""


class AuditedStudies(Document):
    """Studies of one site in one cohort."""

    site: Slug
    cohort: Slug | None = None
    """None: of any cohort."""
    part: Digest | None = None
    """The site's part of the cohort that they belong to; None: no part any more."""
    studies: Annotated[int, Field(ge=0)]


class AuditEntry(Document):
    """One step of a command that reads or writes sites' studies: that it began, or how it ended."""

    writer: Slug
    """Whose chain it is: the role, a contributor's with its site."""
    number: Annotated[int, Field(ge=1)]
    before: Sha256 | None
    """Of the bytes of the entry before; None: this is the first."""
    at: str
    """UTC, ISO 8601, by the clock of the machine."""
    who: Annotated[str, StringConstraints(min_length=1, max_length=300)]
    known_by: KnownBy
    action: Digest
    """The same for the beginning and the end of one command."""
    command: str
    about: Slug
    """The experiment, the cohort or the site."""
    studies: tuple[AuditedStudies, ...]
    outcome: Outcome
    fault: str = ""
    """Kind of the error if it failed. Its message is not kept: it may name what must not leave a site."""
    lesionlab: str
    """Version of the lesionlab package."""
    code: Digest
    """Digest of all source files of the package."""
    image: str = ""
    """The container image, if it says which it is (LESIONLAB_IMAGE)."""
