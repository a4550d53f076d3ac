"""A rotation and SDs in; which difference between the arms it can show, and how many seeds that takes, out."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pandas as pd
import pytest

from lesionlab.analysis.methods.mixed import Frame, NotFitted, Observation, fixed_effects
from lesionlab.analysis.methods.null import NullDesign, UnderTest, draw_null
from lesionlab.analysis.methods.overlap import memberships, overlapping_frame
from lesionlab.analysis.methods.power import MOST_SEEDS, POWER, Precision, Rotation, precision, seeds_needed
from lesionlab.analysis.methods.student import ALPHA
from lesionlab.experiments.splits import fold_subsets
from storage_schemas.splits import Target
from tests.analysis.methods.test_type_one_error import TRUTHS

TRUTH = {"patient": 0.15, "patient_fine_tuned": 0.05, "training_set": 0.03, "network": 0.05, "residual": 0.1}
SUBSETS = TRUTH | {"subset_fine_tuned": 0.06}


def rotation(subsets: int = 6, subset_size: int = 10, sizes: tuple[int, ...] = (10, 30, 50)) -> Rotation:
    return Rotation(subsets, subset_size, sizes, tuple(range(1, subsets + 1)))


def computed(design: Rotation, sd: dict[str, float], seeds: int = 1) -> Precision:
    found = precision(design, sd, seeds)
    assert isinstance(found, Precision)
    return found


def with_seeds(design: Rotation, seeds: int) -> list[Observation]:
    return [replace(one, network=f"{one.network}-{seed}") for seed, one in product(range(seeds), design.observations())]


def simulated_power(
    design: Rotation, sd: dict[str, float], seeds: int, difference: float, experiments: int, seed: int = 11
) -> float:
    """The share of simulated experiments with this true difference in which the real test is significant."""
    observed = with_seeds(design, seeds)
    framed = overlapping_frame(observed)
    assert isinstance(framed, Frame)
    tested = tuple(
        UnderTest(
            arm="fine-tuned" if one.fine_tuned else "de-novo",
            training_size=one.training_size,
            fold=int(one.training_set.split("-")[0]),
            seed=number,  # a network of its own by arm, fold, size and seed
            study=one.patient,
            patient=one.patient,
            position=1,
            site="",
            subsets=one.subsets,
        )
        for number, one in ((int(one.network.split("-")[-1]), one) for one in observed)
    )
    arm = np.array([one.fine_tuned for one in observed], dtype=float)
    drawn = draw_null(NullDesign(tested, sd), experiments, np.random.default_rng(seed))
    p = [framed.fit(values + difference * arm, sd).terms[0].p for values in drawn]
    return float(np.mean(np.array(p) <= ALPHA))


def margin(experiments: int) -> float:
    """Three standard errors of a simulated power."""
    return 3 * float(np.sqrt(POWER * (1 - POWER) / experiments))


@pytest.mark.parametrize("sd", [TRUTH, SUBSETS], ids=["subsets alike", "subsets matter"])
def test_the_smallest_difference_is_found_in_four_of_five_simulated_experiments(sd):
    design = rotation(4, 3, (3, 6))
    difference = computed(design, sd).smallest_difference()
    assert simulated_power(design, sd, 1, difference, 200) == pytest.approx(POWER, abs=margin(200))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("design", "seeds"),
    [
        (rotation(), 1),
        (rotation(), 3),
        (rotation(sizes=(10,)), 1),
        (rotation(4, 10, (10, 20, 30)), 1),
    ],
    ids=["three sizes", "three seeds", "one size", "four folds"],
)
@pytest.mark.parametrize("truth", TRUTHS)
def test_designs_of_the_papers_size_have_the_power_that_is_computed(design, seeds, truth):
    difference = computed(design, TRUTHS[truth], seeds).smallest_difference()
    found = simulated_power(design, TRUTHS[truth], seeds, difference, 300)
    print(f"\n{truth}, {design.subsets} folds, {seeds} seeds: {difference:.3f} shown in {found:.3f}")
    assert found == pytest.approx(POWER, abs=margin(300))


@pytest.mark.parametrize("seeds", [1, 3])
def test_the_standard_error_is_that_of_generalised_least_squares_over_every_test(seeds):
    design = rotation(4, 3, (3, 6, 9))
    table = with_seeds(design, seeds)
    cover = SUBSETS["residual"] ** 2 * np.eye(len(table))
    levels = {
        "patient": [one.patient for one in table],
        "patient_fine_tuned": [(one.patient, one.fine_tuned) for one in table],
        "training_set": [one.training_set for one in table],
        "network": [one.network for one in table],
    }
    for name, own in levels.items():
        cover += SUBSETS[name] ** 2 * np.array([[one == other for other in own] for one in own])
    weights = memberships([(one.fine_tuned, one.subsets) for one in table])
    cover += SUBSETS["subset_fine_tuned"] ** 2 * weights @ weights.T
    fixed = fixed_effects(pd.DataFrame([vars(one) for one in table])).to_numpy()
    squares = np.linalg.inv(fixed.T @ np.linalg.solve(cover, fixed))
    found = computed(design, SUBSETS, seeds)
    assert found.standard_error**2 == pytest.approx(squares[1, 1])
    assert sum(found.variance.values()) == pytest.approx(squares[1, 1])


def test_folds_train_on_the_subsets_that_the_experiment_trains_on():
    design = replace(rotation(), folds=(1, 4))
    target = Target(cohort="ms", subsets=6, subset_size=10)
    assert {(one.training_set, one.subsets) for one in design.observations()} == {
        (f"{fold}-{size}", fold_subsets(target, size, fold).train[::-1]) for fold, size in product((1, 4), (10, 30, 50))
    }
    assert design.patients == 20


def test_what_both_arms_share_does_not_matter():
    without = {name: sd for name, sd in SUBSETS.items() if name not in ("patient", "training_set")}
    alone, shared = computed(rotation(), without), computed(rotation(), SUBSETS)
    assert alone.standard_error == pytest.approx(shared.standard_error)
    assert shared.variance["patient"] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("sd", [TRUTH, SUBSETS], ids=["subsets alike", "subsets matter"])
def test_power_rises_from_at_most_five_percent_with_the_difference(sd):
    found = computed(rotation(), sd)
    assert 0 < found.power(0.0) < 0.055
    assert found.power(found.smallest_difference()) == pytest.approx(POWER)
    assert found.power(-0.1) == pytest.approx(found.power(0.1))
    assert found.power(10 * found.standard_error) > 0.99


def test_seeds_make_up_for_the_chance_of_training_and_for_nothing_else():
    assert computed(rotation(), TRUTH, 4).variance["network"] == pytest.approx(
        computed(rotation(), TRUTH).variance["network"] / 4
    )
    assert computed(rotation(), TRUTH, 4).variance["patient_fine_tuned"] == pytest.approx(2 * 0.05**2 / 60)


@pytest.mark.parametrize("difference", [0.06, 0.08, 0.1, 0.2])
def test_the_seeds_that_a_difference_needs_are_the_fewest_that_show_it(difference):
    seeds = seeds_needed(rotation(), TRUTH, difference)
    assert computed(rotation(), TRUTH, seeds).power(difference) >= POWER
    assert seeds == 1 or computed(rotation(), TRUTH, seeds - 1).power(difference) < POWER


def test_no_number_of_seeds_shows_what_patients_and_subsets_hide():
    floor = computed(rotation(), SUBSETS, MOST_SEEDS).smallest_difference()
    assert seeds_needed(rotation(), SUBSETS, 0.99 * floor) is None
    assert 1 < seeds_needed(rotation(), SUBSETS, 1.01 * floor) <= MOST_SEEDS


def test_more_patients_in_more_subsets_show_smaller_differences():
    few, many = (computed(rotation(subsets), SUBSETS) for subsets in (6, 12))
    assert many.degrees == 11
    assert many.smallest_difference() < 0.75 * few.smallest_difference()


@pytest.mark.parametrize(
    ("design", "why"),
    [(rotation(sizes=(20, 40)), NotFitted.NO_DISJOINT_SIZE), (rotation(2, 4, (4,)), NotFitted.FEW_SUBSETS)],
    ids=["always shared", "two folds"],
)
def test_where_the_test_is_not_defined_there_is_a_reason(design, why):
    assert precision(design, TRUTH) == why
