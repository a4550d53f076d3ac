"""Values with random effects in; the restricted-likelihood fit agrees with closed forms and with statsmodels."""

from __future__ import annotations

import numpy as np
import pytest
from statsmodels.regression.mixed_linear_model import MixedLM, VCSpec

from lesionlab.analysis.methods.reml import fit_reml


def indicators(levels: np.ndarray) -> np.ndarray:
    return (levels[:, None] == np.unique(levels)[None, :]).astype(float)


def test_of_equal_groups_the_fit_is_the_one_of_the_analysis_of_variance():
    rng = np.random.default_rng(1)
    groups, each = 12, 5
    values = (rng.normal(0, 2, (groups, 1)) + rng.normal(0, 1, (groups, each))).ravel()
    fit = fit_reml(values, np.ones((len(values), 1)), [indicators(np.repeat(np.arange(groups), each))])
    table = values.reshape(groups, each)
    within = table.var(axis=1, ddof=1).mean()
    between = each * table.mean(axis=1).var(ddof=1)
    assert fit.residual_sd**2 == pytest.approx(within, rel=1e-4)
    assert fit.sd_K[0] ** 2 == pytest.approx((between - within) / each, rel=1e-4)
    assert fit.estimates_F[0] == pytest.approx(values.mean())
    assert fit.covariance_FF[0, 0] == pytest.approx(between / len(values), rel=1e-4)


def test_crossed_effects_agree_with_statsmodels():
    rng = np.random.default_rng(2)
    rows, columns = np.divmod(np.arange(200), 20)
    values = rng.normal(0, 1, 10)[rows] + rng.normal(0, 0.7, 20)[columns] + rng.normal(0, 0.5, 200)
    fixed = np.column_stack([np.ones(200), rng.normal(size=200)])
    sets = [indicators(rows), indicators(columns)]
    fit = fit_reml(values, fixed, sets)
    spec = VCSpec(["r", "c"], [[list("0123456789")], [[str(n) for n in range(20)]]], [[sets[0]], [sets[1]]])
    other = MixedLM(values, fixed, groups=np.ones(200), exog_vc=spec).fit(reml=True)
    assert other.converged
    assert fit.estimates_F == pytest.approx(other.fe_params, abs=1e-4)
    assert np.sqrt(np.diag(fit.covariance_FF)) == pytest.approx(other.bse_fe, rel=1e-2)
    assert fit.sd_K == pytest.approx(np.sqrt(other.vcomp), rel=1e-2)
    assert fit.residual_sd**2 == pytest.approx(other.scale, rel=1e-2)


def test_an_effect_that_is_not_there_is_zero_and_the_fit_is_ordinary_least_squares():
    groups = np.repeat(np.arange(10), 6)
    wave = np.tile([1.0, -1.0, 0.5, -0.5, 0.2, -0.2], 10)  # the same within each group: nothing between the groups
    fixed = np.column_stack([np.ones(60), np.tile([0.0, 1.0], 30)])
    fit = fit_reml(wave, fixed, [indicators(groups)])
    least_squares = np.linalg.lstsq(fixed, wave, rcond=None)[0]
    assert fit.sd_K[0] == pytest.approx(0, abs=1e-3)
    assert fit.estimates_F == pytest.approx(least_squares)


def test_where_the_search_begins_does_not_matter():
    rng = np.random.default_rng(3)
    rows, columns = np.divmod(np.arange(200), 20)
    values = rng.normal(0, 1, 10)[rows] + rng.normal(0, 0.7, 20)[columns] + rng.normal(0, 0.5, 200)
    sets = [indicators(rows), indicators(columns)]
    several, near = (fit_reml(values, np.ones((200, 1)), sets, guess) for guess in (None, [2.0, 1.4]))
    assert near.sd_K == pytest.approx(several.sd_K, rel=1e-3)


@pytest.mark.parametrize("columns", [[1, 1], [1, 2]], ids=["the same twice", "a multiple"])
def test_effects_that_cannot_be_told_apart_are_refused(columns):
    fixed = np.ones((10, 2)) * columns
    with pytest.raises(np.linalg.LinAlgError):
        fit_reml(np.arange(10.0), fixed, [indicators(np.arange(10) // 2)])
