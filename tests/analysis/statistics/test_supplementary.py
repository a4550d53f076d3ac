"""Supplementary analyses recover known effects, find nothing where there is nothing, and give equal bytes."""

from __future__ import annotations

import numpy as np
import pytest

from lesionlab.analysis.methods.mixed import FixedEffect, fit_mixed
from lesionlab.analysis.methods.null import VERDICT_MODEL
from lesionlab.analysis.methods.student import paired_t
from lesionlab.analysis.statistics.arm_comparisons import arm_comparisons, observations
from lesionlab.analysis.statistics.budget import BudgetFinding
from lesionlab.analysis.statistics.changes import Difference
from lesionlab.analysis.statistics.comparisons import compare
from lesionlab.analysis.statistics.conditions import conditions, groups, rows_by_condition, values_by_study
from lesionlab.analysis.statistics.null_test import NotRun
from lesionlab.analysis.statistics.supplementary import Options, supplementary_analyses
from storage_schemas.splits import Target
from tests.analysis.drawn_rows import drawn_rows

EQUAL = {"fine-tuned": 1.0, "de-novo": 1.0}
BETTER = {"fine-tuned": 0.75, "de-novo": 1.1}
QUIET = Options(null_repetitions=0)


def supplementary_of(rows, options=QUIET):
    return supplementary_analyses(rows, rows, compare(rows, rows, "fold-averaged", options.undefined), options)


def test_effect_sizes_hold_the_difference_that_was_drawn():
    held = [
        paired.size.interval.low <= 0.35 * paired.pair.model.training_size**-0.5 <= paired.size.interval.high
        for seed in range(2)
        for paired in supplementary_of(drawn_rows(seed, BETTER)).sizes
        if paired.metric == "sensitivity"
    ]
    assert (len(held), sum(held) >= 8) == (10, True)


def test_effect_sizes_are_standardised_and_count_pairs_and_patients():
    rows = drawn_rows(1, BETTER, patients_per_fold=5)
    paired = next(
        p for p in supplementary_of(rows).sizes if (p.metric, p.pair.model.training_size) == ("sensitivity", 10)
    )
    by_study = {arm: [r.sensitivity for r in rows if (r.arm, r.training_size) == (arm, 10)] for arm in BETTER}
    differences = np.subtract(by_study["fine-tuned"], by_study["de-novo"])
    assert (paired.n, paired.size.patients) == (60, 30)
    assert paired.size.difference == pytest.approx(differences.mean())
    assert paired.size.standardised == pytest.approx(differences.mean() / differences.std(ddof=1))


def test_the_mixed_model_finds_the_slope_per_doubling_that_was_drawn():
    rows = drawn_rows(2, EQUAL, sizes=(10, 20, 40))
    model = next(fitted.model for fitted in supplementary_of(rows).mixed if fitted.metric == "sensitivity")
    slope = next(term for term in model.terms if term.effect == FixedEffect.DOUBLING)
    truth = (10**-0.5 - 40**-0.5) / 2
    assert slope.low < truth < slope.high
    assert set(model.sd) == {"patient", "patient_fine_tuned", "training_set", "network", "site", "residual"}


@pytest.mark.slow
def test_without_an_effect_the_mixed_model_is_seldom_wrong_where_the_paired_test_often_is():
    wrong = {"mixed": 0, "paired": 0}
    for seed in range(40):
        rows = drawn_rows(seed, EQUAL, sizes=(10, 30), network_sd=0.06)
        (arm_comparison,) = (
            arm_comparison for group in groups(conditions(rows)) for arm_comparison in arm_comparisons(group)
        )
        by_condition = rows_by_condition(rows)
        model = fit_mixed(observations(by_condition, arm_comparison, "sensitivity", "exclude"))
        fine_tuned, de_novo = (
            values_by_study(by_condition[arm[-1]], arm[-1], "sensitivity")
            for arm in (arm_comparison.fine_tuned, arm_comparison.de_novo)
        )
        wrong["mixed"] += model.terms[0].p <= 0.05
        wrong["paired"] += paired_t(list(fine_tuned.values()), list(de_novo.values())).p <= 0.05
    assert wrong["mixed"] <= 6
    assert wrong["paired"] >= 8


def test_the_null_test_takes_its_variances_from_these_very_rows():
    rows = drawn_rows(4, EQUAL, sizes=(10, 30), network_sd=0.06)
    found = supplementary_of(rows, Options(null_repetitions=200))
    test = next(test for test in found.null if test.metric == "sensitivity")
    model = next(fitted.model for fitted in found.mixed if fitted.metric == "sensitivity")
    assert len(test.design.tested) == len(rows)
    assert test.design.sd["network"] == pytest.approx(model.sd["network"], abs=0.01)
    assert test.design.sd["network"] > 0.04
    rates = {rate.method: rate for rate in test.rates}
    assert rates["paired t, fine-tuned against de novo"].low > 0.05
    assert rates["95 % CI over folds of one training size, fine-tuned − de novo"].low <= 0.05


def test_the_null_test_draws_what_training_subsets_add_and_asks_the_model_of_the_verdict():
    rows = drawn_rows(4, EQUAL, sizes=(10, 30), network_sd=0.06)
    for target in (Target(cohort="ms"), None):  # an external table may be a rotation too
        test = supplementary_of(rows, Options(null_repetitions=2, target=target)).null[0]
        assert "subset_fine_tuned" in test.design.sd
        assert VERDICT_MODEL in [rate.method for rate in test.rates]
        assert {len(t.subsets) for t in test.design.tested if t.arm == "de-novo"} == {1, 3}


