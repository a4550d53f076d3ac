"""Drawn experiments in; the restricted deviance is the one of the textbook, and its gradient is its slope."""

from __future__ import annotations

import numpy as np
import pytest

from lesionlab.analysis.methods.likelihood import design_of, estimates, evaluate, summed
from tests.analysis.drawn_effects import Drawn, indicators, rotation

SDS = {"patient": 0.15, "patient_fine_tuned": 0.05, "training_set": 0.03, "network": 0.03, "residual": 0.08}
TIED = {"site": 0.02, "subset_fine_tuned": 0.05}
"""Effects whose levels tie the folds together."""


def by_the_textbook(drawn: Drawn, ratios: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Deviance, fixed effects and their covariance / sd², with V itself: a row and a column for each value."""
    v = np.eye(len(drawn.values))
    for ratio, matrix in zip(ratios, drawn.effects.values(), strict=True):
        v += ratio * matrix @ matrix.T
    inverse = np.linalg.inv(v)
    precision = drawn.fixed.T @ inverse @ drawn.fixed
    means = np.linalg.solve(precision, drawn.fixed.T @ inverse @ drawn.values)
    rest = drawn.values - drawn.fixed @ means
    spare = len(v) - drawn.fixed.shape[1]
    logs = np.linalg.slogdet(v)[1] + np.linalg.slogdet(precision)[1] + spare * np.log(rest @ inverse @ rest)
    return float(logs), means, np.linalg.inv(precision)


@pytest.mark.parametrize("lost", [0, 0.15], ids=["balanced", "some values undefined"])
@pytest.mark.parametrize("sd", [SDS, SDS | TIED], ids=["folds apart", "folds tied"])
@pytest.mark.parametrize("zero", [False, True], ids=["inside", "at the bound"])
def test_deviance_and_estimates_are_those_of_the_textbook(sd, lost, zero):
    rng = np.random.default_rng(1)
    drawn = rotation(rng, sd, folds=4, per_fold=3, turns=(1, 3), lost=lost)
    ratios = rng.uniform(0.05, 3, len(drawn.effects))
    ratios[:2] *= not zero
    design = design_of(drawn.fixed, list(drawn.effects.values()))
    deviance, means, covariance = by_the_textbook(drawn, ratios)
    point = evaluate(design, summed(design, drawn.values), ratios)
    assert point.deviance == pytest.approx(deviance, abs=1e-8)
    found = estimates(design, point)
    assert found[0] == pytest.approx(means, abs=1e-9)
    assert found[1] == pytest.approx(covariance, abs=1e-9)


@pytest.mark.parametrize("sd", [SDS, SDS | TIED], ids=["folds apart", "folds tied"])
def test_the_gradient_is_the_slope_of_the_deviance_even_where_a_variance_is_zero(sd):
    drawn = rotation(np.random.default_rng(2), sd, folds=3, per_fold=4, turns=(1, 2), lost=0.1)
    ratios = np.linspace(0, 2, len(drawn.effects))
    step = 1e-6
    design = design_of(drawn.fixed, list(drawn.effects.values()))
    gradient = evaluate(design, summed(design, drawn.values), ratios).gradient_K
    here = by_the_textbook(drawn, ratios)[0]
    slopes = [(by_the_textbook(drawn, ratios + step * one)[0] - here) / step for one in np.eye(len(ratios))]
    assert gradient == pytest.approx(slopes, rel=1e-3, abs=1e-3)


def test_folds_are_solved_apart_and_what_ties_them_stands_in_the_border():
    drawn = rotation(np.random.default_rng(3), SDS | TIED, folds=6, per_fold=10, turns=(1, 3, 5))
    design = design_of(drawn.fixed, list(drawn.effects.values()))
    assert [blocks.level_PB.shape for blocks in design.blocks] == [(6, 10 + 20 + 3 + 6)]
    assert len(design.level_E) == 3 + 12


def test_effects_that_explain_every_value_leave_no_residual_and_are_refused():
    with pytest.raises(np.linalg.LinAlgError):
        design_of(np.eye(4), [indicators(np.arange(4) // 2)])
