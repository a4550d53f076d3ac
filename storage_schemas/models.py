"""Describe a model: its card, its architecture, its adaptation to other inputs, and its weight-transfer report.

A model in the store is `weights.safetensors` (never pickle), `card.json` (a ModelCard) and `transfer.parquet` (the
weight-transfer report: one TensorTransfer row per tensor).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field, model_validator

from storage_schemas.base import Digest, Document, ModelSpacing, Sha256, Slug, StudyId
from storage_schemas.cohorts import Stripping
from storage_schemas.tasks import Task

MOST_CHANNELS = 4096
"""At the deepest level; the paper has 512, and one convolution of 4096 channels takes 1.8 GB."""


class Architecture(Document):
    """A 3-D U-Net (Wahlig et al. 2023, figure 2A; details after Duong et al. 2019, see DECISIONS.md)."""

    depth: Annotated[int, Field(ge=1, le=6)] = 4
    """Number of down-sampling blocks: 4 in the paper, 3 and 5 as alternatives."""
    base_channels: Annotated[int, Field(ge=1)] = 32
    """Channels at full resolution; doubled at each down-sampling."""
    norm: Literal["batch", "instance", "group"] = "instance"
    upsampling: Literal["transposed", "linear"] = "linear"
    encoder_dilation: Annotated[int, Field(ge=1, le=64)] = 1
    """Dilation of the second convolution of each encoder block; 2 in Duong et al. 2019."""

    @model_validator(mode="after")
    def _fits_into_a_machine(self) -> Architecture:
        if self.base_channels * 2**self.depth > MOST_CHANNELS:
            raise ValueError(
                f"base_channels: wanted at most {MOST_CHANNELS // 2**self.depth} at depth {self.depth}, found "
                f"{self.base_channels}"
            )
        return self


Precision = Literal["fp32", "bf16"]
"""fp32: all arithmetic in float32, TF32 off. bf16: convolutions and matrix products in bfloat16 (autocast), weights and
sums in float32. Always declared, never inferred from the device, so that a run does not depend on its device."""


class InferenceConfig(Document):
    """Whole-head inference: mean probability over overlapping windows of the patch size, then one threshold."""

    step_voxels: Annotated[int, Field(gt=0)] = 32
    threshold: Annotated[float, Field(gt=0, lt=1)] = 0.5
    precision: Precision = "fp32"


def window_faults(owner: str, patch_voxels: int, depth: int, inference: InferenceConfig) -> Iterator[str]:
    """Why a network of this depth cannot predict a head in windows of this patch; `owner` says whose patch it is."""
    if patch_voxels % 2**depth:
        yield (
            f"{owner}: patch_voxels must be a multiple of {2**depth} for a U-Net of depth {depth}; found {patch_voxels}"
        )
    if patch_voxels < inference.step_voxels:
        yield (
            f"inference: step_voxels must not exceed the patch of {owner} ({patch_voxels}), "
            f"or windows leave gaps; found {inference.step_voxels}"
        )


class ModelName(Document):
    """A registered model: its name and one immutable version."""

    name: Slug
    version: Digest


class Declared(Document):
    """What the person who imported a model declares about its training; nothing in the store can confirm it."""

    origin: Annotated[str, Field(min_length=1)]
    """Where the weights come from, in words: an address, a paper, an institution."""
    patients: tuple[str, ...] = ()
    """Labels of its training patients, as in the cohort that the card names; empty: not declared."""
    ancestry: tuple[str, ...] | None = None
    """What it was fine-tuned from, in words, oldest first; empty: trained de novo; None: unknown."""
    file_sha256: Sha256 | None = None
    """Of the imported file; set by the import."""
    largest_difference: float | None = None
    """Largest difference of probabilities from the original's, on the input that came with it; None: not compared."""


