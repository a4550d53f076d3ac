"""What is known of a study beside its voxels, for the cohort tables (Wahlig et al. 2023, tables 1 and 2)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from storage_schemas.base import Document, Slug, StudyId
from storage_schemas.tasks import Visit


class StudyFacts(Document):
    """One visit of one study; None: not known. Nothing here tells who the patient is."""

    study: StudyId
    patient: str
    site: Slug
    visit: Visit = "this"
    """`initial`: the earlier one of a study of two visits, which has a line of its own."""
    sex: Literal["F", "M", "O"] | None = None
    age_years: Annotated[float, Field(ge=0, le=90)] | None = None
    """At the scan; 90 stands for all higher ages."""
    field_strength_t: Annotated[float, Field(gt=0)] | None = None
    echo_time_ms: Annotated[float, Field(gt=0)] | None = None
    repetition_time_ms: Annotated[float, Field(gt=0)] | None = None
    acquisition: Literal["2D", "3D"] | None = None
    manufacturer: str | None = None
    model: str | None = None
