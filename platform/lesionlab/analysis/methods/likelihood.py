"""A design with random effects and the values in; the restricted deviance and its gradient at any variances, out.

V = I + Σ ratio_k Z_k Z_k' is never built: it has a row for each value. By Woodbury's identity all that is needed
follows from Z'Z, which has a row for each level. Levels that no value shares, such as those of different folds, are
eliminated block by block; levels that tie the blocks together (sites, subsets that several folds train on) are left
for a border, as in a sparse Cholesky factorisation.
"""

# N values, F fixed effects, Q levels of all random effects, K random effects
# B levels of one block, E levels of the border, A the border: E, then F; Y the border and the values

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, sparse

Array = NDArray[np.float64]
Places = NDArray[np.intp]

_BLOCK_COST = 20_000
"""What it costs to handle one block more, in multiplications: many tiny blocks are slower than a few small ones."""


@dataclass(frozen=True)
class Block:
    """Levels that no value of another block belongs to."""

    level_B: Places
    crossed_BB: Array
    """Z'Z of its levels."""
    border_BA: Array
    """Z'[Z of the border, X]."""


@dataclass(frozen=True)
class Design:
    """All of a model but the values: made once, then fitted to many sets of values."""

    fixed_NF: Array
    levels_NQ: Array
    effect_Q: Places
    """Which random effect a level belongs to, from 0."""
    effects: int
    blocks: tuple[Block, ...]
    level_E: Places
    border_NA: Array
    crossed_AA: Array

    @property
    def spare(self) -> int:
        """Values beyond the fixed effects."""
        return self.fixed_NF.shape[0] - self.fixed_NF.shape[1]


@dataclass(frozen=True)
class Values:
    """What a design needs of the values."""

    by_block: tuple[Array, ...]
    """Z'y of each block."""
    border_A: Array
    square: float


@dataclass(frozen=True)
class Point:
    """The likelihood at given variance ratios."""

    deviance: float
    """−2 log restricted likelihood, but for what all fits of these values with these fixed effects share."""
    gradient_K: Array
    """Slope of the deviance over each variance ratio."""


def design_of(fixed_NF: Array, indicators_NQ: Sequence[Array]) -> Design:
    """Set up a model; `indicators_NQ` has one matrix for each random effect, with a column for each level.

    Raises numpy.linalg.LinAlgError where the fixed effects are collinear or there are no more values than fixed
    effects.
    """
    if len(fixed_NF) <= fixed_NF.shape[1] or np.linalg.matrix_rank(fixed_NF) < fixed_NF.shape[1]:
        raise np.linalg.LinAlgError("wanted independent fixed effects and more values than effects")
    levels_NQ = np.hstack(indicators_NQ)
    effect_Q = np.repeat(np.arange(len(indicators_NQ)), [matrix.shape[1] for matrix in indicators_NQ])
    crossed_QQ = levels_NQ.T @ levels_NQ
    level_E, inner = _border(crossed_QQ, effect_Q, fixed_NF.shape[1])
    border_NA = np.hstack([levels_NQ[:, level_E], fixed_NF])
    blocks = tuple(
        Block(level_B, crossed_QQ[np.ix_(level_B, level_B)], levels_NQ[:, level_B].T @ border_NA) for level_B in inner
    )
    crossed_AA = border_NA.T @ border_NA
    return Design(fixed_NF, levels_NQ, effect_Q, len(indicators_NQ), blocks, level_E, border_NA, crossed_AA)


def summed(design: Design, values_N: Array) -> Values:
    """The sums of the values over levels and fixed effects."""
    by_level_Q = values_N @ design.levels_NQ
    by_block = tuple(by_level_Q[block.level_B] for block in design.blocks)
    return Values(by_block, values_N @ design.border_NA, float(values_N @ values_N))


