"""Arm × site: found where it was planted, not where it was not, and a reason where it cannot be asked."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from lesionlab.analysis.methods.interaction import NoSites, site_interaction
from lesionlab.analysis.methods.mixed import Observation
from tests.analysis.drawn_effects import drawn


def at_sites(seed: int, gain: float = 0.0, sites: int = 2, **design: Any) -> list[Observation]:
    """The drawn rotation, with more for fine-tuning at the last site."""
    last = f"s{sites - 1}"
    found = [
        replace(one, site=f"s{int(one.patient) % sites}")
        for one in drawn(np.random.default_rng(seed), patient_fine_tuned_sd=0.05, network_sd=0.03, **design)
    ]
    return [replace(one, value=one.value + gain * (one.fine_tuned and one.site == last)) for one in found]


def test_a_planted_gain_at_one_site_is_found_there():
    found = site_interaction(at_sites(1, gain=0.25, sites=3))
    assert found.p < 0.001
    assert (found.between, found.within) == (2, 57)
    first, second, third = found.sites
    assert [site.site for site in found.sites] == ["s0", "s1", "s2"]
    assert third.interval.includes(0.25)
    assert not third.interval.includes(0)
    assert max(first.estimate, second.estimate) < 0.1 < third.estimate


def test_the_differences_at_the_sites_average_to_the_plain_difference():
    seen = at_sites(2, gain=0.1)
    plain = np.mean([one.value for one in seen if one.fine_tuned]) - np.mean(
        [one.value for one in seen if not one.fine_tuned]
    )
    found = site_interaction(seen)
    assert np.mean([site.estimate for site in found.sites]) == pytest.approx(plain, abs=1e-6)


def test_a_site_with_five_patients_is_left_out_and_named():
    seen = [replace(one, site="small") if int(one.patient) in (0, 2, 4, 6, 8) else one for one in at_sites(3, folds=3)]
    found = site_interaction(seen)
    assert found.left_out == (("small", 5),)
    assert [site.site for site in found.sites] == ["s0", "s1"]
    assert found.p is not None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda one: replace(one, site="only"), NoSites.FEW_SITES),
        (lambda one: replace(one, fine_tuned=True), NoSites.ONE_ARM),
        (lambda one: replace(one, site=one.training_set.partition("-")[0]), NoSites.SITE_IS_NETWORK),
        (lambda one: replace(one, value=0.5), NoSites.NOT_ESTIMABLE),
    ],
    ids=["one site", "one arm", "a site is a fold", "constant"],
)
def test_where_it_cannot_be_asked_there_is_a_reason(change, reason):
    found = site_interaction([change(one) for one in at_sites(4)])
    assert (found.reason, found.p, found.sites) == (reason, None, ())


def test_nothing_at_all_is_no_error():
    assert site_interaction([]).reason is NoSites.FEW_SITES


@pytest.mark.slow
def test_without_an_interaction_it_is_found_in_5_percent():
    wrong = sum(site_interaction(at_sites(seed, sites=3, sizes=(10, 30))).p <= 0.05 for seed in range(200))
    assert wrong / 200 <= 0.09
