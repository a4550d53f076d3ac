"""Values drawn from known effects in; the mixed model finds them again, and says so where it cannot."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from lesionlab.analysis.methods.intervals import Covers
from lesionlab.analysis.methods.mixed import FixedEffect, NotFitted, Observation, fit_mixed
from lesionlab.analysis.methods.random_effects import Omitted
from tests.analysis.drawn_effects import drawn


def hidden_gains() -> list[Observation]:
    """Patients who gain from one arm by an SD of 0.05, in an experiment where searches over SDs ended at 0."""
    rng = np.random.default_rng(103)
    own, gains = rng.normal(0.5, 0.15, 16), rng.normal(0, 0.05, (16, 2))
    observations = []
    for fold, size in product(range(4), (4, 8, 12)):
        shared, luck = rng.normal(0, 0.03), rng.normal(0, 0.03, 2)
        for arm, place in product((0, 1), range(4)):
            patient, trained = 4 * fold + place, f"{fold}-{size}"
            value = own[patient] + gains[patient, arm] + shared + luck[arm] + rng.normal(0, 0.08)
            observations.append(
                Observation(value, arm == 1, size, f"{patient:02d}", trained, f"{trained}-{arm}", "north")
            )
    return observations


def test_gains_of_patients_that_no_search_may_miss_are_in_the_interval():
    """Dense REML: SD 0.047, interval −0.049 to +0.049. A search over SDs stops at 0, and its interval at ±0.035."""
    fitted = fit_mixed(hidden_gains())
    arm = fitted.terms[0]
    assert fitted.sd["patient_fine_tuned"] == pytest.approx(0.047, abs=0.001)
    assert (arm.low, arm.high) == pytest.approx((-0.0492, 0.0489), abs=2e-4)


def test_a_planted_effect_of_arm_and_size_lies_in_its_interval():
    fitted = fit_mixed(drawn(np.random.default_rng(1), fine_tuned=0.05, doubling=0.03))
    arm, doubling, interaction = fitted.terms
    assert (arm.effect, doubling.effect) == (FixedEffect.ARM, FixedEffect.DOUBLING)
    assert arm.low < 0.05 < arm.high
    assert doubling.low < 0.03 < doubling.high
    assert interaction.low < 0 < interaction.high
    assert arm.p < 0.001


def test_what_patients_and_training_sets_add_is_told_apart():
    sd = fit_mixed(drawn(np.random.default_rng(2))).sd
    assert sd["patient"] == pytest.approx(0.15, rel=0.25)
    assert sd["training_set"] == pytest.approx(0.04, rel=0.6)
    assert sd["residual"] == pytest.approx(0.08, rel=0.15)


def wrong(repetitions: int, **design) -> float:
    """How often the arm's term is found at 5 % where there is none."""
    fits = (fit_mixed(drawn(np.random.default_rng(seed), **design)) for seed in range(repetitions))
    return sum(fit.terms[0].p <= 0.05 for fit in fits) / repetitions


def test_patients_who_gain_from_one_arm_what_they_lose_by_the_other_widen_the_limits_of_the_arm():
    alike, unlike = (fit_mixed(drawn(np.random.default_rng(2), patient_fine_tuned_sd=sd)) for sd in (0.0, 0.08))
    assert unlike.sd["patient_fine_tuned"] == pytest.approx(0.08, rel=0.3)
    width = [fitted.terms[0].high - fitted.terms[0].low for fitted in (alike, unlike)]
    assert width[1] > 1.5 * width[0]


@pytest.mark.slow
@pytest.mark.parametrize(
    "design",
    [
        {"patient_fine_tuned_sd": 0.08},
        {"network_sd": 0.05, "sizes": (10, 30)},
        {"network_sd": 0.05, "folds": 3, "sizes": (10, 20)},
        {"network_sd": 0.05, "sizes": (20,)},
    ],
    ids=["patients gain and lose", "networks have luck", "twelve networks", "one size"],
)
def test_the_term_of_the_arm_is_wrong_in_5_of_100_studies(design):
    assert wrong(300, **design) <= 0.08


def test_few_training_sets_leave_few_degrees_of_freedom():
    few, many = (fit_mixed(drawn(np.random.default_rng(3), folds=folds, sizes=(10, 20))) for folds in (3, 6))
    assert (few.degrees, many.degrees) == (3 * 2 - 2, 6 * 2 - 2)


def test_one_network_of_each_kind_cannot_tell_the_luck_of_training_and_the_note_says_so():
    fitted = fit_mixed(drawn(np.random.default_rng(4), folds=1))
    assert "network" in fitted.sd
    alone = fit_mixed(drawn(np.random.default_rng(4), folds=1, sizes=(10, 20)))
    assert {"training_set", "network"}.isdisjoint(alone.sd)
    assert Omitted("network", 4) in alone.omitted
    assert alone.covers == Covers.THESE_NETWORKS


def test_a_model_says_what_its_interval_covers():
    assert fit_mixed(drawn(np.random.default_rng(4))).covers == Covers.INDEPENDENT_NETWORKS
    assert fit_mixed(drawn(np.random.default_rng(4), folds=1, sizes=(10, 20))).covers == Covers.THESE_NETWORKS


def test_with_one_arm_a_network_and_its_training_set_are_one_and_the_same():
    fitted = fit_mixed([o for o in drawn(np.random.default_rng(5)) if o.fine_tuned])
    assert set(fitted.sd) == {"patient", "training_set", "site", "residual"}
    assert Omitted("network", 18) in fitted.omitted


def test_shared_training_sets_widen_the_interval_of_the_size_but_not_of_the_arm():
    alone = fit_mixed(drawn(np.random.default_rng(3), set_sd=0.0))
    shared = fit_mixed(drawn(np.random.default_rng(3), set_sd=0.08))
    width = [[term.high - term.low for term in fitted.terms[:2]] for fitted in (alone, shared)]
    assert width[1][1] > 1.5 * width[0][1]
    assert width[1][0] == pytest.approx(width[0][0], rel=0.2)


def test_the_order_of_the_values_changes_nothing():
    observations = drawn(np.random.default_rng(4))
    forth, back = fit_mixed(observations), fit_mixed(observations[::-1])
    assert [t.estimate for t in back.terms] == pytest.approx([t.estimate for t in forth.terms], abs=1e-5)


def test_one_size_leaves_the_arm_alone():
    fitted = fit_mixed([o for o in drawn(np.random.default_rng(5), fine_tuned=0.1) if o.training_size == 20])
    assert [term.effect for term in fitted.terms] == [FixedEffect.ARM]


@pytest.mark.parametrize(
    ("observations", "why"),
    [
        ([], NotFitted.NO_VARIANCE),
        (
            [Observation(0.5, arm, 10, str(p), "1", "1", "a") for arm, p in product((True, False), range(9))],
            NotFitted.NO_VARIANCE,
        ),
        (
            [o for o in drawn(np.random.default_rng(6)) if o.fine_tuned and o.training_size == 10],
            NotFitted.ONE_CONDITION,
        ),
    ],
    ids=["nothing", "constant", "one-condition"],
)
def test_what_cannot_be_fitted_has_no_terms_and_says_why(observations, why):
    fitted = fit_mixed(observations)
    assert fitted.terms == ()
    assert fitted.not_fitted == why


def test_too_few_sites_are_left_out_and_named():
    observations = [o for o in drawn(np.random.default_rng(7)) if o.site in {"s0", "s1"}]
    fitted = fit_mixed(observations)
    assert "site" not in fitted.sd
    assert Omitted("site", 2) in fitted.omitted