def evaluate(design: Design, values: Values, ratio_K: Array) -> Point:
    """The restricted deviance and its gradient.

    Raises numpy.linalg.LinAlgError where the fixed and random effects leave no residual.
    """
    scale_Q = np.sqrt(ratio_K)[design.effect_Q]
    border = len(design.border_NA.T)
    reduced_YY = np.empty((border + 1, border + 1))
    reduced_YY[:border, :border] = design.crossed_AA
    reduced_YY[:border, border] = reduced_YY[border, :border] = values.border_A
    reduced_YY[border, border] = values.square

    # First every block: what is left of border and values once the block's levels are taken out of them.
    log_volume = 0.0
    level_parts, trace_parts, rows_parts = [], [], []
    for block, sums_B in zip(design.blocks, values.by_block, strict=True):
        lower_BB, half, whole = _eliminated(block, sums_B, scale_Q[block.level_B])
        size = len(sums_B)
        half_BB, half_BY = half[:, :size], half[:, size:]
        reduced_YY -= half_BY.T @ half_BY
        log_volume += 2 * float(np.log(lower_BB.diagonal()).sum())
        level_parts.append(block.level_B)
        trace_parts.append(block.crossed_BB.diagonal() - np.einsum("ij,ij->j", half_BB, half_BB))
        rows_parts.append(whole[:, size:] - half_BB.T @ half_BY)
    edge = len(design.level_E)
    level_parts.append(design.level_E)
    trace_parts.append(reduced_YY.diagonal()[:edge].copy())
    rows_parts.append(reduced_YY[:edge].copy())
    level_Q, trace_Q, rows_QY = (np.concatenate(parts) for parts in (level_parts, trace_parts, rows_parts))

    # Then the border: its levels, the fixed effects and, last, the values.
    scale_A = np.ones(border)
    scale_A[:edge] = scale_Q[design.level_E]
    reduced_YY[:border] *= scale_A[:, None]
    reduced_YY[:, :border] *= scale_A
    reduced_YY.flat[: edge * (border + 2) : border + 2] += 1
    lower_YY = np.linalg.cholesky(reduced_YY)
    # The last pivot is the root of y'Py; those of the fixed effects give |X'V⁻¹X|.
    pivot_Y = lower_YY.diagonal()
    deviance = log_volume + 2 * np.log(pivot_Y[:border]).sum() + 2 * design.spare * np.log(pivot_Y[border])

    # ∂/∂ratio_k is trace(Z_k' P Z_k) − spare · |Z_k' P y|² / y'Py.
    shadow_AQ = linalg.blas.dtrsm(1.0, lower_YY[:border, :border], (rows_QY[:, :border] * scale_A).T, lower=1)
    trace_Q = trace_Q - np.einsum("ij,ij->j", shadow_AQ, shadow_AQ)
    residual_Q = rows_QY[:, border] - lower_YY[border, :border] @ shadow_AQ
    slope_Q = trace_Q - design.spare * (residual_Q / pivot_Y[border]) ** 2
    gradient_K = np.bincount(design.effect_Q[level_Q], slope_Q, design.effects)
    return Point(float(deviance), gradient_K)


def estimates(design: Design, values_N: Array, ratio_K: Array) -> tuple[Array, Array, float]:
    """At these ratios: the fixed effects, (X'V⁻¹X)⁻¹, and the residual variance."""
    weighted_NF, weighted_N = inverse_times(design, ratio_K, design.fixed_NF), inverse_times(design, ratio_K, values_N)
    shape_FF = np.linalg.inv(design.fixed_NF.T @ weighted_NF)
    estimates_F = shape_FF @ (weighted_NF.T @ values_N)
    rest = float(values_N @ weighted_N - estimates_F @ (weighted_NF.T @ values_N))
    return estimates_F, shape_FF, max(rest, 0.0) / design.spare


def inverse_times(design: Design, ratio_K: Array, columns_N: Array) -> Array:
    """V⁻¹ × columns."""
    scaled_NQ = design.levels_NQ * np.sqrt(ratio_K)[design.effect_Q]
    inner_QQ = scaled_NQ.T @ scaled_NQ
    inner_QQ[np.diag_indices_from(inner_QQ)] += 1
    return columns_N - scaled_NQ @ linalg.solve(inner_QQ, scaled_NQ.T @ columns_N, assume_a="pos")


def _eliminated(block: Block, sums_B: Array, scale_B: Array) -> tuple[Array, Array, Array]:
    """L with LL' = I + S Z'Z S; L⁻¹ S Z'[Z, border, y]; and Z'[Z, border, y] itself."""
    inner_BB = scale_B[:, None] * block.crossed_BB * scale_B
    inner_BB.flat[:: len(scale_B) + 1] += 1
    lower_BB = linalg.cholesky(inner_BB, lower=True, check_finite=False)
    whole = np.concatenate([block.crossed_BB, block.border_BA, sums_B[:, None]], axis=1)
    return lower_BB, linalg.blas.dtrsm(1.0, lower_BB, scale_B[:, None] * whole, lower=1), whole


def _border(crossed_QQ: Array, effect_Q: Places, fixed: int) -> tuple[Places, list[Places]]:
    """The levels of the border, and those of each block: the effects with the fewest levels are put into the border
    one by one, as long as that makes the work less."""
    count_K = np.bincount(effect_Q)
    few_first = np.argsort(count_K, kind="stable")
    cheapest: tuple[float, Places, list[Places]] | None = None
    for taken in range(len(count_K) + 1):
        in_border_Q = np.isin(effect_Q, few_first[:taken])
        inner, edge = np.flatnonzero(~in_border_Q), np.flatnonzero(in_border_Q)
        parts, part_Q = 0, np.zeros(0, dtype=np.intp)
        if len(inner):
            tied = crossed_QQ[np.ix_(inner, inner)] > 0
            parts, part_Q = sparse.csgraph.connected_components(tied, directed=False)
        size_P, width = np.bincount(part_Q, minlength=parts).astype(float), len(edge) + fixed + 1
        cost = float((size_P**2 * (size_P + width) + size_P * width**2 + _BLOCK_COST).sum()) + width**3
        if cheapest is None or cost < cheapest[0]:
            cheapest = cost, edge, [inner[part_Q == part] for part in range(parts)]
    assert cheapest is not None, "there is at least one effect"
    return cheapest[1], cheapest[2]
