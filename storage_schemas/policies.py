"""Define a site's policy (`policy.yaml`): what its studies may be used for, what may leave the store, and until when.

The site alone writes it, below its own folder. A site without a policy allows what its consortium agreed on.
"""

from __future__ import annotations

import datetime
from fnmatch import fnmatchcase
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from storage_schemas.base import Document, Slug

Leaves = Literal["nothing", "aggregates", "rows", "images"]
"""What may be seen of a site's studies in reports, tables and exported files; each includes those before it. rows: one
line for each study or lesion. images: slices, and masks."""

LEAVES: tuple[Leaves, ...] = ("nothing", "aggregates", "rows", "images")
"""From least to most."""

NamePattern = Annotated[str, StringConstraints(pattern=r"^[a-z0-9*?][a-z0-9._*?-]*$", max_length=63)]
"""A name in which `*` stands for any text and `?` for one character: `ms-*`."""


class Purpose(Document):
    """What studies are wanted for."""

    experiment: Slug
    """The experiment of the runs; a default model is trained under its own name, one is tested as `evaluate-MODEL`."""
    task: Slug
    tested: bool
    """Whether results on these studies are reported; otherwise a model is trained on them and no more."""
    on: datetime.date


class SitePolicy(Document):
    """What a site allows to be done with its studies."""

    site: Slug
    tasks: Annotated[tuple[Slug, ...], Field(min_length=1)] | None = None
    """Names of the tasks that its studies may be used for; None: every task."""
    experiments: Annotated[tuple[NamePattern, ...], Field(min_length=1)] | None = None
    """Names of the experiments that may use its studies; None: every experiment."""
    leaves: Leaves
    smallest_count: Annotated[int, Field(ge=1)] | None = None
    """Fewest patients that an aggregate may describe; None: the consortium's. The larger one holds."""
    expires: datetime.date | None = None
    """Last day on which its studies may be used; None: until the site changes the policy."""

    def forbids(self, purpose: Purpose) -> str:
        """Why its studies may not be used for this purpose, as what is wanted and what is allowed; empty: they may."""
        if self.expires is not None and purpose.on > self.expires:
            return f"its policy expired on {self.expires}"
        if self.tasks is not None and purpose.task not in self.tasks:
            return f"its policy allows the tasks {', '.join(self.tasks)}, not {purpose.task}"
        if self.experiments is not None and not any(fnmatchcase(purpose.experiment, own) for own in self.experiments):
            return f"its policy allows the experiments {', '.join(self.experiments)}, not {purpose.experiment}"
        if purpose.tested and self.leaves == "nothing":
            return "its policy lets nothing leave, and results on these studies would be reported"
        return ""

    def lets(self, what: Leaves) -> bool:
        """Whether this may leave."""
        return LEAVES.index(what) <= LEAVES.index(self.leaves)


class LeftOut(Document):
    """A site whose studies were left out of a plan, because its policy forbids the purpose."""

    cohort: Slug
    site: Slug
    studies: Annotated[int, Field(ge=0)]
    why: str

    def text(self) -> str:
        """In one sentence."""
        count = "1 study" if self.studies == 1 else f"{self.studies} studies"
        return f"cohort {self.cohort}: {count} of {self.site} left out: {self.why}"
