"""Parts of a network in forms that agree with torch's up to rounding and are faster, on a CPU and on a GPU.

On a CPU features lie in channels_last_3d, in which oneDNN's convolutions of few channels take less than half of the
time; what torch does slowly in that format has a form here. On a GPU autocast runs torch's group normalisation and
trilinear interpolation in float32, and half of a bf16 step was conversion and memory traffic. Numbers are in
tests/benchmarks/NOTES.md. Tensors, their names and their formats in memory are torch's: weights and checkpoints do not
depend on the device.

Shapes: B batch, C channel, i j k voxels.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from lesionlab.model import devices
from lesionlab.model.normalise import normalised_relu, over_groups

NATIVE_PLANE = 20_480
"""Most channels × I × J of a single image that torch (2.11 to 2.13) keeps from oneDNN; its own convolution takes
several times as long."""


def on_cpu(features_BCijk: Tensor) -> bool:
    """Whether the forms for a CPU are used; what is exported stays in torch's."""
    return not devices.on_gpu(features_BCijk.device) and not torch.compiler.is_compiling()


def laid_out(image_BCijk: Tensor) -> Tensor:
    """The image in the format in which the forms here are fast on its device."""
    return image_BCijk.to(memory_format=torch.channels_last_3d) if on_cpu(image_BCijk) else image_BCijk


def handed_out(logits_BCijk: Tensor) -> Tensor:
    """The logits as callers on a CPU expect tensors, contiguous; the loss would copy them anyway."""
    return logits_BCijk.contiguous() if on_cpu(logits_BCijk) else logits_BCijk


class Convolution(nn.Conv3d):
    """A convolution of 3×3×3 voxels that keeps the size; on a CPU by oneDNN whatever the number of images."""

    def __init__(self, channels_in: int, channels_out: int, dilation: int = 1) -> None:
        super().__init__(channels_in, channels_out, kernel_size=3, padding=dilation, dilation=dilation, bias=False)

    def forward(self, features_BCijk: Tensor) -> Tensor:
        if not on_cpu(features_BCijk):
            return super().forward(features_BCijk)
        return self._convolved(features_BCijk, self.weight)

    def _convolved(self, features_BCijk: Tensor, weight: Tensor) -> Tensor:
        if len(features_BCijk) > 1 or features_BCijk.shape[1:4].numel() > NATIVE_PLANE:
            return functional.conv3d(features_BCijk, weight, padding=self.padding, dilation=self.dilation)
        # As two images: each half of the planes, with its neighbours.
        planes, margin = features_BCijk.shape[2], int(self.padding[0])
        half = (planes + 1) // 2
        padded_1Cijk = functional.pad(features_BCijk, (0, 0, 0, 0, margin, margin + planes % 2))
        halves_2Cijk = torch.cat([padded_1Cijk[:, :, : half + 2 * margin], padded_1Cijk[:, :, half:]])
        convolved_2Cijk = functional.conv3d(
            halves_2Cijk, weight, padding=(0, *self.padding[1:]), dilation=self.dilation
        )
        return torch.cat([convolved_2Cijk[:1], convolved_2Cijk[1:]], dim=2)[:, :, :planes]


class JoiningConvolution(Convolution):
    """A convolution of skipped and up-sampled features together.

    On a CPU it is the sum of two, for which features are not copied into one tensor, nor gradients out of one.
    """

    def forward(self, skipped_and_enlarged: tuple[Tensor, Tensor]) -> Tensor:  # type: ignore[override]
        skipped_BCijk, enlarged_BCijk = skipped_and_enlarged
        if not on_cpu(skipped_BCijk):
            return super().forward(torch.cat([skipped_BCijk, enlarged_BCijk], dim=1))
        channels = [skipped_BCijk.shape[1], enlarged_BCijk.shape[1]]
        for_skipped, for_enlarged = torch.split(self.weight, channels, dim=1)
        return self._convolved(skipped_BCijk, for_skipped).add_(self._convolved(enlarged_BCijk, for_enlarged))


class Pointwise(nn.Conv3d):
    """A convolution of 1×1×1 voxels; on a CPU a matrix product, whose gradients take a fifth of the time."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__(channels_in, channels_out, kernel_size=1)

    def forward(self, features_BCijk: Tensor) -> Tensor:
        if not on_cpu(features_BCijk):
            return super().forward(features_BCijk)
        features_BijkC = functional.linear(features_BCijk.movedim(1, -1), self.weight.flatten(1), self.bias)
        return features_BijkC.movedim(-1, 1)


class GroupNorm(nn.GroupNorm):
    """torch's group normalisation, followed by ReLU.

    For bf16 features on a GPU: bf16 in and out, with statistics in float32.
    """

    def forward(self, features_BCijk: Tensor) -> Tensor:
        if on_cpu(features_BCijk):
            return normalised_relu(features_BCijk, self.weight, self.bias, self.num_groups, self.eps)
        return self._normalised(features_BCijk).relu_()

    def _normalised(self, features_BCijk: Tensor) -> Tensor:
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
        centred_BCijk = exact_BCijk - over_groups(exact_BCijk.mean((2, 3, 4), keepdim=True), self.num_groups)
        variance_BC111 = over_groups(centred_BCijk.square().mean((2, 3, 4), keepdim=True), self.num_groups)
        scale_BC111 = self.weight[None, :, None, None, None] * torch.rsqrt(variance_BC111 + self.eps)
        return (centred_BCijk * scale_BC111 + self.bias[None, :, None, None, None]).to(torch.bfloat16)


class BatchNorm(nn.BatchNorm3d):
    """torch's batch normalisation, followed by ReLU."""

    def forward(self, features_BCijk: Tensor) -> Tensor:
        return super().forward(features_BCijk).relu_()


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
