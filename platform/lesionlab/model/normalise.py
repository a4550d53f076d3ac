"""Group normalisation followed by ReLU, of float32 features in channels_last_3d on a CPU.

torch's backward pass in this format goes through the features once for each channel: for 2 × 8 channels × 64³ voxels it
takes 83 ms, the one here 14 (tests/benchmarks/NOTES.md). Work goes block by block, so that what one operation writes
the next one finds in the cache.

Shapes: B batch, C channel, i j k voxels; R rows of r features each (voxels × channels), n rows of a block.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

BLOCK = 2**17
"""Features of a block: 512 kB. Half and twice of it are as fast, no blocks at all take 1.5 times as long."""

MOST_IN_ROW = 64
"""Voxels of a row; a power of 2, which divides the voxels of every level but the deepest."""


class NormalisedReLU(torch.autograd.Function):
    """ReLU of torch's `group_norm`, up to rounding; `apply(features_BCijk, weight_C, bias_C, groups, eps)`.

    The variance is the mean square of centred features: a mean far above the SD costs no digits.
    """

    @staticmethod
    def forward(ctx: Any, features_BCijk: Tensor, weight_C: Tensor, bias_C: Tensor, groups: int, eps: float) -> Tensor:
        features_BRr = _in_rows(features_BCijk)
        row, voxels = Row(features_BCijk), features_BCijk.shape[2:].numel()
        mean_BC = over_groups(row.of_channels(features_BRr.sum(1)) / voxels, groups)
        squares_Br, mean_B1r = torch.zeros_like(features_BRr[:, 0]), row.of_row(mean_BC)
        for block, spare_Bnr in _blocks(features_BRr):
            squares_Br += torch.sub(features_BRr[block], mean_B1r, out=spare_Bnr).square_().sum(1)
        inverse_sd_BC = torch.rsqrt(over_groups(row.of_channels(squares_Br) / voxels, groups) + eps)
        scale_BC = weight_C * inverse_sd_BC
        scale_B1r, shift_B1r = row.of_row(scale_BC), row.of_row(bias_C - mean_BC * scale_BC)
        result_BRr = torch.empty_like(features_BRr)
        for block, _ in _blocks(features_BRr):
            torch.addcmul(shift_B1r, features_BRr[block], scale_B1r, out=result_BRr[block]).relu_()
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
        row, voxels = Row(features_BCijk), features_BCijk.shape[2:].numel()
        features_BRr, result_BRr, gradient_BRr = map(_in_rows, (features_BCijk, result_BCijk, gradient_BCijk))
        into_BRr = torch.empty_like(features_BRr)
        sum_Br, product_Br = torch.zeros_like(into_BRr[:, 0]), torch.zeros_like(into_BRr[:, 0])
        for block, spare_Bnr in _blocks(features_BRr):
            passed_Bnr = into_BRr[block]
            torch.ops.aten.threshold_backward.grad_input(
                gradient_BRr[block], result_BRr[block], 0, grad_input=passed_Bnr
            )
            sum_Br += passed_Bnr.sum(1)
            product_Br += torch.mul(passed_Bnr, features_BRr[block], out=spare_Bnr).sum(1)
        of_bias_BC = row.of_channels(sum_Br)
        of_weight_BC = (row.of_channels(product_Br) - mean_BC * of_bias_BC) * inverse_sd_BC
        m1_BC, m2_BC = (over_groups(weight_C * sums / voxels, ctx.groups) for sums in (of_bias_BC, of_weight_BC))
        slope_BC = -m2_BC * inverse_sd_BC.square()  # ∂x is linear in x and ∂y
        slope_B1r = row.of_row(slope_BC)
        offset_B1r = row.of_row(-m1_BC * inverse_sd_BC - slope_BC * mean_BC)
        scale_B1r = row.of_row(weight_C * inverse_sd_BC)
        for block, _ in _blocks(features_BRr):
            into_BRr[block].mul_(scale_B1r).addcmul_(features_BRr[block], slope_B1r).add_(offset_B1r)
        return _of_rows(into_BRr, features_BCijk), of_weight_BC.sum(0), of_bias_BC.sum(0), None, None


class Row:
    """Some neighbouring voxels with all of their channels: as long as vectorised loops want them."""

    def __init__(self, features_BCijk: Tensor) -> None:
        self.channels, voxels = features_BCijk.shape[1], features_BCijk.shape[2:].numel()
        self.voxels = math.gcd(voxels, MOST_IN_ROW)

    def of_channels(self, sums_Br: Tensor) -> Tensor:
        """Sums over the row's voxels, for each channel."""
        return sums_Br.view(-1, self.voxels, self.channels).sum(1)

    def of_row(self, value_BC: Tensor) -> Tensor:
        """The channels' values at each of the row's voxels."""
        return value_BC.repeat(1, self.voxels)[:, None]


def _in_rows(features_BCijk: Tensor) -> Tensor:
    row = Row(features_BCijk)
    return features_BCijk.movedim(1, -1).contiguous().view(len(features_BCijk), -1, row.voxels * row.channels)


def _of_rows(rows_BRr: Tensor, like_BCijk: Tensor) -> Tensor:
    return rows_BRr.view(like_BCijk.movedim(1, -1).shape).movedim(-1, 1)


def over_groups(value_BC: Tensor, groups: int) -> Tensor:
    """The mean over the channels of each group, for each of its channels; (B, C) or with further axes of length 1."""
    if groups == value_BC.shape[1]:
        return value_BC
    value_BGc = value_BC.reshape(len(value_BC), groups, -1, *value_BC.shape[2:])
    return value_BGc.mean(2, keepdim=True).expand_as(value_BGc).flatten(1, 2)


def _blocks(rows_BRr: Tensor) -> Iterator[tuple[tuple[slice, slice], Tensor]]:
    """The places of blocks of rows, and a tensor of a block's size that the next block overwrites."""
    count = rows_BRr.shape[1]
    blocks = min(count, max(1, round(rows_BRr.numel() / BLOCK)))
    edges = [count * number // blocks for number in range(blocks + 1)]
    spare_Bnr = torch.empty_like(rows_BRr[:, : -(-count // blocks)])
    for low, high in pairwise(edges):
        yield (slice(None), slice(low, high)), spare_Bnr[:, : high - low]
