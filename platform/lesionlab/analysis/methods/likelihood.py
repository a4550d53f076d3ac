"""Compute the restricted deviance of a design with random effects, and its gradient, at any variances.

V = I + Σ ratio_k Z_k Z_k' is never built, because it has a row for each value. By Woodbury's identity all that is
needed follows from Z'Z, which has a row for each level. Levels that no value shares, such as those of different
folds, are eliminated block by block; levels that tie the blocks together (sites, subsets that several folds
train on) are left for a border, as in a sparse Cholesky factorisation.
"""

# N values, F fixed effects, Q levels of all random effects, K random effects
# P blocks of one size, B levels of a block, E levels of the border, A the border: E, then F; Y the border and the
# values; W a block's levels, then Y

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
class Blocks:
    """Blocks with as many levels each; no value belongs to levels of two of them. Folds are alike, so few such groups
    hold all levels, and one call of numpy serves a whole group."""

    level_PB: Places
    crossed_PBB: Array
    """Z'Z of their levels."""
    border_PBA: Array
    """Z'[Z of the border, X]."""


@dataclass(frozen=True)
class Design:
    """A model without its values: built once, then fitted to many sets of values."""

    fixed_NF: Array
    levels_NQ: Array
    effect_Q: Places
    """Which random effect a level belongs to, from 0."""
    effects: int
    blocks: tuple[Blocks, ...]
    level_E: Places
    border_NA: Array
    crossed_AA: Array

    @property
    def spare(self) -> int:
        """Values beyond the fixed effects."""
        values, effects = self.fixed_NF.shape
        return int(values - effects)


@dataclass(frozen=True)
class Values:
    """Sums of the values that a design needs."""

    crossed_PBW: tuple[Array, ...]
    """Z'[Z of the block, Z of the border, X, y] of each group of blocks."""
    border_A: Array
    square: float


@dataclass(frozen=True)
class Point:
    """The likelihood at given variance ratios."""

    deviance: float
    """−2 log restricted likelihood, but for what all fits of these values with these fixed effects share."""
    gradient_K: Array
    """Slope of the deviance over each variance ratio."""
    factor_GG: Array
    """L with LL' = [X y]' V⁻¹ [X y]; G is F and, last, the values."""


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
    border_QA = levels_NQ.T @ border_NA
    sizes = sorted({len(level_B) for level_B in inner})
    alike = [np.array([level_B for level_B in inner if len(level_B) == size]) for size in sizes]
    blocks = tuple(
        Blocks(level_PB, crossed_QQ[level_PB[:, :, None], level_PB[:, None, :]], border_QA[level_PB])
        for level_PB in alike
    )
    crossed_AA = border_NA.T @ border_NA
    return Design(fixed_NF, levels_NQ, effect_Q, len(indicators_NQ), blocks, level_E, border_NA, crossed_AA)


def summed(design: Design, values_N: Array) -> Values:
    """The sums of the values over levels and fixed effects."""
    by_level_Q = values_N @ design.levels_NQ
    crossed_PBW = tuple(
        np.concatenate([blocks.crossed_PBB, blocks.border_PBA, by_level_Q[blocks.level_PB, None]], axis=2)
        for blocks in design.blocks
    )
    return Values(crossed_PBW, values_N @ design.border_NA, float(values_N @ values_N))


def evaluate(design: Design, values: Values, ratio_K: Array) -> Point:
    """The restricted deviance and its gradient.

    Raises numpy.linalg.LinAlgError where the fixed and random effects leave no residual.
    """
    scale_Q = np.sqrt(ratio_K)[design.effect_Q]
    left = _without_blocks(design, values, scale_Q)
    edge, border = len(design.level_E), design.border_NA.shape[1]
    scale_A = np.ones(border)
    scale_A[:edge] = scale_Q[design.level_E]
    scale_Y = np.append(scale_A, 1.0)
    inner_YY = scale_Y[:, None] * left.products_YY * scale_Y
    inner_YY.flat[: edge * (border + 2) : border + 2] += 1
    lower_YY: Array = np.linalg.cholesky(inner_YY)

    # The last pivot is the root of y'Py; those of the fixed effects give |X'V⁻¹X|.
    pivot_Y = np.diagonal(lower_YY)
    logs_Y = 2 * np.log(pivot_Y)
    deviance = left.log_volume + float(logs_Y[:border].sum() + design.spare * logs_Y[border])

    # ∂/∂ratio_k is trace(Z_k' P Z_k) − spare · |Z_k' P y|² / y'Py.
    shadow_AQ = _solved(lower_YY[:border, :border], (left.rows_QY[:, :border] * scale_A).T)
    trace_Q = left.trace_Q - np.einsum("ij,ij->j", shadow_AQ, shadow_AQ)
    residual_Q = left.rows_QY[:, border] - lower_YY[border, :border] @ shadow_AQ
    slope_Q = trace_Q - design.spare * (residual_Q / pivot_Y[border]) ** 2
    gradient_K = np.zeros(design.effects)
    np.add.at(gradient_K, design.effect_Q[left.level_Q], slope_Q)
    return Point(deviance, gradient_K, lower_YY[edge:, edge:])


