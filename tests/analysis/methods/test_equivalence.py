"""Two one-sided tests by a declared margin: as statsmodels computes them, over patients, and wrong in 5 % at most."""

from __future__ import annotations

import numpy as np
import pytest
from statsmodels.stats.weightstats import ttost_paired

from lesionlab.analysis.methods.equivalence import (
    Difference,
    Shown,
    difference_of_arms,
    equivalence,
    paired_difference,
)
from lesionlab.analysis.methods.intervals import Covers, Interval, Origin
from lesionlab.analysis.methods.overlap import fit_overlapping
from tests.analysis.drawn_effects import drawn


def by_patient(values: np.ndarray, fold: int | None = 1) -> dict[Origin, list[float]]:
    """One patient per line of values."""
    return {Origin(fold, f"p{number:02d}"): list(np.atleast_1d(own)) for number, own in enumerate(values)}


def test_with_one_study_of_each_patient_both_tests_are_the_paired_ones_of_statsmodels():
    rng = np.random.default_rng(1)
    model, rater = rng.normal(0.62, 0.1, 12), rng.normal(0.6, 0.1, 12)
    p, (_, lower, _), (_, upper, _) = ttost_paired(model, rater, -0.1, 0.1)
    found = equivalence(paired_difference(by_patient(model - rater)), 0.1)
    assert (found.p, found.p_lower, found.p_upper) == pytest.approx((p, lower, upper))


def test_repeated_studies_of_a_patient_narrow_nothing():
    values = np.random.default_rng(2).normal(0, 0.1, (8, 1))
    once, five_times = (paired_difference(by_patient(np.tile(values, copies))) for copies in (1, 5))
    assert (five_times.estimate, five_times.error) == pytest.approx((once.estimate, once.error))
    assert once.degrees == five_times.degrees == 7


def test_three_folds_with_all_their_patients_are_three_clusters():
    values = np.random.default_rng(3).normal(0, 0.1, (12, 1))
    differences = {Origin(1 + number // 4, f"p{number}"): list(own) for number, own in enumerate(values)}
    found = paired_difference(differences)
    assert (found.unit, found.degrees, found.covers) == ("fold", 2, Covers.INDEPENDENT_NETWORKS)
    means = values.reshape(3, 4).mean(axis=1)
    assert found.error == pytest.approx(means.std(ddof=1) / np.sqrt(3))


@pytest.mark.parametrize(
    ("estimate", "shown"),
    [
        (0.0, Shown.EQUIVALENT),
        (-0.05, Shown.EQUIVALENT),
        (-0.09, Shown.INCONCLUSIVE),
        (0.09, Shown.NON_INFERIOR),
        (0.3, Shown.NON_INFERIOR),
        (-0.11, Shown.INCONCLUSIVE),
        (-0.3, Shown.INFERIOR),
    ],
)
def test_the_90_percent_interval_and_the_margin_decide(estimate, shown):
    found = equivalence(Difference(estimate, 0.02, 20, Covers.THESE_NETWORKS), 0.1)
    reach = 1.724718 * 0.02
    assert (found.interval.low, found.interval.high) == pytest.approx((estimate - reach, estimate + reach))
    assert found.shown is shown
    assert (found.p <= 0.05) == (shown is Shown.EQUIVALENT)
    assert (found.p_lower <= 0.05) == (shown in (Shown.EQUIVALENT, Shown.NON_INFERIOR))


def test_the_95_percent_interval_and_p_agree():
    found = Difference(0.05, 0.02, 11, Covers.THESE_NETWORKS)
    assert (found.p <= 0.05) == (not found.interval().includes(0))
    assert found.interval() == Interval(pytest.approx(0.05 - 2.200985 * 0.02), pytest.approx(0.05 + 2.200985 * 0.02))


@pytest.mark.parametrize("values", [[], [[0.1], [0.2]], [[0.1], [0.1], [0.1]]], ids=["none", "two", "constant"])
def test_without_an_interval_there_is_no_test(values):
    assert paired_difference(by_patient(np.array(values))) is None


def claims(margin_of: float, patients: int, studies: int, repetitions: int) -> tuple[float, float]:
    """How often `not inferior` is claimed over patients, and by the naive test over studies, at a true difference."""
    rng = np.random.default_rng(4)
    over_patients = over_studies = 0
    for _ in range(repetitions):
        values = margin_of + rng.normal(0, 0.1, (patients, 1)) + rng.normal(0, 0.05, (patients, studies))
        over_patients += equivalence(paired_difference(by_patient(values)), 0.1).p_lower <= 0.05
        naive = by_patient(values.reshape(-1, 1))
        over_studies += equivalence(paired_difference(naive), 0.1).p_lower <= 0.05
    return over_patients / repetitions, over_studies / repetitions


@pytest.mark.slow
def test_at_the_margin_5_percent_of_experiments_claim_non_inferiority_and_more_if_studies_were_the_unit():
    right, naive = claims(-0.1, patients=10, studies=4, repetitions=4000)
    assert right == pytest.approx(0.05, abs=0.012)
    assert naive > 0.12


@pytest.mark.slow
def test_at_either_margin_equivalence_is_claimed_in_5_percent_at_most():
    for true in (-0.1, 0.1):
        rng = np.random.default_rng(5)
        wrong = sum(
            equivalence(paired_difference(by_patient(true + rng.normal(0, 0.08, (10, 1)))), 0.1).p <= 0.05
            for _ in range(4000)
        )
        assert wrong / 4000 <= 0.06


@pytest.mark.slow
def test_over_all_sizes_it_is_claimed_in_7_percent_at_most_though_folds_share_training_studies():
    """As of the model's test of no difference (decision 68)."""
    wrong, fits = 0, 150
    for seed in range(fits):
        rng = np.random.default_rng(seed)
        fitted = fit_overlapping(drawn(rng, fine_tuned=-0.1, subset_fine_tuned_sd=0.04, sizes=(10, 30)))
        wrong += equivalence(difference_of_arms(fitted), 0.1).p_lower <= 0.05
    assert wrong / fits <= 0.09
