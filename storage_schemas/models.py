"""The model card and the transfer transfers: what a set of weights is, and what in it was taken over from where.

A model in the store is `weights.safetensors` (never pickle), `card.json` (a ModelCard) and `transfer.parquet`
(TensorTransfer rows).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from storage_schemas.base import Digest, Document, Sha256, Slug
from storage_schemas.tasks import Task


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


Precision = Literal["fp32", "bf16"]
"""fp32: all arithmetic in float32, with TF32 off. bf16: convolutions and products in bfloat16 (autocast), weights and
sums in float32. Declared, never inferred from the device: the same run gives the same result wherever it runs."""


class InferenceConfig(Document):
    """Whole-head inference: overlapping windows of the patch size, mean of probabilities, one threshold."""

    step_voxels: Annotated[int, Field(gt=0)] = 32
    threshold: Annotated[float, Field(gt=0, lt=1)] = 0.5
    precision: Precision = "fp32"


class ModelName(Document):
    """Which registered model: its name and one immutable version."""

    name: Slug
    version: Digest


class ModelCard(Document):
    """All that a user of the weights must know; `weights_sha256` is checked at every load."""

    name: Slug
    version: Digest
    """The run that trained it."""
    task: Task
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
    """The mean over these channels of the source, at their joint strength: as if each showed what this one shows."""
    zero: bool = False
    """Zeros: the channel is blind at first and learns from there."""

    @model_validator(mode="after")
    def _one_origin(self) -> ChannelOrigin:
        if sum([self.copy_of is not None, bool(self.mean_of), self.zero]) != 1:
            raise ValueError("wanted exactly one of copy_of, mean_of, zero")
        if len(set(self.mean_of)) < len(self.mean_of):
            raise ValueError(f"mean_of: found a channel twice in {', '.join(self.mean_of)}")
        return self

    @property
    def taken_from(self) -> tuple[str, ...]:
        """The channels of the source that this one takes from."""
        return self.mean_of if self.copy_of is None else (self.copy_of,)


class Adaptation(Document):
    """How source weights are fitted to a network of other channels or depth; whatever is not declared is refused."""

    channels: dict[str, ChannelOrigin] = Field(default_factory=dict)
    """By the network's input channel, each of them; empty: the source must have the same channels.

    A channel of the source from which several take is shared out evenly, so that the weights keep their sum over the
    channels that are used: one image on all channels is answered as the source answers it on those that are used.
    """
    head: Literal["keep", "reinitialise"] = "keep"
    depth: Literal["same", "shared-levels"] = "same"
    """`shared-levels`: levels of resolution that both networks have are taken over, the others start fresh."""

    def misfits(self, source: ModelCard, architecture: Architecture, channels: tuple[str, ...]) -> list[str]:
        """All that keeps the source's weights from such a network; none where all that differs is declared.

        What is declared but not needed is no fault: one declaration serves a study of several depths.
        """
        wanted, found = architecture.model_dump(), source.architecture.model_dump()
        declared = {"depth"} if self.depth == "shared-levels" else set()
        faults = [
            f"{field}: wanted {wanted[field]}, found {found[field]}"
            for field in wanted
            if wanted[field] != found[field] and field not in declared
        ]
        if not self.channels:
            if source.channels != channels:
                faults.append(f"channels: wanted {', '.join(channels)}; found {', '.join(source.channels)}")
            return faults
        if self.channels.keys() != set(channels):
            faults.append(
                f"channels: wanted the origin of each of {', '.join(channels)}; declared are {', '.join(self.channels)}"
            )
        taken = {name for origin in self.channels.values() for name in origin.taken_from}
        if strangers := sorted(taken - set(source.channels)):
            faults.append(f"channels: wanted to take {', '.join(strangers)}; found {', '.join(source.channels)}")
        if not taken:
            faults.append("channels: every one starts from zero, and the network would see nothing")
        return faults


class TensorTransfer(Document):
    """What became of one tensor of a network when source weights were loaded into it."""

    tensor: str
    shape: str
    """For example `32x1x3x3x3`."""
    origin: Literal["source", "adapted", "fresh"]
    how: str
    """`copied`, or which adaptation, or why it is fresh."""
