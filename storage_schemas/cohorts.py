"""Define the origin of a cohort in an experiment file: a dataset or a simulation."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from storage_schemas.base import Document, ModelSpacing, Seed, Slug

Pathology = Literal["ms", "glioma", "leukodystrophy", "small-vessel", "metastases"]
Contrast = Literal["FLAIR", "T1w", "ce-gadolinium_T1w"]
Stripper = Literal["deepbet"]
"""A program that finds the brain in a head (deepbet: Fisch et al. 2024, doi:10.1016/j.compbiomed.2024.108845)."""
Stripping = Literal[Stripper, "already"]
"""How images became skull-stripped: by a stripper during preprocessing, or before they came."""


class CohortPlan(Document):
    """A cohort to simulate; the same plan gives the same bytes."""

    pathology: Pathology | tuple[Pathology, ...]
    """One disease, or several in rotation over the patients."""
    studies: Annotated[int, Field(ge=1, le=100_000)]
    seed: Seed
    spacing_mm: ModelSpacing | None = None
    """Isotropic spacing of every image; None: each site's own spacing."""
    sites: tuple[str, ...] | None = None
    """Built-in sites in rotation; None: all of them."""
    contrasts: tuple[Contrast, ...] = ("FLAIR",)
    timepoints: Literal[1, 2] = 1


class Cohort(Document):
    """Origin of the studies of one cohort."""

    simulate: CohortPlan | None = None
    """Plan of the simulation; None: a dataset must be given at run time."""
    patient_register: Slug | None = None
    """Register of the patient labels, for example one hospital's pseudonyms: a label shared by two cohorts of the same
    register is one person. None: the labels are only valid in this cohort (every dataset has a sub-01)."""
    strip: Stripping | None = None
    """deepbet: remove the skull during preprocessing. already: the images come without it. None: the images are used as
    they come. Declare it for every cohort or for none: stripped and whole heads do not mix."""