class ModelCard(Document):
    """Everything needed to use a model's weights; `weights_sha256` is checked at every load."""

    name: Slug
    version: Digest
    """Id of the run that trained it; of an ensemble, a digest of its members' ids; of an imported model, of what was
    imported."""
    task: Task
    architecture: Architecture
    channels: Annotated[tuple[str, ...], Field(min_length=1, max_length=64)]
    """Input channels, in order."""
    spacing_mm: ModelSpacing
    """Spacing of the isotropic model grid that it was trained on."""
    patch_voxels: Annotated[int, Field(gt=0, le=512)]
    """Edge length of the training patches and of the windows of whole-head inference."""
    inference: InferenceConfig
    weights_sha256: Sha256
    parent: ModelName | None = None
    """The default model that it was fine-tuned from; None: trained de novo."""
    cohort: Slug
    training_studies: Annotated[int, Field(ge=0)]
    """Number of studies that it was trained on, without those of its parent; 0: unknown, of an imported model."""
    trained_on: tuple[StudyId, ...] = ()
    """These studies, sorted; empty in cards of earlier versions, and where no run was registered."""
    strip: Stripping | None = None
    """Whether and how its training images became skull-stripped; None: not declared."""
    members: tuple[Digest, ...] = ()
    """Of an ensemble, the runs that trained its networks, whose probabilities are averaged; empty: a single network."""
    declared: Declared | None = None
    """Of an imported model, what is declared about its training; None: a run of this platform trained it."""

    @property
    def networks(self) -> int:
        """Number of its networks."""
        return len(self.members) or 1

    @property
    def full_name(self) -> str:
        """`name@version`, as `--model` takes it."""
        return f"{self.name}@{self.version}"

    @property
    def started_from(self) -> str:
        """`de novo`, or what it was fine-tuned from, as far as that is known."""
        if self.declared is not None:
            known = self.declared.ancestry
            return "unknown" if known is None else f"{known[-1]}, as declared" if known else "de novo, as declared"
        return f"{self.parent.name}@{self.parent.version}" if self.parent else "de novo"


class ChannelOrigin(Document):
    """Origin of the first convolution's weights for one input channel: exactly one of the three fields."""

    copy_of: str | None = None
    """Copy the weights of this source channel."""
    mean_of: tuple[str, ...] = ()
    """Sum the weights of these source channels, as if each of them showed the image of this channel."""
    zero: bool = False
    """Start from zeros: the channel is ignored at first and is learned during training."""

    @model_validator(mode="after")
    def _one_origin(self) -> ChannelOrigin:
        if sum([self.copy_of is not None, bool(self.mean_of), self.zero]) != 1:
            raise ValueError("wanted exactly one of copy_of, mean_of, zero")
        if len(set(self.mean_of)) < len(self.mean_of):
            raise ValueError(f"mean_of: found a channel twice in {', '.join(self.mean_of)}")
        return self

    @property
    def taken_from(self) -> tuple[str, ...]:
        """The source channels that this channel uses."""
        return self.mean_of if self.copy_of is None else (self.copy_of,)


class Adaptation(Document):
    """How source weights are adapted to a network of other channels or depth; undeclared differences are refused."""

    channels: dict[str, ChannelOrigin] = Field(default_factory=dict)
    """Origin of every input channel of the network; empty: the source must have the same channels.

    A source channel that several channels use is divided equally among them, which keeps the sum of the weights: given
    one image on all channels, the network answers as the source does with this image on the channels that are used.
    """
    head: Literal["keep", "reinitialise"] = "keep"
    depth: Literal["same", "shared-levels"] = "same"
    """`shared-levels`: load the resolution levels that both networks have; the others are randomly initialised."""

    def misfits(self, source: ModelCard, architecture: Architecture, channels: tuple[str, ...]) -> list[str]:
        """Every undeclared difference between the source and such a network; empty if the weights can be loaded.

        A declaration that is not needed is allowed, so that one declaration serves an experiment with several depths.
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
                f"channels: wanted the origin of each of {', '.join(channels)}; found {', '.join(self.channels)}"
            )
        taken = {name for origin in self.channels.values() for name in origin.taken_from}
        if missing := sorted(taken - set(source.channels)):
            faults.append(f"channels: wanted {', '.join(missing)} in the source; found {', '.join(source.channels)}")
        if not taken:
            faults.append("channels: wanted at least one origin in the source; found only zeros")
        return faults


class TensorTransfer(Document):
    """Origin of one tensor of a network: a row of the weight-transfer report."""

    tensor: str
    shape: str
    """For example `32x1x3x3x3`."""
    origin: Literal["source", "adapted", "random"]
    """source: copied unchanged. adapted: computed from the source. random: randomly initialised."""
    how: str
    """Details: `copied`, the adaptation, or why the tensor is randomly initialised."""
