"""The network of a lesionlab model in plain PyTorch, for other programs: image patches in, logits out.

`build(...)` makes a network whose tensors have the names and shapes of the exported weights. An ensemble returns
log-probabilities of its mean, so that softmax gives probabilities in either case. Nothing of lesionlab is imported:
an exported bundle contains this file.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn


class UNet(nn.Module):
    """A 3-D U-Net: `depth` down-samplings, as many up-samplings, a skip connection at each resolution."""

    def __init__(
        self, channels: int, depth: int, base_channels: int, norm: str, upsampling: str, dilation: int
    ) -> None:
        super().__init__()
        widths = [base_channels * 2**level for level in range(depth + 1)]
        self.entry = _block(channels, widths[0], norm, dilation)
        self.down = nn.ModuleList(
            _named(halve=nn.Conv3d(a, b, 2, stride=2), block=_block(b, b, norm, dilation)) for a, b in pairwise(widths)
        )
        upwards = list(pairwise(reversed(widths)))
        self.up = nn.ModuleList(_up(a, b, upsampling) for a, b in upwards)
        self.merge = nn.ModuleList(_block(2 * b, b, norm, 1) for _, b in upwards)
        self.head = nn.Conv3d(widths[0], 2, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Logits of background and lesion (batch, 2, i, j, k); each axis must be a multiple of 2**depth."""
        features = self.entry(image)
        skips = []
        for down in self.down:
            skips.append(features)
            features = down(features)
        for up, merge in zip(self.up, self.merge, strict=True):
            features = merge(torch.cat([skips.pop(), up(features)], dim=1))
        logits: Tensor = self.head(features)
        return logits


class Ensemble(nn.Module):
    """Log of the mean probability of several networks."""

    def __init__(self, networks: list[UNet]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)

    def forward(self, image: Tensor) -> Tensor:
        """Log-probabilities (batch, 2, i, j, k)."""
        return torch.log(torch.stack([torch.softmax(own(image), dim=1) for own in self.networks]).mean(0))


def build(architecture: Mapping[str, Any], channels: int, networks: int = 0) -> nn.Module:
    """The network of an architecture as in the bundle's metadata; an ensemble of `networks`, or one network if 0."""

    def one() -> UNet:
        return UNet(
            channels,
            architecture["depth"],
            architecture["base_channels"],
            architecture["norm"],
            architecture["upsampling"],
            architecture["encoder_dilation"],
        )

    return Ensemble([one() for _ in range(networks)]) if networks else one()


def _block(channels_in: int, channels_out: int, norm: str, dilation: int) -> nn.Sequential:
    return _named(
        conv1=nn.Conv3d(channels_in, channels_out, 3, padding=1, bias=False),
        norm1=_norm(norm, channels_out),
        relu1=nn.ReLU(),
        conv2=nn.Conv3d(channels_out, channels_out, 3, padding=dilation, dilation=dilation, bias=False),
        norm2=_norm(norm, channels_out),
        relu2=nn.ReLU(),
    )


def _norm(norm: str, channels: int) -> nn.Module:
    if norm == "batch":
        return nn.BatchNorm3d(channels)
    return nn.GroupNorm(channels if norm == "instance" else math.gcd(8, channels), channels)


def _up(channels_in: int, channels_out: int, upsampling: str) -> nn.Module:
    if upsampling == "transposed":
        return _named(enlarge=nn.ConvTranspose3d(channels_in, channels_out, 2, stride=2))
    enlarge = nn.Upsample(scale_factor=2, mode="trilinear", align_corners=False)
    return _named(reduce=nn.Conv3d(channels_in, channels_out, 1), enlarge=enlarge)


def _named(**modules: nn.Module) -> nn.Sequential:
    return nn.Sequential(OrderedDict(modules))
