"""The labelled studies that drawn curves need, and what fine-tuning saves, are recovered."""

from __future__ import annotations

import math

import pytest

from lesionlab.analysis.methods.curve import Direction, Support
from lesionlab.analysis.statistics.conditions import conditions, groups, rows_by_condition
from lesionlab.analysis.statistics.learning import Aim, AimKind, Learning, learning
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
        shown += found.saving.support is Support.SHOWN
    assert shown <= 1


def test_a_clear_advantage_is_shown_over_the_folds():
    found = first(drawn_rows(3, GAINS, noise=0.01), target=TARGET, annotation_minutes=30)
    fine_tuned, de_novo = (arm.crossing.studies for arm in found.arms)
    assert 10 < fine_tuned < 20
    assert 30 < de_novo < 40
    assert (found.saving.direction, found.saving.support) == (Direction.FEWER, Support.SHOWN)
    assert found.saving.least == pytest.approx(de_novo - fine_tuned)
    assert (found.annotation_minutes, found.studies, found.unit, found.clusters) == (30, 60, "fold", 6)


def test_with_one_fold_the_intervals_are_over_patients():
    found = first([row.model_copy(update={"fold": 1}) for row in drawn_rows(3, GAINS)], target=TARGET)
    assert (found.unit, found.clusters, found.has_intervals) == ("patient", 60, True)


def test_the_second_rater_is_the_aim_where_there_is_one():
    found = first(drawn_rows(1, GAINS, rater=0.6))
    assert (found.aim.kind, found.aim.n) == (AimKind.RATER, 10)


def test_a_declared_target_goes_before_the_rater():
    assert first(drawn_rows(1, GAINS, rater=0.6), target=0.5).aim == Aim(AimKind.DECLARED, 0.5)


def test_without_either_the_aim_is_de_novo_at_its_largest_size():
    found = first(drawn_rows(1, GAINS))
    assert (found.aim.kind, found.aim.model.training_size, found.aim.n) == (AimKind.DE_NOVO, 50, 60)
    fine_tuned, de_novo = (arm.crossing for arm in found.arms)
    assert (de_novo.studies, de_novo.defined) == (50, True)
    assert found.saving.least == 50 - fine_tuned.studies


def test_without_de_novo_or_a_target_there_is_no_aim():
    found = first(drawn_rows(1, {"fine-tuned": 0.75}))
    assert (found.aim, found.saving) == (None, None)


def test_what_is_not_reached_is_not_claimed():
    found = first(drawn_rows(1, {"fine-tuned": 0.75, "de-novo": 3.0}), target=TARGET)
    assert not found.arms[1].crossing.reached
    assert (found.saving.direction, found.saving.support) == (Direction.FEWER, Support.SHOWN)
    assert 30 <= found.saving.least < 40
    assert found.saving.most == found.saving.interval.high == math.inf
    neither = first(drawn_rows(1, {"fine-tuned": 3.0, "de-novo": 3.0}), target=TARGET)
    assert (neither.saving.direction, neither.saving.support) == (Direction.OPEN, Support.INCLUDES_ZERO)


def test_a_saving_that_rests_on_one_arms_luck_is_not_said_to_be_shown():
    """By the means de novo does not get there, by its limits it may."""
    found = first(drawn_rows(7, {"fine-tuned": 1.2, "de-novo": 1.5}, network_sd=0.05), target=TARGET)
    assert found.saving.neither > 0.05
    assert found.saving.support is Support.INCLUDES_ZERO


def test_a_saving_is_at_least_where_fine_tuning_starts_above_the_target():
    found = first(drawn_rows(1, {"fine-tuned": 0.3, "de-novo": 1.1}), target=TARGET)
    assert found.arms[0].crossing.studies == found.arms[0].crossing.smallest == 10
    assert found.saving.direction is Direction.FEWER
    assert found.saving.least < found.saving.most
    both = first(drawn_rows(1, {"fine-tuned": 0.3, "de-novo": 0.3}), target=TARGET)
    assert both.saving.direction is Direction.BOTH_AT_SMALLEST


def test_fine_tuning_that_does_not_get_there_needs_more_without_a_bound():
    saving = first(drawn_rows(1, {"fine-tuned": 3.0, "de-novo": 0.75}), target=TARGET).saving
    assert (saving.direction, saving.size[1]) == (Direction.MORE, math.inf)


def test_fine_tuning_that_needs_more_has_a_negative_saving():
    saving = first(drawn_rows(1, {"fine-tuned": 1.1, "de-novo": 0.75}), target=TARGET).saving
    assert saving.least == saving.most < 0
    assert saving.direction is Direction.MORE


def test_curves_are_over_the_studies_that_all_models_were_tested_on():
    rows = [r for r in drawn_rows(1, GAINS) if (r.arm, r.training_size, r.fold) != ("de-novo", 20, 3)]
    found = first(rows, target=TARGET)
    assert (found.studies, found.patients) == (50, 50)
    assert {point.n for arm in found.arms for point in arm.points} == {50}


def test_a_study_without_a_goal_is_asked_for_sensitivity_and_ppv():
    assert [found.metric for found in learned(drawn_rows(1, GAINS))] == ["sensitivity", "ppv"]
