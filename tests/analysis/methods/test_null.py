"""Studies without an effect in; tests keep to 5 % where their assumptions hold, and are caught where they do not."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from lesionlab.analysis.methods.intervals import Origin, paired_effect
from lesionlab.analysis.methods.null import MIXED_EVERY, NullDesign, UnderTest, draw_null, null_rates, rates_in
from lesionlab.analysis.methods.student import ALPHA, paired_t, repeated_measures, unpaired_t

FOLDS, PER_FOLD = 6, 10
QUIET = {"patient": 0.15, "residual": 0.08}


def rotation(
    sizes: tuple[int, ...] = (10, 30), seeds: tuple[int, ...] = (0,), visits: int = 1
) -> tuple[UnderTest, ...]:
    """The paper's: every study under both arms at each size, the default model on the first subset."""

    def test(arm: str, size: int, fold: int, place: int, seed: int) -> UnderTest:
        number = (fold - 1) * PER_FOLD + place
        return UnderTest(arm, size, fold, seed, f"s{number:02d}", f"p{number // visits:02d}", place, "north")

    places = range(PER_FOLD)
    trained = product(("fine-tuned", "de-novo"), sizes, range(1, FOLDS + 1), places, seeds)
    return (*(test("default", 0, 1, place, 0) for place in places), *(test(*each) for each in trained))


def rates_of(sd: dict[str, float], repetitions: int = 1000, seed: int = 1, **design) -> dict[str, float]:
    found = null_rates(NullDesign(rotation(**design), sd), repetitions, np.random.default_rng(seed))
    return {rate.method: rate.rate for rate in found}


PAIRED, INTERVAL = "paired t, fine-tuned against de novo", "95 % interval of the difference, fine-tuned − de novo"
MIXED = "mixed model, fine-tuned − de novo"


def test_where_nothing_is_shared_every_method_keeps_to_five_percent():
    rates = rates_of({"residual": 0.08})
    del rates[MIXED]  # Asked too seldom here; it has a test of its own.
    assert len(rates) == 5
    assert all(0.03 <= rate <= 0.07 for rate in rates.values()), rates


@pytest.mark.parametrize("network_sd", [0.05, 0.08])
def test_the_luck_of_networks_deceives_the_paired_test_but_not_the_interval(network_sd):
    rates = rates_of(QUIET | {"network": network_sd})
    assert rates[PAIRED] > 0.25
    assert 0.03 <= rates[INTERVAL] <= 0.07


def test_several_visits_of_a_patient_deceive_the_paired_test_but_not_the_interval():
    rates = rates_of({"patient_fine_tuned": 0.1, "residual": 0.08}, visits=5)
    assert rates[PAIRED] > 0.2
    assert 0.03 <= rates[INTERVAL] <= 0.07


def test_every_seed_has_a_network_of_its_own_and_they_are_averaged():
    seeds = (0, 1, 2)
    alone = NullDesign(rotation(seeds=seeds), {"residual": 0.0, "network": 1.0})
    luck_N = draw_null(alone, 1, np.random.default_rng(1))[0]
    assert len(set(luck_N)) == 1 + 2 * 2 * FOLDS * 3
    assert 0.03 <= rates_of(QUIET | {"network": 0.08}, seeds=seeds)[INTERVAL] <= 0.07


@pytest.mark.slow
def test_the_mixed_model_keeps_to_five_percent_where_patients_and_networks_have_luck():
    sd = QUIET | {"patient_fine_tuned": 0.08, "training_set": 0.03, "network": 0.05}
    assert rates_of(sd, 400 * MIXED_EVERY, sizes=(10, 30))[MIXED] <= 0.08


def test_the_methods_are_the_very_ones_of_the_report():
    """Of single simulated studies, each method and its counterpart in the report agree."""
    design = NullDesign(rotation(), QUIET | {"network": 0.05})
    values_RN = draw_null(design, 12, np.random.default_rng(5))
    for number in range(12):
        value = dict(zip([(t.arm, t.training_size, t.study) for t in design.tested], values_RN[number], strict=True))
        studies = sorted({t.study for t in design.tested})
        fold = {t.study: t.fold for t in design.tested}
        fine_tuned, de_novo, default = (
            np.array([value[arm, size, study] for study in studies if (arm, size, study) in value])
            for arm, size in (("fine-tuned", 30), ("de-novo", 30), ("default", 0))
        )
        every = np.array([[value[arm, n, s] for arm in ("fine-tuned", "de-novo") for n in (10, 30)] for s in studies])
        effect = paired_effect({Origin(fold[s], s): [d] for s, d in zip(studies, fine_tuned - de_novo, strict=True)})
        expected = [
            paired_t(fine_tuned, de_novo).p <= ALPHA,
            not effect.interval.includes(0),
            unpaired_t(fine_tuned.reshape(FOLDS, PER_FOLD).mean(axis=0), default).p <= ALPHA,
            unpaired_t(fine_tuned, default).p <= ALPHA,
            repeated_measures(every).p <= ALPHA,
        ]
        assert [bool(rate.rate) for rate in rates_in(design, values_RN[[number]])][:5] == expected


def test_without_a_default_model_nothing_is_said_of_one():
    tested = tuple(test for test in rotation() if test.arm != "default")
    found = null_rates(NullDesign(tested, QUIET), 20, np.random.default_rng(2))
    assert [rate.method for rate in found if "default" in rate.method] == []


def test_the_mixed_model_is_asked_in_some_of_the_studies_and_says_in_how_many():
    found = {rate.method: rate for rate in null_rates(NullDesign(rotation(), QUIET), 100, np.random.default_rng(2))}
    assert (found[MIXED].repetitions, found[PAIRED].repetitions) == (100 // MIXED_EVERY, 100)


def test_limits_of_a_rate_are_wide_enough_for_many_looks():
    (rate, *_) = null_rates(NullDesign(rotation(), QUIET), 100, np.random.default_rng(2))
    assert rate.high - rate.low > 0.1


def test_the_same_seed_gives_the_same_rates():
    design = NullDesign(rotation(), QUIET)
    first, again = (null_rates(design, 30, np.random.default_rng(3)) for _ in range(2))
    assert first == again


def test_a_patient_is_the_same_under_every_model_and_a_network_for_all_that_it_tests():
    patients = draw_null(NullDesign(rotation(), {"residual": 0.0, "patient": 1.0}), 1, np.random.default_rng(4))[0]
    networks = draw_null(NullDesign(rotation(), {"residual": 0.0, "network": 1.0}), 1, np.random.default_rng(4))[0]
    assert np.allclose(patients[:10], patients[10:20])
    assert np.ptp(networks[:10]) == np.ptp(networks[10:20]) == 0
    assert networks[0] != networks[10] != networks[20]
