"""A pooled share counts lesions, not studies; its interval counts patients or folds."""

from __future__ import annotations

import numpy as np
import pytest

from lesionlab.analysis.methods.intervals import Origin
from lesionlab.analysis.methods.pooled import pooled_share


def test_a_patient_with_many_lesions_decides_the_pooled_share():
    counts = {Origin(1, "a"): [(1, 1)], Origin(1, "b"): [(10, 99)], Origin(1, "c"): [(0, 0)]}
    found = pooled_share(counts, "patient")
    assert found.mean == 11 / 100
    assert sum(found.moves.values()) == pytest.approx(0)


def test_with_equal_numbers_of_lesions_it_is_the_mean_of_shares_with_its_standard_error():
    hits = np.array([3, 7, 5, 9, 6])
    found = pooled_share({Origin(1, f"p{n}"): [(hit, 10)] for n, hit in enumerate(hits)}, "patient")
    assert found.mean == pytest.approx(0.6)
    assert np.linalg.norm(list(found.moves.values())) == pytest.approx((hits / 10).std(ddof=1) / np.sqrt(5))


def test_more_studies_of_the_same_patients_do_not_narrow_it():
    counts = {Origin(1, f"p{n}"): [(n, 5)] for n in range(5)}
    often = {origin: own * 4 for origin, own in counts.items()}
    assert pooled_share(often, "patient").interval.low == pytest.approx(pooled_share(counts, "patient").interval.low)


def test_the_interval_stays_within_0_and_1_and_without_a_lesion_there_is_no_share():
    counts = {Origin(1, f"p{n}"): [(9 + (n > 0), 10)] for n in range(4)}
    interval = pooled_share(counts, "patient").share_interval
    assert 0 < interval.low < interval.high < 1
    assert pooled_share({Origin(1, "a"): [(0, 0)]}, "patient") is None


def test_the_standard_error_is_near_that_of_a_jackknife_over_patients():
    rng = np.random.default_rng(1)
    lesions = rng.integers(3, 40, 25)
    hits = rng.binomial(lesions, rng.beta(6, 4, 25))
    counts = {Origin(1, f"p{n:02d}"): [(int(h), int(m))] for n, (h, m) in enumerate(zip(hits, lesions, strict=True))}
    without = np.array([(hits.sum() - h) / (lesions.sum() - m) for h, m in zip(hits, lesions, strict=True)])
    jackknife = np.sqrt(24 / 25 * ((without - without.mean()) ** 2).sum())
    assert np.linalg.norm(list(pooled_share(counts, "patient").moves.values())) == pytest.approx(jackknife, rel=0.06)
