"""The three tests against hand calculation, against the printed tables of the paper, and at the edges."""

from __future__ import annotations

import warnings
from itertools import product
from math import sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from lesionlab.analysis.methods.student import (
    StatisticalTest,
    Untestable,
    greenhouse_geisser,
    holm,
    paired_t,
    repeated_measures,
    significant,
    unpaired_t,
)
from tests.analysis.printed import PRINTED

TABLES = ("table3", "table5", "table6")
UNPAIRED = [row for row in PRINTED if row["against"] != "method"]


def name(row: dict[str, str]) -> str:
    return "{table} {model} {studies} {metric} against {against}".format(**row)


def values_of(mean: float, se: float, n: int) -> list[float]:
    """An even number of values with exactly this mean and standard error."""
    spread = se * sqrt(n - 1)
    return [mean + spread] * (n // 2) + [mean - spread] * (n // 2)


def range_of_p(row: dict[str, str], n: int, pooled: bool) -> tuple[float, float]:
    """Smallest and largest p over all means and errors that are printed as these (two decimals).

    A trained model has `n` values; the default model and Grader 2 have ten.
    """
    ps = []
    n = n if row["studies"] else 10
    for signs in product((-0.005, 0.005), repeat=4):
        mean, se, other_mean, other_se = (
            float(row[key]) + by for key, by in zip(("mean", "se", "other_mean", "other_se"), signs, strict=True)
        )
        ps.append(unpaired_t(values_of(mean, se, n), values_of(other_mean, other_se, 10), pooled=pooled).p)
    same_mean_possible = abs(float(row["mean"]) - float(row["other_mean"])) <= 0.01
    return min(ps), 1.0 if same_mean_possible else max(ps)


def is_as_printed(row: dict[str, str], n: int = 10, pooled: bool = True) -> bool:
    least, most = range_of_p(row, n, pooled)
    printed = float(row["p"])
    return least < printed + 0.0005 and (row["less_than"] == "1" or most >= printed - 0.0005)


@pytest.mark.parametrize("row", UNPAIRED, ids=name)
def test_unpaired_p_values_are_those_printed_in_the_paper(row):
    assert is_as_printed(row)


@pytest.mark.parametrize(
    ("other", "as_printed"), [({"n": 60}, 57), ({"pooled": False}, 71)], ids=["every tested study", "Welch"]
)
def test_another_unit_or_another_test_would_not_give_all_printed_p_values(other, as_printed):
    assert sum(is_as_printed(row, **other) for row in UNPAIRED) == as_printed


def test_all_printed_p_values_and_stars_are_checked():
    assert len(UNPAIRED) == 74
    stars = {table: sum(row["starred"] == "1" for row in PRINTED if row["table"] == table) for table in TABLES}
    assert (len(PRINTED), stars) == (100, {"table3": 33, "table5": 18, "table6": 8})


@pytest.mark.parametrize("row", PRINTED, ids=name)
def test_stars_are_those_printed_in_the_paper(row):
    assert significant(float(row["p"]), int(row["m"])) == (row["starred"] == "1")


def test_the_limit_itself_is_significant():
    assert significant(0.005, 10)
    assert not significant(np.nextafter(0.005, 1), 10)


def test_a_test_without_p_is_never_significant():
    assert not significant(None, 1)


def test_anova_by_hand():
    # Five studies, three models, means 2, 3, 4. Squares: total 20, models 10, studies 20/3, so residual 10/3;
    # F = (10 / 2) / (10/3 / 8) = 12.
    values_SM = np.array([[1, 2, 3], [2, 3, 5], [3, 4, 5], [1, 3, 4], [3, 3, 3]], dtype=float)
    outcome = repeated_measures(values_SM)
    assert outcome.statistic == pytest.approx(12)
    assert outcome.p == pytest.approx(stats.f.sf(12, 2, 8))
    assert (outcome.anova.models, outcome.anova.between, outcome.anova.within) == (3, 2, 8)
    # Sums of products of the contrasts (second − first) and (third − first), orthonormalised: eigenvalues λ;
    # epsilon = (Σλ)² / (2 Σλ²).
    contrasts_2M = np.array([[-1, 1, 0], [-1, -1, 2]]) / np.sqrt([[2], [6]])
    eigenvalues = np.linalg.eigvalsh(np.cov(contrasts_2M @ values_SM.T))
    epsilon = eigenvalues.sum() ** 2 / (2 * (eigenvalues**2).sum())
    assert outcome.anova.epsilon == pytest.approx(epsilon)
    assert outcome.anova.p_corrected == pytest.approx(stats.f.sf(12, 2 * epsilon, 8 * epsilon))
    assert outcome.p < outcome.anova.p_corrected


@pytest.mark.parametrize("models", [2, 3, 5])
def test_epsilon_is_least_where_one_contrast_varies_alone_and_1_under_sphericity(models):
    rng = np.random.default_rng(0)
    one_alone = rng.normal(size=(20, 1)) * np.arange(models)
    assert greenhouse_geisser(one_alone) == pytest.approx(1 / (models - 1))
    spherical = rng.normal(size=(20_000, models))
    assert greenhouse_geisser(spherical) == pytest.approx(1, abs=0.01)
    assert greenhouse_geisser(spherical + rng.normal(size=(20_000, 1))) == pytest.approx(1, abs=0.01)


def test_anova_of_two_models_is_the_paired_t_test():
    values_SM = np.random.default_rng(3).random((9, 2))
    anova, paired = repeated_measures(values_SM), paired_t(values_SM[:, 0], values_SM[:, 1])
    assert anova.statistic == pytest.approx(paired.statistic**2)
    assert anova.p == anova.anova.p_corrected == pytest.approx(paired.p)


def test_paired_t_by_hand():
    # Differences 1, 2, 3: mean 2, SD 1, t = 2·√3 with two degrees of freedom.
    outcome = paired_t([2, 4, 6], [1, 2, 3])
    assert outcome.difference == 2
    assert outcome.statistic == pytest.approx(2 * sqrt(3))
    assert outcome.p == pytest.approx(0.0741799)


@pytest.mark.parametrize("seed", range(3))
def test_t_tests_agree_with_scipy(seed):
    a, b = np.random.default_rng(seed).random((2, 8))
    paired, unpaired = stats.ttest_rel(a, b), stats.ttest_ind(a, b[:5])
    assert (paired_t(a, b).statistic, paired_t(a, b).p) == pytest.approx((paired.statistic, paired.pvalue))
    assert (unpaired_t(a, b[:5]).statistic, unpaired_t(a, b[:5]).p) == pytest.approx(
        (unpaired.statistic, unpaired.pvalue)
    )


def test_swapping_the_groups_changes_the_sign_only():
    a, b = [0.1, 0.4, 0.3], [0.9, 0.5, 0.7]
    for test in (paired_t, unpaired_t):
        one, other = test(a, b), test(b, a)
        assert (one.statistic, one.difference) == (-other.statistic, -other.difference)
        assert one.p == other.p


DEGENERATE = {
    "paired: nothing": (lambda: paired_t([], []), Untestable.NO_PAIR),
    "paired: one pair": (lambda: paired_t([0.5], [0.25]), Untestable.ONE_PAIR),
    "paired: constant difference": (
        lambda: paired_t([0.3, 0.5, 0.7], [0.2, 0.4, 0.6]),
        Untestable.CONSTANT_DIFFERENCE,
    ),
    "paired: equal": (lambda: paired_t([0.3, 0.5], [0.3, 0.5]), Untestable.CONSTANT_DIFFERENCE),
    "unpaired: nothing": (lambda: unpaired_t([], [0.1, 0.2]), Untestable.EMPTY_GROUP),
    "unpaired: one value": (lambda: unpaired_t([0.5], [0.1, 0.2]), Untestable.ONE_VALUE),
    "unpaired: two constants": (lambda: unpaired_t([0.1, 0.1], [0.7, 0.7]), Untestable.CONSTANT_GROUPS),
    "anova: no study": (lambda: repeated_measures(np.empty((0, 3))), Untestable.FEWER_THAN_TWO_STUDIES),
    "anova: one study": (lambda: repeated_measures(np.array([[0.1, 0.2, 0.3]])), Untestable.FEWER_THAN_TWO_STUDIES),
    "anova: one model": (lambda: repeated_measures(np.array([[0.1], [0.2]])), Untestable.FEWER_THAN_TWO_MODELS),
    "anova: no model": (lambda: repeated_measures(np.empty((0, 0))), Untestable.FEWER_THAN_TWO_MODELS),
    "anova: a value missing": (
        lambda: repeated_measures(np.array([[0.1, 0.2], [0.3, np.nan], [0.2, 0.5]])),
        Untestable.MISSING_VALUE,
    ),
    "anova: all equal": (lambda: repeated_measures(np.full((4, 3), 0.5)), Untestable.CONSTANT_CONTRASTS),
    "anova: same difference in every study": (
        lambda: repeated_measures(np.array([[0.1], [0.5], [0.4]]) + np.array([[0.0, 0.1, 0.3]])),
        Untestable.CONSTANT_CONTRASTS,
    ),
}


@pytest.mark.parametrize(("test", "why"), DEGENERATE.values(), ids=DEGENERATE.keys())
def test_what_cannot_be_tested_has_a_reason_and_no_p(test, why):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        outcome: StatisticalTest = test()
    assert (outcome.p, outcome.statistic, outcome.untestable) == (None, None, why)


def test_a_group_without_spread_is_tested_against_one_that_has_it():
    outcome = unpaired_t([1.0, 1.0, 1.0, 1.0], [0.5, 0.75, 0.6])
    # Pooled variance (3·0 + 2·var)/5; scipy's own function agrees, but warns.
    spread = np.var([0.5, 0.75, 0.6], ddof=1) * 2 / 5
    assert outcome.statistic == pytest.approx((1 - 1.85 / 3) / sqrt(spread * (1 / 4 + 1 / 3)))


FRACTIONS = st.sampled_from([0.0, 1 / 3, 0.5, 2 / 3, 0.7, 1.0])


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(FRACTIONS, FRACTIONS, FRACTIONS), max_size=6))
def test_fractions_of_few_lesions_give_a_p_or_a_reason_and_never_a_warning(studies):
    values_SM = np.array(studies, dtype=float).reshape(len(studies), 3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        outcomes = [
            paired_t(values_SM[:, 0], values_SM[:, 1]),
            unpaired_t(values_SM[:, 0], values_SM[:, 1]),
            repeated_measures(values_SM),
        ]
    for outcome in outcomes:
        assert (outcome.untestable and outcome.p is None) or 0 <= outcome.p <= 1


def test_welch_agrees_with_scipy_and_with_the_pooled_test_where_spreads_are_equal():
    rng = np.random.default_rng(0)
    first, second = rng.normal(0.5, 0.1, 12).tolist(), rng.normal(0.6, 0.3, 30).tolist()
    assert unpaired_t(first, second, pooled=False).p == pytest.approx(
        stats.ttest_ind(first, second, equal_var=False)[1]
    )
    even = values_of(0.5, 0.03, 10), values_of(0.6, 0.03, 10)
    assert unpaired_t(*even, pooled=False).p == pytest.approx(unpaired_t(*even).p)


def test_holm_adjusts_step_by_step():
    assert holm([0.04, 0.01, 0.03], 3) == pytest.approx((0.06, 0.03, 0.06))


@given(st.lists(st.one_of(st.none(), st.floats(0, 1)), min_size=1, max_size=12), st.integers(0, 5))
def test_holm_finds_what_bonferroni_finds_and_never_less(ps, more):
    family = len(ps) + more
    for p, adjusted in zip(ps, holm(ps, family), strict=True):
        assert (p is None) == (adjusted is None)
        if p is not None and adjusted is not None:
            assert p <= adjusted <= min(1.0, family * p) + 1e-12
