"""Define demographics and scanner parameters of a study, for the cohort tables (Wahlig et al. 2023, tables 1 and 2)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from storage_schemas.base import Document, Slug, StudyId
from storage_schemas.tasks import Visit


class StudyFacts(Document):
    """Facts of one visit of one study; None: unknown. No field identifies the patient."""

    study: StudyId
    patient: str
    site: Slug
    visit: Visit = "this"
    """`initial`: the earlier visit of a two-visit study, which has its own row."""
    sex: Literal["F", "M", "O"] | None = None
    age_years: Annotated[float, Field(ge=0, le=90)] | None = None
    """Age at the scan; 90 stands for all higher ages."""
    field_strength_t: Annotated[float, Field(gt=0)] | None = None
    echo_time_ms: Annotated[float, Field(gt=0)] | None = None
    repetition_time_ms: Annotated[float, Field(gt=0)] | None = None
    acquisition: Literal["2D", "3D"] | None = None
    manufacturer: str | None = None
    model: str | None = None
