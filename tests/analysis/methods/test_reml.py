"""Values with random effects in; the restricted-likelihood fit agrees with closed forms and with statsmodels."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from scipy import optimize
from statsmodels.regression.mixed_linear_model import MixedLM, VCSpec
from statsmodels.tools.sm_exceptions import ConvergenceWarning

from lesionlab.analysis.methods.likelihood import design_of, evaluate, summed
from lesionlab.analysis.methods.reml import fit_reml
from tests.analysis.drawn_effects import Drawn, indicators, rotation

EFFECTS = ("patient", "patient_fine_tuned", "training_set", "network", "site", "subset_fine_tuned")


def faint(seed: int) -> Drawn:
    """An experiment whose variances are small or 0: folds, sizes and the effects of the model differ by seed."""
    rng = np.random.default_rng(seed)
    folds, per_fold, turns = [(3, 4, (1, 2)), (4, 4, (1, 2, 3)), (6, 4, (1, 3, 5)), (6, 6, (1, 3))][seed % 4]
    sd = {name: float(rng.uniform(0, 0.06) * (rng.random() < 0.75)) for name in EFFECTS[: 4 + seed % 3]}
    sd["patient"] = float(rng.choice([0.0, 0.05, 0.2]))
    return rotation(rng, sd | {"residual": 0.1}, folds, per_fold, turns, lost=0.1 * (seed % 5 == 0))


def best_of_many_starts(drawn: Drawn, starts: int) -> float:
    """The least deviance that searches from all over find, with some variances begun at 0."""
    rng = np.random.default_rng(0)
    design = design_of(drawn.fixed, list(drawn.effects.values()))
    values = summed(design, drawn.values)

    def deviance(logs: np.ndarray) -> tuple[float, np.ndarray]:
        point = evaluate(design, values, np.expm1(logs))
        return point.deviance, point.gradient_K * np.exp(logs)

    found = []
    for _ in range(starts):
        start = rng.uniform(0, 1.5, design.effects) * (rng.random(design.effects) < 0.7)
        end = optimize.minimize(deviance, start, jac=True, method="L-BFGS-B", bounds=[(0, 12)] * design.effects)
        found.append(float(end.fun))
    return min(found)


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


@pytest.mark.parametrize("seed", [*range(24), 140, 212])  # The last two have two peaks.
def test_no_start_finds_a_better_fit(seed):
    drawn = faint(seed)
    fit = fit_reml(drawn.values, drawn.fixed, list(drawn.effects.values()))
    assert fit.deviance <= best_of_many_starts(drawn, 6) + 1e-6


@pytest.mark.slow
def test_over_hundreds_of_experiments_no_start_finds_a_better_fit():
    worse = []
    for seed in range(100, 500):
        drawn = faint(seed)
        fit = fit_reml(drawn.values, drawn.fixed, list(drawn.effects.values()))
        worse.append(fit.deviance - best_of_many_starts(drawn, 12))
    assert max(worse) <= 1e-6


@pytest.mark.parametrize("zeros", ["all", "some"])
def test_a_search_that_begins_at_zero_leaves_it(zeros):
    sd = {"patient": 0.1, "network": 0.05, "residual": 0.05}
    drawn = rotation(np.random.default_rng(5), sd, folds=6, per_fold=5, turns=(1, 3))
    effects = list(drawn.effects.values())
    guess = [0.0, 0.0] if zeros == "all" else [2.0, 0.0]
    from_zero, several = (fit_reml(drawn.values, drawn.fixed, effects, start) for start in (guess, None))
    assert several.sd_K == pytest.approx([0.1, 0.05], rel=0.4)
    assert from_zero.sd_K == pytest.approx(several.sd_K, rel=1e-3)


def by_statsmodels(drawn: Drawn):
    """The same fit by statsmodels' MixedLM; None where it does not converge."""
    names = [[[str(level) for level in range(matrix.shape[1])]] for matrix in drawn.effects.values()]
    spec = VCSpec(list(drawn.effects), names, [[matrix] for matrix in drawn.effects.values()])
    model = MixedLM(drawn.values, drawn.fixed, groups=np.ones(len(drawn.values)), exog_vc=spec)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        found = model.fit(reml=True)
    return found if found.converged else None


def test_small_variances_agree_with_statsmodels_where_that_converges():
    compared = 0
    for seed in range(10):
        sd = {"patient": 0.15, "patient_fine_tuned": 0.06, "network": 0.05, "residual": 0.08}
        drawn = rotation(np.random.default_rng(seed), sd, folds=4, per_fold=4, turns=(1, 3))
        other = by_statsmodels(drawn)
        if other is None or min(other.vcomp) < 1e-5:
            continue
        fit = fit_reml(drawn.values, drawn.fixed, list(drawn.effects.values()))
        assert fit.estimates_F == pytest.approx(other.fe_params, abs=1e-4)
        assert np.sqrt(np.diag(fit.covariance_FF)) == pytest.approx(other.bse_fe, rel=1e-2)
        assert fit.sd_K == pytest.approx(np.sqrt(other.vcomp), rel=2e-2)
        compared += 1
    assert compared >= 5


@pytest.mark.parametrize("columns", [[1, 1], [1, 2]], ids=["the same twice", "a multiple"])
def test_effects_that_cannot_be_told_apart_are_refused(columns):
    fixed = np.ones((10, 2)) * columns
    with pytest.raises(np.linalg.LinAlgError):
        fit_reml(np.arange(10.0), fixed, [indicators(np.arange(10) // 2)])
