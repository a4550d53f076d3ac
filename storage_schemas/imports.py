"""Describe a model that was trained elsewhere: the card file that a person writes for `lesionlab import`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from storage_schemas.base import Document, ModelSpacing, Slug
from storage_schemas.cohorts import Stripping
from storage_schemas.models import Architecture, Declared, InferenceConfig, window_faults
from storage_schemas.tasks import TaskNamedOrFull


class ImportCard(Document):
    """What weights from elsewhere are.

    Raises ValueError if two tensors are mapped from one, or if the network cannot predict in windows of its patch.
    """

    name: Slug
    """Name under which the model is registered."""
    task: TaskNamedOrFull
    spacing_mm: ModelSpacing = 1.0
    """Spacing of the isotropic grid that it was trained on."""
    architecture: Architecture = Architecture()
    patch_voxels: Annotated[int, Field(gt=0, le=512)]
    inference: InferenceConfig = InferenceConfig()
    strip: Stripping | None = None
    """Whether and how its training images became skull-stripped; None: not declared."""
    cohort: Slug
    """What it was trained on; if that is a cohort of this store, its name, so that patients can be compared."""
    training_studies: Annotated[int, Field(ge=0)] = 0
    """Number of training studies; 0: unknown."""
    declared: Declared
    tensors: dict[str, str] = Field(default_factory=dict)
    """Tensor map: names in lesionlab's network to names in the file. `entry.: encoder.0.` maps every tensor that begins
    so, and `'': module.` all of them; the longest beginning counts, and names without one must be equal."""

    @model_validator(mode="after")
    def _each_source_once(self) -> ImportCard:
        found = list(self.tensors.values())
        if twice := sorted({name for name in found if found.count(name) > 1}):
            raise ValueError(f"tensors: wanted each name of the file once, found several of {', '.join(twice)}")
        return self

    @model_validator(mode="after")
    def _predicts_in_windows(self) -> ImportCard:
        if faults := list(window_faults("the card", self.patch_voxels, self.architecture.depth, self.inference)):
            raise ValueError("; ".join(faults))
        return self
