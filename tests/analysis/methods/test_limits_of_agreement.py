"""Bland and Altman's limits: the plain ones with one study of each patient, both variances with several."""

from __future__ import annotations

import numpy as np
import pytest

from lesionlab.analysis.methods.intervals import Origin
from lesionlab.analysis.methods.limits_of_agreement import limits_of_agreement


def origin(number: int) -> Origin:
    return Origin(1, f"p{number:02d}")


def test_with_one_study_of_each_patient_they_are_bias_and_1_96_sd():
    values = [0.5, -0.2, 1.1, 0.3, -0.7]
    found = limits_of_agreement({origin(n): [value] for n, value in enumerate(values)})
    assert found.bias == pytest.approx(np.mean(values))
    reach = 1.959964 * np.std(values, ddof=1)
    assert (found.limits.low, found.limits.high) == pytest.approx((found.bias - reach, found.bias + reach))
    assert (found.studies, found.patients, found.repeated) == (5, 5, False)


def test_equal_groups_give_the_closed_form_of_both_variances():
    """Patients with means 0, 2, 4 and studies 1 above and below: between (MSB − MSW) / 2 = 3, within 2."""
    found = limits_of_agreement({origin(n): [2 * n - 1.0, 2 * n + 1.0] for n in range(3)})
    assert found.sd == pytest.approx(np.sqrt(3 + 2))
    assert (found.studies, found.patients, found.repeated) == (6, 3, True)


def test_copying_the_studies_of_patients_narrows_neither_bias_nor_limits():
    values = np.random.default_rng(1).normal(0.3, 1, 10)
    once, often = (limits_of_agreement({origin(n): [v] * copies for n, v in enumerate(values)}) for copies in (1, 6))
    assert often.bias_interval.low == pytest.approx(once.bias_interval.low)
    assert often.sd == pytest.approx(once.sd, rel=0.01)
    assert often.reach == pytest.approx(once.reach, rel=0.01)


def test_one_patient_has_no_limits_and_two_have_limits_without_intervals():
    assert limits_of_agreement({origin(0): [0.1, 0.4, 0.2]}) is None
    found = limits_of_agreement({origin(0): [0.1], origin(1): [0.4]})
    assert (found.bias_interval, found.reach) == (None, None)
    assert found.limits.low < found.bias < found.limits.high


def test_a_limit_is_never_known_better_than_the_bias_within_it():
    """Three folds: the bias has 2 degrees of freedom, the SD of twelve patients 11."""
    rng = np.random.default_rng(3)
    drawn = {Origin(n % 3, f"{n}"): [rng.normal(0.3 * (n % 3), 1)] for n in range(12)}
    found = limits_of_agreement(drawn)
    assert found.unit == "fold"
    assert found.reach > (found.bias_interval.high - found.bias_interval.low) / 2


@pytest.mark.slow
def test_95_percent_of_new_differences_lie_within_and_the_interval_of_a_limit_covers_the_true_one():
    rng, covered = np.random.default_rng(2), 0
    true = 0.2 + 1.959964 * np.sqrt(0.8**2 + 0.5**2)
    for _ in range(1500):
        drawn = {origin(n): list(rng.normal(0.2 + rng.normal(0, 0.8), 0.5, 1 + n % 3)) for n in range(30)}
        found = limits_of_agreement(drawn)
        covered += abs(found.limits.high - true) <= found.reach
    assert covered / 1500 == pytest.approx(0.95, abs=0.03)
