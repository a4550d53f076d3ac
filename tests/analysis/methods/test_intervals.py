"""Differences with a known truth in; effect sizes and intervals that hold it out."""

from __future__ import annotations

import numpy as np
import pytest

from lesionlab.analysis.methods.intervals import LEAST_PATIENTS, paired_effect


def of(values: np.ndarray, studies: int = 1) -> dict[str, list[float]]:
    return {f"p{number:03d}": [float(value)] * studies for number, value in enumerate(values)}


def test_the_interval_holds_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(1)
    held = 0
    for _ in range(200):
        effect = paired_effect(of(rng.normal(0.1, 0.2, 30)), rng)
        held += effect.interval.low <= 0.1 <= effect.interval.high
    assert 0.88 <= held / 200 <= 0.99


def test_several_studies_of_a_patient_add_no_evidence():
    values = np.random.default_rng(2).normal(0.1, 0.2, 20)
    once, thrice = (paired_effect(of(values, studies), np.random.default_rng(0)) for studies in (1, 3))
    assert thrice.difference == pytest.approx(once.difference)
    assert thrice.interval.low == pytest.approx(once.interval.low)
    assert thrice.interval.high == pytest.approx(once.interval.high)


def test_the_same_seed_gives_the_same_interval_whatever_the_order():
    values = of(np.random.default_rng(3).normal(0, 1, 12))
    backwards = dict(reversed(values.items()))
    assert paired_effect(values, np.random.default_rng(0)) == paired_effect(backwards, np.random.default_rng(0))


def test_a_few_patients_have_a_difference_but_no_interval():
    effect = paired_effect(of(np.array([0.1, 0.3, 0.2, 0.1])), np.random.default_rng(0))
    assert effect.interval is None
    assert effect.difference == pytest.approx(0.175)
    assert effect.patients < LEAST_PATIENTS


def test_equal_differences_have_no_standardised_size():
    assert paired_effect(of(np.full(8, 0.2)), np.random.default_rng(0)).standardised is None


def test_without_pairs_there_is_no_effect():
    assert paired_effect({"p1": []}, np.random.default_rng(0)) is None