def test_undefined_values_are_left_out_of_the_simulated_studies_too():
    rows = [
        row.model_copy(update={"ppv": None}) if row.arm == "de-novo" and row.fold == 1 else row
        for row in drawn_rows(4, EQUAL, sizes=(10, 30))
    ]
    excluded, worst = (
        next(t for t in supplementary_of(rows, Options(undefined, null_repetitions=1)).null if t.metric == "ppv")
        for undefined in ("exclude", "worst")
    )
    assert (len(worst.design.tested), len(excluded.design.tested)) == (len(rows), len(rows) - 20)


@pytest.mark.slow
def test_alarms_are_rare_where_all_that_the_papers_tests_take_for_granted_holds():
    """Nothing is shared but patients, and the curve is no straight line."""
    alarms, experiments = 0, 10
    for seed in range(experiments):
        tests = supplementary_of(drawn_rows(seed, EQUAL, sizes=(10, 20, 40)), Options(null_repetitions=300)).null
        alarms += any(rate.alarming for test in tests for rate in test.rates)
    assert alarms <= experiments / 10


def test_the_null_test_includes_a_default_model_only_where_there_is_one():
    rows = [row for row in drawn_rows(5, EQUAL, sizes=(10, 30)) if row.arm != "default"]
    rates = supplementary_of(rows, Options(null_repetitions=2)).null[0].rates
    assert rates
    assert not any("default" in rate.method for rate in rates)


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ([r for r in drawn_rows(6, EQUAL, sizes=(10,)) if r.arm == "de-novo"], NotRun.ONE_ARM),
        (
            [r.model_copy(update={"sensitivity": 0.5, "ppv": 0.5}) for r in drawn_rows(6, EQUAL, sizes=(10,))],
            NotRun.VARIANCES_UNKNOWN,
        ),
    ],
    ids=["one arm", "constant"],
)
def test_a_null_test_that_cannot_be_run_says_why(rows, why):
    for test in supplementary_of(rows, Options(null_repetitions=2)).null:
        assert (test.rates, test.not_run) == ((), why)


def test_conclusions_that_holm_or_welch_change_are_listed(table_of):
    low = [0.10, 0.12, 0.14, 0.16, 0.18, 0.11, 0.13, 0.15, 0.17, 0.19]
    weak = [value + delta for value, delta in zip(low, [0.06, -0.02, 0.05, -0.01, 0.06] * 2, strict=True)]
    strong = [value + 0.5 + delta for value, delta in zip(low, [0.01, -0.01] * 5, strict=True)]
    places = [(1, position) for position in range(1, 11)]
    rows = table_of(
        {
            (arm, size): dict(zip(places, values, strict=True))
            for (arm, size), values in {
                ("fine-tuned", 4): weak,
                ("de-novo", 4): low,
                ("fine-tuned", 8): strong,
                ("de-novo", 8): low,
                ("default", 0): [0.1, 0.3] * 5,
            }.items()
        }
    )
    found = supplementary_of(rows)
    (gained,) = [c for c in found.holm if (c.before.metric, c.before.test) == ("sensitivity", "paired-t")]
    assert gained.differences == (Difference.NOW_SIGNIFICANT,)
    assert 0.025 < gained.before.p <= 0.05
    for change in found.welch:
        assert (change.before.test, change.after.p) == ("unpaired-t", change.before.p_welch)


def budgets(by_epochs: float, by_steps: float):
    """Fine-tuned and de novo alike; the gain with size differs between the budgets."""
    return [
        *drawn_rows(7, dict.fromkeys(EQUAL, by_epochs), sizes=(10, 20, 40), budget="30 epochs"),
        *[
            row
            for row in drawn_rows(8, dict.fromkeys(EQUAL, by_steps), sizes=(10, 20, 40), budget="2000 steps")
            if row.training_size
        ],
    ]


@pytest.mark.parametrize(
    ("by_epochs", "by_steps", "finding"),
    [
        (1.0, 1.0, BudgetFinding.BEYOND_STEPS),
        (1.0, 0.0, BudgetFinding.PERHAPS_STEPS),
        (0.0, 0.0, BudgetFinding.NO_EFFECT),
    ],
)
def test_the_budget_control_tells_data_from_steps(by_epochs, by_steps, finding):
    control = next(c for c in supplementary_of(budgets(by_epochs, by_steps)).budget if c.metric == "sensitivity")
    assert [(slope.budget.text(), slope.equal_steps) for slope in control.slopes] == [
        ("30 epochs", False),
        ("2000 steps", True),
    ]
    assert control.finding is finding
    truth = by_steps * (10**-0.5 - 40**-0.5) / 2
    assert control.slopes[1].term.low - 0.005 < truth < control.slopes[1].term.high + 0.005


def test_one_kind_of_budget_is_no_control():
    assert supplementary_of(drawn_rows(7, EQUAL, budget="30 epochs")).budget == ()


def test_the_same_rows_in_any_order_give_the_same_result():
    rows = drawn_rows(9, BETTER, rater=0.6)
    options = Options(null_repetitions=2)
    shuffled = [rows[place] for place in np.random.default_rng(0).permutation(len(rows))]
    assert repr(supplementary_of(rows, options)) == repr(supplementary_of(shuffled, options))
