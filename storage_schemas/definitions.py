"""What counts as a lesion and what as a hit: named definitions, stored with every row as `name@digest`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from storage_schemas.base import Document, Slug


class MetricDefinition(Document):
    """What counts as a lesion and what as a hit; stored with every row as `name@digest`."""

    name: Slug = "paper"
    connectivity: Literal[6, 18, 26] = 26
    """Neighbourhood that makes voxels one lesion."""
    minimum_volume_mm3: Annotated[float, Field(ge=0)] = 0.0
    """Smaller components are dropped from both masks; the paper has no minimum."""
    minimum_overlap: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Part of a lesion that the other mask must cover for a hit; 0: any shared voxel."""

    def label(self) -> str:
        """How rows name this definition."""
        return f"{self.name}@{self.digest()}"
