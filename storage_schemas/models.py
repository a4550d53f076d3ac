"""The model card and the transfer receipt: what a set of weights is, and what in it was taken over from where.

A model in the store is `weights.safetensors` (never pickle), `card.json` (a ModelCard) and `receipt.parquet`
(TensorReceipt rows).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from storage_schemas.base import Digest, Document, Sha256, Slug
from storage_schemas.tasks import TaskName


class Architecture(Document):
    """A 3-D U-Net (Wahlig et al. 2023, figure 2A; details after Duong et al. 2019, see DECISIONS.md)."""

    depth: Annotated[int, Field(ge=1, le=6)] = 4
    """Down-sampling blocks; the paper's 4, and 3 and 5 as alternatives."""
    base_channels: Annotated[int, Field(ge=1)] = 32
    """Channels at full resolution; doubled at each down-sampling."""
    norm: Literal["batch", "instance", "group"] = "instance"
    upsampling: Literal["transposed", "linear"] = "linear"
    encoder_dilation: Annotated[int, Field(ge=1)] = 1
    """Dilation of the second convolution of each encoder block; 2 in Duong et al. 2019."""


class InferenceConfig(Document):
    """Whole-head inference: overlapping windows of the patch size, mean of probabilities, one threshold."""

    step_voxels: Annotated[int, Field(gt=0)] = 32
    threshold: Annotated[float, Field(gt=0, lt=1)] = 0.5


class ModelName(Document):
    """Which registered model: its name and one immutable version."""

    name: Slug
    version: Digest


class ModelCard(Document):
    """All that a user of the weights must know; `weights_sha256` is checked at every load."""

    name: Slug
    version: Digest
    """The run that trained it."""
    task: TaskName
    architecture: Architecture
    channels: tuple[str, ...]
    """Input channels, in order."""
    spacing_mm: Annotated[float, Field(gt=0)]
    """Isotropic grid that the network was trained on."""
    patch_voxels: Annotated[int, Field(gt=0)]
    """Edge of the training patches, and of the windows of whole-head inference."""
    inference: InferenceConfig
    weights_sha256: Sha256
    parent: ModelName | None = None
    """The default model it was fine-tuned from; None: de novo."""
    cohort: Slug
    training_studies: Annotated[int, Field(ge=1)]
    """How many studies it was trained on (the source model's studies not counted)."""


class ChannelOrigin(Document):
    """Where the first convolution's weights of one input channel come from: exactly one of the three."""

    copy_of: str | None = None
    """This channel of the source."""
    mean_of: tuple[str, ...] = ()
    """The mean over these channels of the source."""
    zero: bool = False
    """Zeros: the channel is blind at first and learns from there."""

    @model_validator(mode="after")
    def _one_origin(self) -> ChannelOrigin:
        if sum([self.copy_of is not None, bool(self.mean_of), self.zero]) != 1:
            raise ValueError("wanted exactly one of copy_of, mean_of, zero")
        return self


class Adaptation(Document):
    """How source weights are fitted to a network of other channels or depth; whatever is not declared is refused."""

    channels: dict[str, ChannelOrigin] = Field(default_factory=dict)
    """By the network's input channel; empty: the source must have the same channels."""
    head: Literal["keep", "reinitialise"] = "keep"
    depth: Literal["same", "shared-levels"] = "same"
    """`shared-levels`: levels that both networks have are taken over, the others start fresh."""


class TensorReceipt(Document):
    """What became of one tensor of a network when source weights were loaded into it."""

    tensor: str
    shape: str
    """For example `32x1x3x3x3`."""
    origin: Literal["source", "adapted", "fresh"]
    how: str
    """`copied`, or which adaptation, or why it is fresh."""
