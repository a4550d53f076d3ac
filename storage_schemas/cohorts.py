"""Where the studies of a cohort come from, as a study file says it: a dataset, or a simulation of it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from storage_schemas.base import Document, Slug

Pathology = Literal["ms", "glioma", "leukodystrophy", "small-vessel", "metastases"]
Contrast = Literal["FLAIR", "T1w", "ce-gadolinium_T1w"]


class CohortPlan(Document):
    """A cohort to be simulated; the same plan gives the same bytes."""

    pathology: Pathology | tuple[Pathology, ...]
    """One, or several that take turns."""
    studies: Annotated[int, Field(ge=1)]
    seed: int
    spacing_mm: Annotated[float, Field(gt=0)] | None = None
    """None: each site's own spacing; a number: every image isotropic at this spacing."""
    sites: tuple[str, ...] | None = None
    """None: all built-in sites in turn."""
    contrasts: tuple[Contrast, ...] = ("FLAIR",)
    timepoints: Literal[1, 2] = 1


class Cohort(Document):
    """Where the studies of one cohort come from."""

    simulate: CohortPlan | None = None
    """How to simulate it; None: a dataset must be given at run time."""
    patient_register: Slug | None = None
    """Whose patient labels these are, for example one hospital's pseudonyms: a label that two cohorts of one register
    share is one person. None: its labels mean nothing outside this cohort (every dataset has a sub-01)."""
