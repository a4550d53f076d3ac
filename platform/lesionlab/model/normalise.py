"""Group normalisation followed by ReLU, of float32 or bf16 features in channels_last_3d on a CPU.

torch's backward pass in this format goes through the features once for each channel: for 2 × 8 channels × 64³ voxels it
takes 83 ms, the one here 14 (tests/benchmarks/NOTES.md). Work goes block by block, so that what one operation writes
the next one finds in the cache. Of bf16 features, a block is computed in float32 and rounded once.

Shapes: B batch, C channel, i j k voxels; R rows of r features each (voxels × channels), n rows of a block.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

BLOCK = 2**17
"""Features of a block: 512 kB. Half and twice of it are as fast, no blocks at all take 1.5 times as long."""

MOST_IN_ROW = 64
"""Voxels of a row; a power of 2, which divides the voxels of every level but the deepest."""

FEW = 2**14
"""Features for which torch's own two operations, in torch's own format, cost less than the many here."""


def normalised_relu(features_BCijk: Tensor, weight_C: Tensor, bias_C: Tensor, groups: int, eps: float) -> Tensor:
    """ReLU of torch's `group_norm`, up to rounding."""
    if features_BCijk.numel() <= FEW:
        return functional.group_norm(features_BCijk.contiguous(), groups, weight_C, bias_C, eps).relu_()
    result_BCijk: Tensor = _NormalisedReLU.apply(features_BCijk, weight_C, bias_C, groups, eps)  # type: ignore[no-untyped-call]
    return result_BCijk


class _NormalisedReLU(torch.autograd.Function):
    """The variance is the mean square of centred features: a mean far above the SD costs no digits.

    Centred float32 features wait in the result for the second pass; bf16 ones are centred again.
    """

    @staticmethod
    def forward(ctx: Any, features_BCijk: Tensor, weight_C: Tensor, bias_C: Tensor, groups: int, eps: float) -> Tensor:
        features_BRr, voxels = _in_rows(features_BCijk), features_BCijk.shape[2:].numel()
        channels = len(weight_C)
        mean_BC = over_groups(_of_channels(features_BRr.sum(1, dtype=_exact(features_BRr)), channels) / voxels, groups)
        result_BRr, mean_B1r = torch.empty_like(features_BRr), _of_row(mean_BC, features_BRr)
        exact = _exact(features_BRr)
        waits = features_BRr.dtype == exact
        squares = [
            torch.sub(features_Bnr.to(exact), mean_B1r, out=result_Bnr if waits else None).square().sum(1)
            for features_Bnr, result_Bnr in _blocks(features_BRr, result_BRr)
        ]
        squares_BC = _of_channels(torch.stack(squares).sum(0), channels)
        inverse_sd_BC = (over_groups(squares_BC / voxels, groups) + eps).rsqrt_()
        scale_B1r, shift_B1r = _of_row(weight_C * inverse_sd_BC, features_BRr), _of_row(bias_C, features_BRr)
        for features_Bnr, result_Bnr in _blocks(features_BRr, result_BRr):
            centred_Bnr = result_Bnr if waits else features_Bnr.to(exact).sub_(mean_B1r)
            result_Bnr.copy_(torch.addcmul(shift_B1r, centred_Bnr, scale_B1r, out=centred_Bnr).relu_())
        result_BCijk = _of_rows(result_BRr, features_BCijk)
        ctx.save_for_backward(features_BCijk, result_BCijk, weight_C, mean_BC, inverse_sd_BC)
        ctx.groups = groups
        return result_BCijk

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient_BCijk: Tensor) -> tuple[Tensor | None, ...]:
        """∂x = (weight · ∂y − m1 − x̂ · m2) / SD, with x̂ = (x − mean) / SD and ∂y = 0 where the result is 0.

        m1 and m2 are the means of weight · ∂y and of weight · ∂y · x̂ over a group's channels and voxels.
        """
        features_BCijk, result_BCijk, weight_C, mean_BC, inverse_sd_BC = ctx.saved_tensors
        features_BRr, result_BRr, gradient_BRr = map(_in_rows, (features_BCijk, result_BCijk, gradient_BCijk))
        voxels, channels, exact = features_BCijk.shape[2:].numel(), len(weight_C), _exact(features_BCijk)
        into_BRr, sums = torch.empty_like(features_BRr), []
        for blocks in _blocks(features_BRr, result_BRr, gradient_BRr, into_BRr):
            features_Bnr, result_Bnr, gradient_Bnr, passed_Bnr = blocks
            torch.ops.aten.threshold_backward.grad_input(gradient_Bnr, result_Bnr, 0, grad_input=passed_Bnr)
            exact_Bnr = passed_Bnr.to(exact)
            sums.append(torch.stack([exact_Bnr.sum(1), (exact_Bnr * features_Bnr).sum(1)]))
        of_bias_BC, product_BC = (_of_channels(total_Br, channels) for total_Br in torch.stack(sums).sum(0))
        of_weight_BC = (product_BC - mean_BC * of_bias_BC) * inverse_sd_BC
        m1_BC, m2_BC = (over_groups(weight_C * of_BC, ctx.groups) / voxels for of_BC in (of_bias_BC, of_weight_BC))
        slope_BC = -m2_BC * inverse_sd_BC.square()  # ∂x is linear in x and ∂y
        coefficients = (weight_C * inverse_sd_BC, slope_BC, -m1_BC * inverse_sd_BC - slope_BC * mean_BC)
        scale_B1r, slope_B1r, offset_B1r = (_of_row(value_BC, features_BRr) for value_BC in coefficients)
        for features_Bnr, into_Bnr in _blocks(features_BRr, into_BRr):
            exact_Bnr = into_Bnr.to(exact)  # the same tensor, but for bf16
            into_Bnr.copy_(exact_Bnr.mul_(scale_B1r).addcmul_(features_Bnr.to(exact), slope_B1r).add_(offset_B1r))
        return _of_rows(into_BRr, features_BCijk), of_weight_BC.sum(0), of_bias_BC.sum(0), None, None


