"""Define how labelled studies are split into training and test sets: Target (requested) and Split (randomised).

In every design the studies form subsets, counted from 1; fold f is the fold numbered after subset f.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from storage_schemas.base import Digest, Document, Named, Seed, Slug, StudyId
from storage_schemas.identity import identity_digest

SplitDesign = Literal["rotation", "leave-one-site-out", "train-on-one-site", "cross-site", "leave-one-patient-out"]
"""rotation: random subsets of equal size; train on consecutive ones, test on the next (Wahlig et al. 2023, figure S3).
leave-one-site-out: a subset is a site; test on it, train on the others. train-on-one-site: the reverse; superseded by
cross-site: a subset is a part of a site. Train on one site, on all sites, or on all but one, always with the same
number of studies; each of them is tested on every site, by networks that were trained on other parts of it.
leave-one-patient-out: a subset is a patient; test on it, train on the others."""

SITE_DESIGNS: tuple[SplitDesign, ...] = ("leave-one-site-out", "train-on-one-site", "cross-site")

MOST_FOLDS = 10_000
"""Each is at least one training; without a bound a slip of the keyboard takes all memory."""

ALL_SITES, OTHER_SITES = "all-sites", "other-sites"
"""What cross-site trains on besides single sites: all of them, and all but the one that is tested."""


class Target(Document):
    """The labelled target studies and their split design. Raises ValueError with every contradiction."""

    cohort: Slug
    design: SplitDesign = "rotation"
    subsets: Annotated[int, Field(ge=2, le=MOST_FOLDS)] = 6
    """Number of subsets of a rotation; of cross-site, of the parts that each site is divided into."""
    subset_size: Annotated[int, Field(ge=1)] = 10
    """Studies in each subset of a rotation."""
    stratify: tuple[Literal["site", "lesion-load"], ...] = ()
    """Variables by which the subsets of a rotation are stratified; empty: simple randomisation."""
    second_rater_first: bool = False
    """Draw subset 1 of a rotation from the patients whose studies also have a second rater's mask."""
    sites: tuple[Slug, ...] = ()
    """Sites of the designs by site, in the order of the folds; studies of other sites are not used."""
    patients: Annotated[int, Field(ge=2, le=MOST_FOLDS)] | None = None
    """Number of patients of leave-one-patient-out, so that the design is fixed before the data are seen."""
    split_seed: Seed = 0
    """Seed of the randomisation."""

    @model_validator(mode="after")
    def _check_consistency(self) -> Target:
        faults = []
        if self.design != "rotation" and (self.stratify or self.second_rater_first):
            faults.append(f"stratify, second_rater_first: only rotation uses them, found design {self.design}")
        if self.design in SITE_DESIGNS and len(self.sites) < 2:
            faults.append(f"sites: wanted at least two sites for {self.design}, found {list(self.sites)}")
        if self.design not in SITE_DESIGNS and self.sites:
            faults.append(f"sites: only designs by site use them, found design {self.design}")
        if len(set(self.sites)) < len(self.sites):
            faults.append(f"sites: wanted each site once, found {list(self.sites)}")
        if self.design == "cross-site" and (reserved := {ALL_SITES, OTHER_SITES} & set(self.sites)):
            faults.append(f"sites: {', '.join(sorted(reserved))} means several sites in cross-site; rename the site")
        if self.design == "leave-one-patient-out" and self.patients is None:
            faults.append("patients: wanted the number of patients for leave-one-patient-out, found none")
        if self.design != "leave-one-patient-out" and self.patients is not None:
            faults.append(f"patients: only leave-one-patient-out uses it, found design {self.design}")
        if faults:
            raise ValueError("\n".join(faults))
        return self

    @property
    def parts(self) -> int:
        """Number of subsets that each site is divided into; 1: a subset is a whole site."""
        return self.subsets if self.design == "cross-site" else 1

    @property
    def subset_count(self) -> int:
        """Number of subsets of the split."""
        if self.design in SITE_DESIGNS:
            return len(self.sites) * self.parts
        return self.patients or self.subsets

    @property
    def fold_count(self) -> int:
        """Number of folds: one per subset; cross-site adds one per part for training on all sites, then one per site
        that is left out."""
        return self.subset_count + (self.parts + len(self.sites) if self.design == "cross-site" else 0)

    def site_of(self, subset: int) -> Slug | None:
        """The site of a subset (from 1); None where subsets are not of one site."""
        return self.sites[(subset - 1) // self.parts] if self.sites else None

    def train_site(self, fold: int) -> Slug | None:
        """What the networks of a fold (from 1) are trained on: a site, `all-sites` or `other-sites`; None where the
        design does not compare sites."""
        if self.design not in ("train-on-one-site", "cross-site"):
            return None
        if fold <= self.subset_count:
            return self.site_of(fold)
        return ALL_SITES if fold <= self.subset_count + self.parts else OTHER_SITES

    def test_site(self, fold: int) -> Slug | None:
        """The site that a fold tests, if it tests a single one."""
        if self.design == "leave-one-site-out":
            return self.sites[fold - 1]
        left_out = fold - self.subset_count - self.parts
        return self.sites[left_out - 1] if self.design == "cross-site" and left_out > 0 else None


class Split(Named):
    """Assignment of studies to subsets: drawn once, stored and reused."""

    manifest: Digest
    """Manifest whose studies were assigned."""
    target: Target
    """Design of the split."""
    subsets: tuple[tuple[StudyId, ...], ...]
    """Studies of each subset in random order; a smaller training set takes the first ones."""
    unused: tuple[StudyId, ...]

    def name_digest(self) -> Digest:
        """Digest of manifest and design; the assignment is drawn once and outlives the code that drew it."""
        return split_name(self.manifest, self.target)


def split_name(manifest: Digest, target: Target) -> Digest:
    """Name of the split of this manifest for this target."""
    return identity_digest({"manifest": manifest, "target": target})
