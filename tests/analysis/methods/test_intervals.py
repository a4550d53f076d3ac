"""Effect sizes and intervals cover a known true difference, also if networks vary."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from lesionlab.analysis.methods.intervals import (
    LEAST_CLUSTERS,
    Origin,
    clustered_mean,
    origins_of,
    paired_effect,
    unit_of,
)

FOLDS, PER_FOLD = 6, 10


def of(values: np.ndarray, folds: int = FOLDS, visits: int = 1) -> dict[Origin, list[float]]:
    """Patients shared out over the folds in equal parts, each with the same value at every visit."""
    per_fold = len(values) // folds
    return {Origin(i // per_fold + 1, f"p{i:03d}"): [float(value)] * visits for i, value in enumerate(values)}


def drawn(rng: np.random.Generator, network_sd: float, folds: int = FOLDS, mean: float = 0.1) -> np.ndarray:
    """Differences of two arms: both networks of a fold add their own luck to all its patients."""
    luck = rng.normal(0, network_sd * 2**0.5, folds)
    return mean + np.repeat(luck, PER_FOLD) + rng.normal(0, 0.15, folds * PER_FOLD)


@pytest.mark.parametrize("folds", [3, 6])
@pytest.mark.parametrize("network_sd", [0.0, 0.05, 0.08])
def test_the_interval_holds_the_truth_as_often_as_it_says_whatever_luck_networks_have(network_sd, folds):
    rng = np.random.default_rng(1)
    held = [paired_effect(of(drawn(rng, network_sd, folds), folds)).interval.includes(0.1) for _ in range(1000)]
    assert 0.93 <= np.mean(held) <= 0.97


def test_of_equal_folds_the_interval_is_that_of_students_t_over_their_means():
    values = drawn(np.random.default_rng(2), 0.05)
    found = paired_effect(of(values))
    means = values.reshape(FOLDS, PER_FOLD).mean(axis=1)
    wanted = stats.ttest_1samp(means, 0).confidence_interval()
    assert (found.interval.low, found.interval.high) == pytest.approx((wanted.low, wanted.high))
    assert (found.unit, found.clusters, found.patients) == ("fold", 6, 60)


def test_unequal_folds_are_weighed_by_their_values():
    """Site designs: few patients in one fold, many in another; the mean is over all values all the same."""
    rng, held = np.random.default_rng(3), 0
    sizes = (4, 8, 10, 12, 14, 16)
    for _ in range(500):
        luck = rng.normal(0, 0.05, 6)
        given = {
            Origin(fold, f"{fold}-{place}"): [0.1 + luck[fold] + rng.normal(0, 0.15)]
            for fold, size in enumerate(sizes)
            for place in range(size)
        }
        effect = paired_effect(given)
        assert effect.difference == pytest.approx(np.mean(list(given.values())))
        held += effect.interval.includes(0.1)
    assert 0.91 <= held / 500 <= 0.97


def test_several_studies_of_a_patient_add_no_evidence():
    values = np.random.default_rng(2).normal(0.1, 0.2, 24)
    for folds in (6, 1):
        once, thrice = (paired_effect(of(values, folds, visits)) for visits in (1, 3))
        assert thrice.difference == pytest.approx(once.difference)
        assert (thrice.interval.low, thrice.interval.high) == pytest.approx((once.interval.low, once.interval.high))


def test_the_order_of_the_values_changes_nothing():
    values = of(np.random.default_rng(3).normal(0, 1, 12))
    assert paired_effect(values) == paired_effect(dict(reversed(values.items())))


@pytest.mark.parametrize(
    ("tested", "unit"),
    [
        ([("s1", 1, "a"), ("s2", 2, "b"), ("s3", 3, "c")], "fold"),
        ([("s1", 1, "a"), ("s2", 2, "b"), ("s3", 2, "c")], "patient"),
        ([("s1", 1, "a"), ("s2", 2, "b"), ("s3", 3, "c"), ("s1", 2, "a")], "patient"),
        ([("s1", 1, "a"), ("s2", 2, "b"), ("s3", 3, "c"), ("s4", 3, "a")], "patient"),
    ],
    ids=["a fold each", "two folds", "a study in two folds", "a patient in two folds"],
)
def test_limits_are_over_folds_where_these_part_the_patients_and_are_enough(tested, unit):
    assert unit_of(origins_of(tested).values()) == unit


def test_too_few_patients_have_a_difference_but_no_interval():
    effect = paired_effect(of(np.array([0.1, 0.3]), folds=2))
    assert (effect.interval, effect.unit) == (None, "patient")
    assert effect.difference == pytest.approx(0.2)
    assert effect.clusters < LEAST_CLUSTERS


def test_equal_differences_have_no_standardised_size():
    assert paired_effect(of(np.full(12, 0.2))).standardised is None


def test_without_pairs_there_is_no_effect():
    assert paired_effect({Origin(1, "p1"): []}) is None


@pytest.mark.parametrize("mean", [0.02, 0.3, 0.5, 0.97])
def test_limits_of_a_mean_of_fractions_stay_between_0_and_1(mean):
    spread = min(mean, 1 - mean)
    values = {Origin(fold, f"p{fold}"): [mean + spread * by] for fold, by in enumerate((-1, -0.6, 0.2, 0.5, 0.9), 1)}
    found = clustered_mean(values, "fold")
    assert 0 < found.share_interval.low < found.mean < found.share_interval.high < 1
    # The logit is a straight line where little varies: there both scales agree.
    close = clustered_mean({origin: [mean + (own - mean) / 1000] for origin, (own,) in values.items()}, "fold")
    assert close.share_interval.low == pytest.approx(close.interval.low, abs=1e-5)
    assert close.share_interval.high == pytest.approx(close.interval.high, abs=1e-5)


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_values_that_do_not_vary_have_a_mean_and_no_interval(value):
    same = {Origin(fold, f"p{fold}"): [value] for fold in (1, 2, 3)}
    found, effect = clustered_mean(same, "fold"), paired_effect(same)
    assert (found.mean, found.interval, found.share_interval, found.positive_interval) == (value, None, None, None)
    assert (effect.difference, effect.interval) == (value, None)


def test_limits_of_a_share_near_1_hold_the_truth():
    """Means of 0.95: three of four studies have no miss at all."""
    rng, held = np.random.default_rng(0), []
    for _ in range(400):
        values = {
            Origin(fold, f"p{fold}-{p}"): [rng.choice([0.8, 1.0], p=[0.25, 0.75])]
            for fold in range(6)
            for p in range(10)
        }
        found = clustered_mean(values, "fold")
        held.append(found.share_interval is not None and found.share_interval.includes(0.95))
    assert 0.92 <= np.mean(held) <= 0.98
