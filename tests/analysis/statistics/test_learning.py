"""Curves that were drawn in; the studies that they need, and what fine-tuning saves, out again, in words."""

from __future__ import annotations

import math

from lesionlab.analysis.statistics.conditions import conditions, groups, rows_by_condition
from lesionlab.analysis.statistics.learning import Learning, learning
from storage_schemas.experiments import Goal
from tests.analysis.drawn_rows import drawn_rows, needed

GAINS = {"fine-tuned": 0.75, "de-novo": 1.1}
TARGET = 0.6


def learned(rows, goal=None) -> tuple[Learning, ...]:
    return learning(rows_by_condition(rows), groups(conditions(rows)), goal, "exclude", seed=0)


def first(rows, **goal) -> Learning:
    return learned(rows, Goal(**goal))[0]


def test_the_truth_behind_drawn_curves_lies_in_the_intervals():
    held = 0
    for seed in range(10):
        found = first(drawn_rows(seed, GAINS), target=TARGET)
        fine_tuned, de_novo = (arm.crossing for arm in found.arms)
        saved = needed(TARGET, 1.1) - needed(TARGET, 0.75)
        held += (
            fine_tuned.interval.low <= needed(TARGET, 0.75) <= fine_tuned.interval.high
            and de_novo.interval.low <= needed(TARGET, 1.1) <= de_novo.interval.high
            and found.saving.interval.low <= saved <= found.saving.interval.high
        )
    assert held >= 7


def test_without_an_advantage_no_saving_is_shown():
    shown = 0
    for seed in range(10):
        found = first(drawn_rows(seed, {"fine-tuned": 1.0, "de-novo": 1.0}, network_sd=0.05), target=TARGET)
        shown += found.saving.shown
        assert found.saving.shown != (
            "; a difference is not shown (the interval includes 0): by the means" in found.text()
        )
    assert shown <= 1


def test_the_answer_in_words():
    found = first(drawn_rows(3, GAINS, noise=0.01), target=TARGET, annotation_minutes=30)
    assert found.text().startswith("Sensitivity of 0.60 (the declared target): fine-tuned reaches it at N = 1")
    assert "; de novo reaches it at N = 3" in found.text()
    saving = found.saving
    low, high = saving.interval.low, saving.interval.high
    assert saving.shown
    assert (
        f"; fine-tuning saves about {saving.least:.0f} labelled studies [{low:.0f}, {high:.0f}], "
        f"{saving.least / 2:.0f} [{low / 2:.0f}, {high / 2:.0f}] hours of annotation at 30 minutes a study"
    ) in found.text()
    assert found.text().endswith("(over 60 test studies; limits over 6 folds).")


def test_limits_over_patients_are_said_to_leave_training_out():
    rows = [row.model_copy(update={"fold": 1}) for row in drawn_rows(3, GAINS)]
    assert first(rows, target=TARGET).text().endswith("; limits over 60 patients, for these very networks).")


def test_the_second_rater_is_the_aim_where_there_is_one():
    found = first(drawn_rows(1, GAINS, rater=0.6))
    assert (found.aim.name, found.aim.n) == ("Grader 2", 10)
    assert "Sensitivity of Grader 2 (" in found.text()


def test_a_declared_target_goes_before_the_rater():
    assert first(drawn_rows(1, GAINS, rater=0.6), target=0.5).aim.name == "the declared target"


def test_without_either_the_aim_is_de_novo_at_its_largest_size_and_said_to_be():
    found = first(drawn_rows(1, GAINS))
    assert found.aim.name == "de novo with 50 studies"
    assert found.arms[1].crossing.studies <= 50
    assert "Sensitivity of de novo with 50 studies (" in found.text()


def test_without_de_novo_or_a_target_there_is_no_aim():
    found = first(drawn_rows(1, {"fine-tuned": 0.75}))
    assert (found.aim, found.saving) == (None, None)
    assert "No goal to reach" in found.text()


def test_what_is_not_reached_is_not_claimed():
    found = first(drawn_rows(1, {"fine-tuned": 0.75, "de-novo": 3.0}), target=TARGET)
    assert math.isinf(found.arms[1].crossing.studies)
    assert "de novo does not reach it with 50" in found.text()
    assert found.saving.most == math.inf
    assert "; fine-tuning saves at least 3" in found.text()
    assert ", not bounded]" in found.text()
    neither = first(drawn_rows(1, {"fine-tuned": 3.0, "de-novo": 3.0}), target=TARGET)
    assert not neither.saving.shown
    assert "saves" not in neither.text()


def test_a_saving_that_rests_on_one_arms_luck_is_not_said_to_be_shown():
    """By the means de novo does not get there, by its limits it may."""
    found = first(drawn_rows(7, {"fine-tuned": 1.2, "de-novo": 1.5}, network_sd=0.05), target=TARGET)
    assert found.saving.neither > 0.05
    assert "; a difference is not shown (the interval includes 0)" in found.text()
    assert f"; in {found.saving.neither:.0%} of the draws neither arm reaches it" in found.text()


def test_a_saving_is_at_least_where_fine_tuning_starts_above_the_target():
    found = first(drawn_rows(1, {"fine-tuned": 0.3, "de-novo": 1.1}), target=TARGET)
    assert "fine-tuned reaches it at N ≤ 10" in found.text()
    assert "; fine-tuning saves at least" in found.text()
    both = first(drawn_rows(1, {"fine-tuned": 0.3, "de-novo": 0.3}), target=TARGET)
    assert "both with the fewest that were trained on (10): no saving can be told" in both.text()


def test_fine_tuning_that_does_not_get_there_is_said_to_need_more():
    found = first(drawn_rows(1, {"fine-tuned": 3.0, "de-novo": 0.75}), target=TARGET)
    assert "; fine-tuning needs at least" in found.text()
    assert "labelled studies more [" in found.text()


def test_fine_tuning_that_needs_more_is_said_to():
    found = first(drawn_rows(1, {"fine-tuned": 1.1, "de-novo": 0.75}), target=TARGET)
    assert found.saving.least < 0
    assert "; fine-tuning needs about" in found.text()
    assert "labelled studies more [" in found.text()


def test_curves_are_over_the_studies_that_all_models_were_tested_on():
    rows = [r for r in drawn_rows(1, GAINS) if (r.arm, r.training_size, r.fold) != ("de-novo", 20, 3)]
    found = first(rows, target=TARGET)
    assert (found.studies, found.patients) == (50, 50)
    assert {point.n for arm in found.arms for point in arm.points} == {50}


def test_a_study_without_a_goal_is_asked_for_sensitivity_and_ppv():
    assert [found.metric for found in learned(drawn_rows(1, GAINS))] == ["sensitivity", "ppv"]
