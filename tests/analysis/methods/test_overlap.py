"""Rotations in; which subsets each fold trained on, and what the choice of training studies adds, out."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from lesionlab.analysis.methods.intervals import Covers
from lesionlab.analysis.methods.mixed import NotFitted, fit_mixed
from lesionlab.analysis.methods.overlap import fit_overlapping, memberships, rotation_subsets
from lesionlab.experiments.splits import fold_subsets
from storage_schemas.splits import Target
from tests.analysis.drawn_effects import drawn


def rotated(folds: int, per_fold: int, sizes: tuple[int, ...]) -> list[tuple[int, int, str]]:
    return [
        (fold, size, f"{fold}-{place}")
        for fold, size, place in product(range(1, folds + 1), sizes, range(1, per_fold + 1))
    ]


@pytest.mark.parametrize(("folds", "per_fold"), [(6, 10), (4, 10), (3, 4)])
def test_the_subsets_are_those_that_the_experiment_trains_on(folds, per_fold):
    sizes = tuple(per_fold * k for k in range(1, folds))
    target = Target(cohort="ms", subsets=folds, subset_size=per_fold)
    found = rotation_subsets(rotated(folds, per_fold, sizes))
    assert found == {
        (fold, size): tuple(sorted(fold_subsets(target, size, fold).train))
        for fold, size in product(range(1, folds + 1), sizes)
    }


def test_subsets_are_known_though_a_study_was_not_tested_under_every_model():
    tests = [test for test in rotated(6, 10, (10, 30)) if test != (2, 10, "2-7")]
    assert rotation_subsets(tests)[2, 30] == (1, 5, 6)


@pytest.mark.parametrize(
    "tests",
    [
        [],
        rotated(2, 10, (10,)),
        rotated(6, 10, (10, 25)),
        rotated(6, 10, (10, 60)),
        [*rotated(6, 10, (10, 20)), (2, 10, "1-1")],
        [test for test in rotated(6, 10, (10, 20)) if test[0] != 3],
    ],
    ids=["none", "two folds", "part of a subset", "all subsets", "a study in two folds", "a fold is missing"],
)
def test_of_other_designs_no_subset_is_known(tests):
    assert rotation_subsets(tests) == {}


def test_a_network_belongs_to_each_of_its_k_subsets_by_one_kth():
    weights = memberships([("a", (1, 2)), ("a", (2,)), ("b", (1, 2, 3)), ("default", ())])
    assert weights.sum(axis=1).tolist() == pytest.approx([1, 1, 1, 0])
    assert (weights > 0).sum(axis=1).tolist() == [2, 1, 3, 0]
    assert weights.shape == (4, 2 + 3)
    assert (weights[0] * weights[2]).sum() == 0


def test_what_a_subset_teaches_is_found():
    experiments = [drawn(np.random.default_rng(seed), subset_fine_tuned_sd=0.06, sizes=(10, 40)) for seed in range(12)]
    variances = [fit_overlapping(observations).sd["subset_fine_tuned"] ** 2 for observations in experiments]
    assert np.mean(variances) == pytest.approx(0.06**2, rel=0.3)


def test_what_a_subset_teaches_widens_the_interval_of_the_arm():
    observations = drawn(np.random.default_rng(5), subset_fine_tuned_sd=0.06)
    apart, overlapping = fit_mixed(observations), fit_overlapping(observations)
    assert (overlapping.covers, overlapping.degrees) == (Covers.TRAINING_STUDIES, 5)
    width = [model.terms[0].high - model.terms[0].low for model in (apart, overlapping)]
    assert width[1] > 1.7 * width[0]
    assert overlapping.terms[0].estimate == pytest.approx(apart.terms[0].estimate, abs=0.01)


def test_at_one_size_without_overlap_a_network_is_what_its_subset_is():
    observations = [o for o in drawn(np.random.default_rng(6), network_sd=0.05) if o.training_size == 10]
    apart, overlapping = fit_mixed(observations), fit_overlapping(observations)
    assert overlapping.sd == pytest.approx(apart.sd)
    assert (overlapping.covers, overlapping.degrees) == (Covers.TRAINING_STUDIES, 5)


def test_folds_that_were_not_run_give_no_degrees_of_freedom():
    """Three folds train on all six subsets with 40 studies, but there are three networks of an arm to tell apart."""
    some = [o for o in drawn(np.random.default_rng(7), sizes=(10, 40)) if o.training_set[0] in "012"]
    assert len({subset for o in some for subset in o.subsets}) == 6
    assert fit_overlapping(some).degrees == 2


@pytest.mark.parametrize(
    ("observations", "why"),
    [
        ([replace(o, subsets=()) for o in drawn(np.random.default_rng(1))], NotFitted.SUBSETS_UNKNOWN),
        ([replace(o, subsets=()) for o in drawn(np.random.default_rng(1), folds=2)], NotFitted.FEW_SUBSETS),
        ([], NotFitted.SUBSETS_UNKNOWN),
        ([o for o in drawn(np.random.default_rng(1)) if o.fine_tuned], NotFitted.ONE_ARM),
        (drawn(np.random.default_rng(1), sizes=(20, 40)), NotFitted.NO_DISJOINT_SIZE),
        (drawn(np.random.default_rng(1), folds=2, sizes=(10,)), NotFitted.FEW_SUBSETS),
    ],
    ids=["unknown", "one split", "nothing", "one arm", "always shared", "two folds"],
)
def test_where_the_choice_of_studies_cannot_be_told_there_is_no_model_but_a_reason(observations, why):
    fitted = fit_overlapping(observations)
    assert fitted.terms == ()
    assert fitted.not_fitted == why
