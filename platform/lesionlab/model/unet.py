"""Build a 3-D U-Net of a given architecture with reproducible random weights from a seed.

Wahlig et al. 2023, figure 2A: `depth` down-samplings, `depth` up-samplings, and a skip connection at every resolution.
Each block has two 3×3×3 convolutions, each followed by normalisation and ReLU; channels double at each down-sampling.

Shapes: B batch, C channel, I J K voxel axes (multiples of 2**depth), i j k the same axes at a block's own resolution.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor, nn

from lesionlab.model.fast_forms import (
    BatchNorm,
    Convolution,
    GroupNorm,
    JoiningConvolution,
    Pointwise,
    Upsample,
    handed_out,
    laid_out,
)
from lesionlab.model.parts import PartedNetwork, Place
from storage_schemas.models import Architecture

CLASSES = 2
"""Background and lesion. The network returns logits; the caller applies softmax."""

LESION = 1
"""Index of the lesion class."""

LESION_PRIOR = 0.01
"""Lesion probability that a randomly initialised network predicts (Lin et al. 2017), about the share of lesion voxels
in patches. From 0.5, the network would spend hundreds of steps on learning only that lesions are rare."""


class UNet(PartedNetwork):
    """Map image patches to logits of the same size; build it with `build_unet`."""

    first_convolution: ClassVar[str] = "entry.conv1.weight"

    def __init__(self, architecture: Architecture, channels: int) -> None:
        super().__init__()
        self.architecture = architecture
        self.channels = channels
        widths = [architecture.base_channels * 2**level for level in range(architecture.depth + 1)]
        norm, dilation = architecture.norm, architecture.encoder_dilation
        self.entry = _block(channels, widths[0], norm, dilation)
        self.down = nn.ModuleList(
            _named(
                halve=nn.Conv3d(finer, coarser, kernel_size=2, stride=2),
                block=_block(coarser, coarser, norm, dilation),
            )
            for finer, coarser in pairwise(widths)
        )
        upwards = list(pairwise(reversed(widths)))
        self.up = nn.ModuleList(_up(coarser, finer, architecture.upsampling) for coarser, finer in upwards)
        self.merge = nn.ModuleList(
            _block(2 * finer, finer, norm, dilation=1, first=JoiningConvolution) for _, finer in upwards
        )
        self.head = Pointwise(widths[0], CLASSES)

    def place_of(self, tensor: str) -> Place:
        """See PartedNetwork. Module names count encoder levels from the top and decoder levels from the bottom."""
        module, _, rest = tensor.partition(".")
        if module == "entry":
            return Place("encoder", 0, rest)
        if module == "head":
            return Place("head", 0, rest)
        number, _, rest = rest.partition(".")
        if module == "down":
            return Place("encoder", int(number) + 1, rest)
        level = self.architecture.depth - 1 - int(number)
        if module == "up":
            return Place("decoder", level, f"up.{rest}", reads="decoder" if int(number) else "encoder")
        if module == "merge":
            return Place("decoder", level, f"merge.{rest}")
        raise KeyError(tensor)

    def forward(self, image_BCIJK: Tensor) -> Tensor:
        """Logits (B, 2, I, J, K). Raises ValueError for wrong channels or a size that does not fit the depth."""
        self._check(image_BCIJK)
        features_BCijk = self.entry(laid_out(image_BCIJK))
        skips = []
        for down in self.down:
            skips.append(features_BCijk)
            features_BCijk = down(features_BCijk)
        for up, merge in zip(self.up, self.merge, strict=True):
            features_BCijk = merge((skips.pop(), up(features_BCijk)))
        return handed_out(self.head(features_BCijk))

    def _check(self, image_BCIJK: Tensor) -> None:
        scale = 2**self.architecture.depth
        voxels = tuple(image_BCIJK.shape[2:])
        # A single voxel at the deepest level has an SD of 0: normalised, it would be the same for every image.
        fits = len(voxels) == 3 and not any(n % scale for n in voxels) and max(voxels) > scale
        if not fits or image_BCIJK.shape[1] != self.channels:
            raise ValueError(
                f"U-Net of depth {self.architecture.depth}: wanted {self.channels} channels and three axes of a "
                f"multiple of {scale} voxels, at least {2 * scale} along one; found {tuple(image_BCIJK.shape)} "
                "(batch, channels, voxels); pad the image or choose another patch size"
            )


def build_unet(architecture: Architecture, channels: int, seed: int) -> UNet:
    """A U-Net for `channels` input channels, on the CPU; equal arguments give equal bytes.

    Convolutions are initialised after He et al. 2015, normalisations as identity, and the head's bias so that the
    network predicts LESION_PRIOR. The global random state is neither read nor changed.
    """
    with torch.device("meta"):  # shapes only: torch would initialise real tensors from the global random state
        network = UNet(architecture, channels)
    network.to_empty(device="cpu")
    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.Conv3d | nn.ConvTranspose3d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm3d | nn.GroupNorm):
            module.reset_parameters()
    network.head.get_parameter("bias").data[LESION] = math.log(LESION_PRIOR / (1 - LESION_PRIOR))
    return network


def _block(
    channels_in: int, channels_out: int, norm: str, dilation: int, first: type[Convolution] = Convolution
) -> nn.Sequential:
    return _named(
        conv1=first(channels_in, channels_out),
        norm1=_norm(norm, channels_out),
        conv2=Convolution(channels_out, channels_out, dilation),
        norm2=_norm(norm, channels_out),
    )


def _named(**modules: nn.Module) -> nn.Sequential:
    """A sequence of modules; their names become part of the tensor names in weights and weight-transfer reports."""
    return nn.Sequential(OrderedDict(modules))


def _norm(norm: str, channels: int) -> nn.Module:
    """Normalisation and ReLU."""
    match norm:
        case "batch":
            return BatchNorm(channels)
        case "instance":
            # Instance normalisation is group normalisation with one channel per group, which torch computes faster.
            return GroupNorm(channels, channels)
        case "group":
            return GroupNorm(math.gcd(8, channels), channels)
        case _:
            raise ValueError(f"norm: wanted batch, instance or group, found {norm!r}")


def _up(coarser: int, finer: int, upsampling: str) -> nn.Module:
    if upsampling == "transposed":
        return _named(enlarge=nn.ConvTranspose3d(coarser, finer, kernel_size=2, stride=2))
    # The 1×1×1 convolution commutes with interpolation and costs an eighth at the coarser resolution.
    return _named(reduce=Pointwise(coarser, finer), enlarge=Upsample())