def estimates(design: Design, point: Point) -> tuple[Array, Array, float]:
    """Estimate at this point the fixed effects, (X'V⁻¹X)⁻¹, and the residual variance."""
    inverse_FF = np.linalg.inv(point.factor_GG[:-1, :-1])
    return point.factor_GG[-1, :-1] @ inverse_FF, inverse_FF.T @ inverse_FF, point.factor_GG[-1, -1] ** 2 / design.spare


@dataclass(frozen=True)
class _Left:
    """What is left once the blocks' levels are taken out: W⁻¹ is V⁻¹ without the border's levels."""

    log_volume: float
    """log |W|."""
    products_YY: Array
    """Y' W⁻¹ Y."""
    level_Q: Places
    """The order of the levels in what follows."""
    trace_Q: Array
    """Diagonal of Z' W⁻¹ Z."""
    rows_QY: Array
    """Z' W⁻¹ Y."""


def _without_blocks(design: Design, values: Values, scale_Q: Array) -> _Left:
    border = design.border_NA.shape[1]
    products_YY = np.empty((border + 1, border + 1))
    products_YY[:border, :border] = design.crossed_AA
    products_YY[:border, border] = products_YY[border, :border] = values.border_A
    products_YY[border, border] = values.square
    log_volume = 0.0
    traces, rows = [], []
    for blocks, crossed_PBW in zip(design.blocks, values.crossed_PBW, strict=True):
        size, scale_PB = blocks.level_PB.shape[1], scale_Q[blocks.level_PB]
        scaled_PBW = scale_PB[:, :, None] * crossed_PBW
        inner_PBB = scaled_PBW[:, :, :size] * scale_PB[:, None, :]
        inner_PBB.reshape(len(inner_PBB), -1)[:, :: size + 1] += 1
        lower_PBB = np.linalg.cholesky(inner_PBB)
        half_PBW = np.stack(
            [_solved(lower_BB, scaled_BW) for lower_BB, scaled_BW in zip(lower_PBB, scaled_PBW, strict=True)]
        )
        half_PBB, half_PBY = half_PBW[:, :, :size], half_PBW[:, :, size:]
        flat = half_PBY.reshape(-1, border + 1)
        products_YY -= flat.T @ flat
        log_volume += 2 * float(np.log(np.diagonal(lower_PBB, axis1=1, axis2=2)).sum())
        squares_PB = np.einsum("pij,pij->pj", half_PBB, half_PBB)
        traces.append((np.diagonal(blocks.crossed_PBB, axis1=1, axis2=2) - squares_PB).ravel())
        rows_PBY = crossed_PBW[:, :, size:] - half_PBB.transpose(0, 2, 1) @ half_PBY
        rows.append(rows_PBY.reshape(-1, border + 1))
    edge = len(design.level_E)
    return _Left(
        log_volume,
        products_YY,
        np.concatenate([*(blocks.level_PB.ravel() for blocks in design.blocks), design.level_E]),
        np.concatenate([*traces, np.diagonal(products_YY)[:edge]]),
        np.concatenate([*rows, products_YY[:edge]]),
    )


def _solved(lower: Array, right: Array) -> Array:
    """L⁻¹ × right; asked for as its transpose, which BLAS takes without copies."""
    solved: Array = linalg.blas.dtrsm(1.0, lower.T, right.T, side=1).T
    return solved


def _border(crossed_QQ: Array, effect_Q: Places, fixed: int) -> tuple[Places, list[Places]]:
    """The levels of the border, and those of each block: the effects with the fewest levels are put into the border
    one by one, as long as that makes the work less."""
    count_K = np.bincount(effect_Q)
    few_first = np.argsort(count_K, kind="stable")
    cheapest: tuple[float, Places, list[Places]] | None = None
    for taken in range(len(count_K) + 1):
        in_border_Q = np.isin(effect_Q, few_first[:taken])
        inner, edge = np.flatnonzero(~in_border_Q), np.flatnonzero(in_border_Q)
        part_Q = _parts(crossed_QQ[np.ix_(inner, inner)] > 0)
        size_P, width = np.bincount(part_Q).astype(float), len(edge) + fixed + 1
        cost = float((size_P**2 * (size_P + width) + size_P * width**2 + _BLOCK_COST).sum()) + width**3
        if cheapest is None or cost < cheapest[0]:
            cheapest = cost, edge, [inner[part_Q == part] for part in range(len(size_P))]
    assert cheapest is not None, "there is at least one effect"
    return cheapest[1], cheapest[2]


def _parts(tied_QQ: NDArray[np.bool_]) -> Places:
    """By level the number of the connected part that it belongs to."""
    if not len(tied_QQ):
        return np.zeros(0, dtype=np.intp)
    return np.asarray(sparse.csgraph.connected_components(tied_QQ, directed=False)[1], dtype=np.intp)
