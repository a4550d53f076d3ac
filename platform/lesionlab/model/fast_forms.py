"""Normalise and up-sample: as torch does it on a CPU, and in equal but faster forms on a GPU.

Autocast runs torch's group normalisation and trilinear interpolation in float32, so on a GPU half of a bf16 step was
conversion and memory traffic (tests/benchmarks/NOTES.md). The forms here agree with torch's up to rounding. They have
no tensors of their own: weights, their names and checkpoints do not depend on the device.

Shapes: B batch, C channel, G group, c channel of a group, i j k voxels.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from lesionlab.model import devices


class GroupNorm(nn.GroupNorm):
    """torch's group normalisation; for bf16 features on a GPU, bf16 in and out with statistics in float32."""

    def forward(self, features_BCijk: Tensor) -> Tensor:
        if features_BCijk.dtype != torch.bfloat16 or not devices.on_gpu(features_BCijk.device):
            return super().forward(features_BCijk)
        with torch.autocast(features_BCijk.device.type, enabled=False):
            if torch.compiler.is_compiling():
                return self._written_out(features_BCijk)
            weight_C, bias_C = self.weight.to(torch.bfloat16), self.bias.to(torch.bfloat16)
            # torch's kernel for bf16 sums in float32.
            return functional.group_norm(features_BCijk, self.num_groups, weight_C, bias_C, self.eps)

    def _written_out(self, features_BCijk: Tensor) -> Tensor:
        """In single operations, which the compiler merges with their neighbours; torch's kernel it cannot merge."""
        exact_BCijk = features_BCijk.float()
        centred_BCijk = exact_BCijk - self._over_group(exact_BCijk.mean((2, 3, 4), keepdim=True))
        variance_BC111 = self._over_group(centred_BCijk.square().mean((2, 3, 4), keepdim=True))
        scale_BC111 = self.weight[None, :, None, None, None] * torch.rsqrt(variance_BC111 + self.eps)
        return (centred_BCijk * scale_BC111 + self.bias[None, :, None, None, None]).to(torch.bfloat16)

    def _over_group(self, mean_BC111: Tensor) -> Tensor:
        """The mean over the channels of each group, for each of its channels."""
        if self.num_groups == self.num_channels:
            return mean_BC111
        grouped_BGc111 = mean_BC111.reshape(len(mean_BC111), self.num_groups, -1, 1, 1, 1)
        return grouped_BGc111.mean(2, keepdim=True).expand_as(grouped_BGc111).flatten(1, 2)


class Upsample(nn.Module):
    """Double the resolution by trilinear interpolation (align_corners=False)."""

    def forward(self, features_BCijk: Tensor) -> Tensor:
        if devices.on_gpu(features_BCijk.device):
            return _doubled(features_BCijk)
        return functional.interpolate(features_BCijk, scale_factor=2, mode="trilinear", align_corners=False)


def _doubled(features_BCijk: Tensor) -> Tensor:
    """Trilinear up-sampling by 2, one axis after the other, by slices.

    Each new voxel is 3/4 of the nearest old one and 1/4 of the next on its side. The gradient is a sum in a fixed
    order; torch's own kernel adds it up by atomic operations.
    """
    for axis in (2, 3, 4):
        n = features_BCijk.shape[axis]
        before = torch.cat([features_BCijk.narrow(axis, 0, 1), features_BCijk.narrow(axis, 0, n - 1)], axis)
        after = torch.cat([features_BCijk.narrow(axis, 1, n - 1), features_BCijk.narrow(axis, n - 1, 1)], axis)
        near = 0.75 * features_BCijk
        features_BCijk = torch.stack([near + 0.25 * before, near + 0.25 * after], axis + 1).flatten(axis, axis + 1)
    return features_BCijk
