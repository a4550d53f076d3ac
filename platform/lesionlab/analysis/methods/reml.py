"""A design with crossed random effects in; its restricted-likelihood fit out.

y = X β + Σ Z_k u_k + e, with u_k ~ N(0, sd_k²) and e ~ N(0, sd²). statsmodels fits this model too, but with crossed
effects it does not converge where an effect is (almost) zero, which is what a study hopes for; here zero is a bound.
"""

# N values, F fixed effects, Q levels of all random effects together, K random effects

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, optimize, sparse

Array = NDArray[np.float64]

_MOST_RATIO = 1e3
"""Bound of sd_k / sd: beyond it there is no residual left to speak of."""


@dataclass(frozen=True)
class Fit:
    """What was estimated; `covariance_FF` is that of the fixed effects."""

    estimates_F: Array
    covariance_FF: Array
    sd_K: Array
    residual_sd: float
    deviance: float
    """−2 log restricted likelihood, but for what all fits of these values with these fixed effects share."""


def fit_reml(
    values_N: Array, fixed_NF: Array, indicators_NQ: Sequence[Array], guess: Sequence[float] | None = None
) -> Fit:
    """Fit by REML (Patterson and Thompson 1971); `indicators_NQ` has one 0/1 matrix for each random effect.

    The search begins at `guess`, the ratios sd_k / sd, none of them 0 (there the slope is 0, and no search leaves);
    without a guess it begins at several, and the best end is taken.
    The same input gives the same bits. Raises numpy.linalg.LinAlgError where the fixed effects are collinear or
    there are no more values than fixed effects.
    """
    spare = len(values_N) - fixed_NF.shape[1]
    if spare < 1 or np.linalg.matrix_rank(fixed_NF) < fixed_NF.shape[1]:
        raise np.linalg.LinAlgError("wanted independent fixed effects and more values than effects")
    all_NQ = np.hstack(indicators_NQ)
    effect_Q = np.repeat(np.arange(len(indicators_NQ)), [matrix.shape[1] for matrix in indicators_NQ])
    both = np.column_stack([fixed_NF, values_N])
    crossed_QQ, projected, plain = all_NQ.T @ all_NQ, all_NQ.T @ both, both.T @ both

    # Levels that never meet, such as those of different folds, are solved apart: the same sum, far less work.
    parts, part_Q = sparse.csgraph.connected_components(crossed_QQ > 0, directed=False)
    blocks = [np.flatnonzero(part_Q == part) for part in range(parts)]
    pieces = [(effect_Q[own], crossed_QQ[np.ix_(own, own)], projected[own]) for own in blocks]

    def whitened(ratio_K: Array) -> tuple[Array, float]:
        """[X y]' V⁻¹ [X y] and log |V| for V = I + Σ ratio_k² Z_k Z_k', by Woodbury: no matrix is larger than Q."""
        products, log_volume = plain.copy(), 0.0
        for effect_B, crossed_BB, projected_B in pieces:
            scale_B = ratio_K[effect_B]
            inner_BB = scale_B[:, None] * crossed_BB * scale_B
            inner_BB[np.diag_indices(len(scale_B))] += 1
            lower_BB = linalg.cholesky(inner_BB, lower=True, check_finite=False)
            half = linalg.solve_triangular(lower_BB, scale_B[:, None] * projected_B, lower=True, check_finite=False)
            products -= half.T @ half
            log_volume += 2 * float(np.log(np.diag(lower_BB)).sum())
        return products, log_volume

    def deviance(ratio_K: Array) -> float:
        products, log_volume = whitened(ratio_K)
        factor = linalg.cholesky(products, lower=True)
        # The last pivot is the root of the residual sum of squares, the others give |X' V⁻¹ X|.
        pivots = np.log(np.diag(factor))
        return float(log_volume + 2 * pivots[:-1].sum() + 2 * spare * pivots[-1])

    count = len(indicators_NQ)
    starts = [np.full(count, ratio) for ratio in (0.5, 2.0, 0.05)] if guess is None else [np.asarray(guess)]
    best = min(
        (
            optimize.minimize(deviance, start, method="L-BFGS-B", bounds=[(0.0, _MOST_RATIO)] * count)
            for start in starts
        ),
        key=lambda found: float(found.fun),
    )
    products, _ = whitened(best.x)
    precision_FF, right_F = products[:-1, :-1], products[:-1, -1]
    estimates_F = np.asarray(np.linalg.solve(precision_FF, right_F), dtype=np.float64)
    variance = max(float(products[-1, -1] - right_F @ estimates_F), 0.0) / spare
    sd = float(np.sqrt(variance))
    return Fit(estimates_F, variance * np.linalg.inv(precision_FF), best.x * sd, sd, float(best.fun))
