"""Studies without an effect in; tests keep to 5 % where their assumptions hold, and are caught where they do not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lesionlab.analysis.methods.intervals import Origin, paired_effect
from lesionlab.analysis.methods.null import (
    LEAST_REPETITIONS,
    MIXED_MODEL,
    REFIT_EVERY,
    VERDICT_MODEL,
    NullDesign,
    NullRate,
    draw_null,
    found_by,
    null_rates,
)
from lesionlab.analysis.methods.student import ALPHA, paired_t, repeated_measures, unpaired_t
from tests.analysis.drawn_effects import FOLDS, PER_FOLD, rotation_under_test

QUIET = {"patient": 0.15, "residual": 0.08}


def asked(design: NullDesign, repetitions: int = 200, seed: int = 2) -> dict[str, NullRate]:
    return {rate.method: rate for rate in null_rates(design, repetitions, np.random.default_rng(seed))}


def rates_of(sd: dict[str, float], repetitions: int = 1000, **design) -> dict[str, float]:
    """Of all methods but the mixed model, which is asked too seldom here and has tests of its own."""
    nulls = NullDesign(rotation_under_test(**design), sd)
    found = found_by(nulls, draw_null(nulls, repetitions, np.random.default_rng(1)))
    return {method: float(wrong.mean()) for method, wrong in found.items()}


PAIRED, INTERVAL = (
    "paired t, fine-tuned against de novo",
    "95 % CI over folds of one training size, fine-tuned − de novo",
)


def test_where_nothing_is_shared_every_method_keeps_to_five_percent():
    rates = rates_of({"residual": 0.08})
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
    alone = NullDesign(rotation_under_test(seeds=seeds), {"residual": 0.0, "network": 1.0})
    luck_N = draw_null(alone, 1, np.random.default_rng(1))[0]
    assert len(set(luck_N)) == 1 + 2 * 2 * FOLDS * 3
    assert 0.03 <= rates_of(QUIET | {"network": 0.08}, seeds=seeds)[INTERVAL] <= 0.07


@pytest.mark.slow
def test_the_mixed_model_keeps_to_five_percent_where_patients_and_networks_have_luck():
    sd = QUIET | {"patient_fine_tuned": 0.08, "training_set": 0.03, "network": 0.05}
    assert asked(NullDesign(rotation_under_test(), sd), 400 * REFIT_EVERY)[MIXED_MODEL].rate <= 0.08


def test_the_methods_are_the_very_ones_of_the_report():
    """Of single simulated studies, each method and its counterpart in the report agree."""
    design = NullDesign(rotation_under_test(), QUIET | {"network": 0.05})
    values_RN = draw_null(design, 12, np.random.default_rng(5))
    found = found_by(design, values_RN)
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
        assert [bool(wrong[number]) for wrong in found.values()] == expected


def test_without_a_default_model_nothing_is_said_of_one():
    found = asked(NullDesign(tuple(test for test in rotation_under_test() if test.arm != "default"), QUIET), 20)
    assert [method for method in found if "default" in method] == []


def test_the_anova_is_asked_only_where_the_report_has_one_of_all_trained_models():
    tested = rotation_under_test()
    models = {(test.arm, test.training_size) for test in tested if test.arm != "default"}
    without = tuple(test for test in tested if (test.arm, test.training_size) != max(models))

    def asks_anova(tests):
        design = NullDesign(tests, QUIET, models=len(models))
        return any("ANOVA" in name for name in found_by(design, draw_null(design, 1, np.random.default_rng(1))))

    assert (asks_anova(tested), asks_anova(without)) == (True, False)


def test_the_mixed_model_is_asked_in_some_of_the_experiments_and_says_in_how_many():
    found = asked(NullDesign(rotation_under_test(), QUIET), 100)
    assert (found[MIXED_MODEL].repetitions, found[PAIRED].repetitions) == (100 // REFIT_EVERY, 100)


def test_the_model_of_the_verdict_is_asked_where_the_training_subsets_are_known():
    known = rotation_under_test()
    unknown = tuple(replace(test, subsets=()) for test in known)
    assert asked(NullDesign(known, QUIET), 20)[VERDICT_MODEL].repetitions == 20 // REFIT_EVERY
    assert VERDICT_MODEL not in asked(NullDesign(unknown, QUIET), 20)


def test_intervals_of_a_rate_are_wide_enough_for_many_looks():
    rate = asked(NullDesign(rotation_under_test(), QUIET), 100)[PAIRED]
    assert rate.high - rate.low > 0.1


def test_sds_that_are_not_surely_known_widen_the_interval_of_a_rate():
    sure = NullDesign(rotation_under_test(), QUIET | {"network": 0.05})
    unsure = NullDesign(
        rotation_under_test(), sure.sd, tuple(QUIET | {"network": sd} for sd in np.linspace(0, 0.1, 40))
    )
    known, unknown = asked(sure)[PAIRED], asked(unsure)[PAIRED]
    assert known.rate == unknown.rate
    assert (known.alarming, unknown.alarming) == (True, False)
    assert unknown.low < 0.05 < 0.4 < unknown.high
    interval = asked(unsure)[INTERVAL]
    assert interval.low < 0.05 < interval.high < 0.2


@pytest.mark.parametrize("repetitions", [1, 5, 50, LEAST_REPETITIONS - 1])
def test_a_few_experiments_raise_no_alarm(repetitions):
    luck = NullDesign(rotation_under_test(), {"residual": 0.01, "network": 1.0})
    found = asked(luck, repetitions)
    assert found[PAIRED].rate > 0.5 or repetitions < 50
    assert not any(rate.alarming for rate in found.values())


def test_a_method_that_was_asked_seldom_raises_no_alarm_beside_one_that_was_asked_often():
    unlucky = NullRate(MIXED_MODEL, 1.0, 0.08, 1.0, 1)
    assert not unlucky.alarming
    assert NullRate(PAIRED, 0.25, 0.2, 0.3, LEAST_REPETITIONS).alarming
    assert not NullRate(PAIRED, 0.07, 0.049, 0.09, 1000).alarming


def test_the_same_seed_gives_the_same_rates():
    design = NullDesign(rotation_under_test(), QUIET, (QUIET | {"network": 0.03}, QUIET))
    assert asked(design, 30) == asked(design, 30)


def test_a_subset_adds_the_same_to_all_networks_of_an_arm_that_train_on_it_alone():
    tested = rotation_under_test(sizes=(10,))
    alone = draw_null(NullDesign(tested, {"residual": 0.0, "subset_fine_tuned": 1.0}), 1, np.random.default_rng(4))[0]
    by_subset = {(test.arm, test.subsets): value for test, value in zip(tested, alone, strict=True)}
    assert len(set(alone)) == len(by_subset)


def test_all_that_folds_share_vanishes_from_the_spread_between_them():
    """Five of six subsets each: the folds' differences hardly scatter, though their mean does."""
    shared = NullDesign(rotation_under_test(sizes=(50,)), {"residual": 0.02, "subset_fine_tuned": 0.05})
    found = found_by(shared, draw_null(shared, 400, np.random.default_rng(1)))
    assert found[INTERVAL].mean() > 0.3


def test_a_patient_is_the_same_under_every_model_and_a_network_for_all_that_it_tests():
    patients, networks = (
        draw_null(NullDesign(rotation_under_test(), {"residual": 0.0, name: 1.0}), 1, np.random.default_rng(4))[0]
        for name in ("patient", "network")
    )
    assert np.allclose(patients[:10], patients[10:20])
    assert np.ptp(networks[:10]) == np.ptp(networks[10:20]) == 0
    assert networks[0] != networks[10] != networks[20]
