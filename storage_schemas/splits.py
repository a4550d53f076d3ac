"""How the labelled studies of a question take turns: Target (what a study file asks for) and Split (what was drawn).

In every design the studies form subsets, counted from 1, and fold f is the turn that subset f gives its number to.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from storage_schemas.base import Digest, Document, Named, Slug, StudyId
from storage_schemas.identity import identity_digest

SplitDesign = Literal["rotation", "leave-one-site-out", "train-on-one-site", "leave-one-patient-out"]
"""rotation: drawn subsets of equal size; train on consecutive ones, test the next (Wahlig et al. 2023, figure S3).
leave-one-site-out: a subset is a site; test it, train on the others. train-on-one-site: the other way round.
leave-one-patient-out: a subset is a patient; test it, train on the others."""

SITE_DESIGNS: tuple[SplitDesign, ...] = ("leave-one-site-out", "train-on-one-site")


class Target(Document):
    """The labelled studies of the question, and how they take turns. Raises ValueError with every contradiction."""

    cohort: Slug
    design: SplitDesign = "rotation"
    subsets: Annotated[int, Field(ge=2)] = 6
    """Of a rotation."""
    subset_size: Annotated[int, Field(ge=1)] = 10
    """Studies in each subset of a rotation."""
    stratify: tuple[Literal["site", "lesion-load"], ...] = ()
    """What the subsets of a rotation are to have alike; empty: chance alone."""
    second_rater_first: bool = False
    """Subset 1 of a rotation is drawn from the patients whose studies a second rater has masked too."""
    sites: tuple[Slug, ...] = ()
    """Of the two designs by site, in the order of the folds; studies of other sites stay unused."""
    patients: Annotated[int, Field(ge=2)] | None = None
    """Of leave-one-patient-out: how many there are, so that the design is known before the data."""
    split_seed: int = 0
    """Of everything that is drawn."""

    @model_validator(mode="after")
    def _holds_together(self) -> Target:
        faults = []
        if self.design != "rotation" and (self.stratify or self.second_rater_first):
            faults.append(f"stratify, second_rater_first: only a rotation draws its subsets, found {self.design}")
        if self.design in SITE_DESIGNS and len(self.sites) < 2:
            faults.append(f"sites: {self.design} wants the names of two sites at least, found {list(self.sites)}")
        if self.design not in SITE_DESIGNS and self.sites:
            faults.append(f"sites: only the designs by site use them, found {self.design}")
        if len(set(self.sites)) < len(self.sites):
            faults.append(f"sites: found one twice in {list(self.sites)}")
        if self.design == "leave-one-patient-out" and self.patients is None:
            faults.append("patients: leave-one-patient-out wants their number, found none")
        if self.design != "leave-one-patient-out" and self.patients is not None:
            faults.append(f"patients: only leave-one-patient-out uses them, found {self.design}")
        if faults:
            raise ValueError("\n".join(faults))
        return self

    @property
    def fold_count(self) -> int:
        """As many turns as there are subsets."""
        if self.design in SITE_DESIGNS:
            return len(self.sites)
        return self.patients or self.subsets


class Split(Named):
    """Who is in which subset: drawn once, kept, and used from there."""

    manifest: Digest
    """What it was drawn from."""
    target: Target
    """How it was drawn."""
    subsets: tuple[tuple[StudyId, ...], ...]
    """In the order in which they were drawn; a smaller training set takes the first of them."""
    unused: tuple[StudyId, ...]

    def name_digest(self) -> Digest:
        """By what it is drawn from and how: drawn once, it outlives the code that drew it."""
        return split_name(self.manifest, self.target)


def split_name(manifest: Digest, target: Target) -> Digest:
    """The name of the split that is drawn from this manifest for this target."""
    return identity_digest({"manifest": manifest, "target": target})
