"""How a simulated cohort is described in a study file."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from storage_schemas.base import Document

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
