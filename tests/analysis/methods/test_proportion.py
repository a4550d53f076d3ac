"""Limits of a clustered fraction hold as often as they say, also where nothing varies."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from lesionlab.analysis.methods.intervals import Origin
from lesionlab.analysis.methods.proportion import clustered_proportion


def hits(*of_patients: list[float]) -> dict[Origin, list[float]]:
    return {Origin(None, f"p{number}"): own for number, own in enumerate(of_patients)}


def test_independent_things_have_clopper_and_pearsons_limits_within_the_price_of_an_unknown_error() -> None:
    found = clustered_proportion(hits(*([1.0] if n % 4 else [0.0] for n in range(40))))
    assert found is not None
    exact = stats.binomtest(30, 40).proportion_ci(method="exact")
    assert (found.share, found.n, found.clusters) == (0.75, 40, 40)
    assert found.interval.low == pytest.approx(exact.low, abs=0.01)
    assert found.interval.high == pytest.approx(exact.high, abs=0.01)


def test_alike_lesions_of_a_patient_count_less_than_as_many_patients() -> None:
    alike = clustered_proportion(hits(*([float(n % 4 > 0)] * 5 for n in range(20))))
    apart = clustered_proportion(hits(*([float(n % 4 > 0)] for n in range(100))))
    assert alike is not None
    assert apart is not None
    assert alike.share == apart.share
    assert alike.interval.low < apart.interval.low
    assert alike.interval.high > apart.interval.high


def test_where_all_or_none_are_hit_each_patient_is_one_thing() -> None:
    every, none = (clustered_proportion(hits(*([value] * 6 for _ in range(5)))) for value in (1.0, 0.0))
    assert every is not None
    assert none is not None
    assert (every.lower(0.05), every.upper(0.05)) == (pytest.approx(0.05 ** (1 / 5)), 1.0)
    assert (none.lower(0.05), none.upper(0.05)) == (0.0, pytest.approx(1 - 0.05 ** (1 / 5)))
    assert clustered_proportion(hits([1.0, 0.0], [1.0])) is None, "two patients show nothing"


def test_a_lower_limit_at_5_percent_is_too_high_in_about_5_percent_of_draws() -> None:
    share, draws = 0.8, 300
    rng = np.random.default_rng(0)
    too_high = 0
    for _ in range(draws):
        each = rng.beta(share * 4, (1 - share) * 4, 30)
        found = clustered_proportion(hits(*(rng.binomial(1, p, 4).astype(float).tolist() for p in each)))
        assert found is not None
        too_high += found.lower(0.05) > share
        assert (found.p_below(share) <= 0.05) == (found.lower(0.05) >= share)
    assert 0 < too_high / draws <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / draws)