def _exact(features: Tensor) -> torch.dtype:
    """In what they are computed: float32, where they have fewer digits."""
    return torch.promote_types(features.dtype, torch.float32)


def _in_rows(features_BCijk: Tensor) -> Tensor:
    batch, channels, *voxels = features_BCijk.shape
    row = math.gcd(math.prod(voxels), MOST_IN_ROW) * channels
    return features_BCijk.movedim(1, -1).reshape(batch, -1, row)


def _of_rows(rows_BRr: Tensor, like_BCijk: Tensor) -> Tensor:
    batch, channels, *voxels = like_BCijk.shape
    return rows_BRr.view(batch, *voxels, channels).movedim(-1, 1)


def _of_channels(sums_Br: Tensor, channels: int) -> Tensor:
    """Sums over a row's voxels, for each channel."""
    return sums_Br.view(len(sums_Br), -1, channels).sum(1)


def _of_row(value_BC: Tensor, rows_BRr: Tensor) -> Tensor:
    """The channels' values (of each image, or of all) at each voxel of a row."""
    return value_BC.repeat(1, rows_BRr.shape[2] // value_BC.shape[-1])[:, None]


def over_groups(value_BC: Tensor, groups: int) -> Tensor:
    """The mean over the channels of each group, for each of its channels; (B, C) or with further axes of length 1."""
    if groups == value_BC.shape[1]:
        return value_BC
    value_BGc = value_BC.reshape(len(value_BC), groups, -1, *value_BC.shape[2:])
    return value_BGc.mean(2, keepdim=True).expand_as(value_BGc).flatten(1, 2)


def _blocks(*rows_BRr: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """The same rows of each tensor, so many at a time as fit the cache."""
    blocks = max(1, round(rows_BRr[0].numel() / BLOCK))
    return zip(*(tensor.tensor_split(blocks, dim=1) for tensor in rows_BRr), strict=True)
