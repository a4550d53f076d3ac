"""Drawn curves: how many studies they need for a target, and what one arm saves, is recovered."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.optimize import isotonic_regression

from lesionlab.analysis.methods.curve import Crossing, Curves, Direction, MeanAt, Saving, Support, crossings_of
from lesionlab.analysis.methods.intervals import Interval, Origin, clustered_mean

SIZES = (10, 20, 30, 40, 50)
FOLDS = 6


def learning(size: int, gain: float) -> float:
    """A saturating curve."""
    return 0.8 - gain * size**-0.5


def drawn(
    rng: np.random.Generator,
    gains: dict[str, float],
    noise: float = 0.05,
    network_sd: float = 0.0,
    folds: int = FOLDS,
    per_fold: int = 10,
    learning=learning,
):
    own = rng.normal(0, 0.1, folds * per_fold)
    luck = {(arm, size): rng.normal(0, network_sd, folds) for arm in gains for size in SIZES}

    def value(arm: str, size: int, patient: int) -> float:
        shared = own[patient] + luck[arm, size][patient // per_fold]
        return learning(size, gains[arm]) + shared + rng.normal(0, noise)

    return {
        arm: {
            size: {Origin(i // per_fold + 1, f"p{i:02d}"): [value(arm, size, i)] for i in range(folds * per_fold)}
            for size in SIZES
        }
        for arm in gains
    }


def needed(target: float, gain: float) -> float:
    return (gain / (0.8 - target)) ** 2


def coverage(network_sd: float, folds: int, studies: int) -> dict[str, float]:
    """How often the limits of points, crossings and savings hold the truth."""
    held: dict[str, list[bool]] = {"points": [], "crossings": [], "savings": []}
    gains = {"fine_tuned": 0.8, "de_novo": 1.1}
    for seed in range(studies):
        curves = Curves(drawn(np.random.default_rng(seed), gains, network_sd=network_sd, folds=folds), seed)
        for arm, gain in gains.items():
            held["points"] += [p.interval.includes(learning(p.training_size, gain)) for p in curves.points(arm)]
            held["crossings"].append(curves.crossing(arm, 0.6).interval.includes(needed(0.6, gain)))
        saving = curves.saving("fine_tuned", "de_novo", 0.6)
        held["savings"].append(saving.interval.includes(needed(0.6, 1.1) - needed(0.6, 0.8)))
    return {name: float(np.mean(each)) for name, each in held.items()}


def test_limits_hold_the_truth_whatever_luck_networks_have():
    found = coverage(0.05, FOLDS, 80)
    assert 0.9 <= found["points"] <= 0.99
    assert found["crossings"] >= 0.89
    assert found["savings"] >= 0.91


@pytest.mark.slow
@pytest.mark.parametrize("folds", [3, 4, 6])
@pytest.mark.parametrize("network_sd", [0.0, 0.05, 0.08])
def test_limits_hold_the_truth_in_95_of_100_studies(network_sd, folds):
    found = coverage(network_sd, folds, 400)
    assert 0.93 <= found["points"] <= 0.97
    assert found["crossings"] >= 0.925
    assert found["savings"] >= 0.94


def of_the_largest_size(
    gains: dict[str, float], network_sd: float, studies: int, learning=learning
) -> tuple[list[Saving], list[Crossing]]:
    """What is saved versus the mean of de novo at its largest size, and what fine-tuned needs for it."""
    target = MeanAt("de_novo", SIZES[-1])
    curves = [
        Curves(drawn(np.random.default_rng(seed), gains, network_sd=network_sd, learning=learning), seed)
        for seed in range(studies)
    ]
    return (
        [one.saving("fine_tuned", "de_novo", target) for one in curves],
        [one.crossing("fine_tuned", target) for one in curves],
    )


@pytest.mark.parametrize(
    "studies", [20, pytest.param(200, marks=pytest.mark.slow)], ids=["few experiments", "many experiments"]
)
@pytest.mark.parametrize("network_sd", [0.0, 0.05], ids=["alike networks", "networks differ"])
@pytest.mark.parametrize("gain", [0.9, 0.93, 0.97])
def test_savings_versus_de_novo_at_its_largest_size_hold_the_truth(gain, network_sd, studies):
    """True savings of 11 to 17 studies came out as 8 to 10 where de novo's own crossing was estimated too."""
    truth = SIZES[-1] - needed(learning(SIZES[-1], 1.1), gain)
    savings, _ = of_the_largest_size({"fine_tuned": gain, "de_novo": 1.1}, network_sd, studies)
    held = float(np.mean([saving.interval.includes(truth) for saving in savings]))
    assert held >= (0.9 if studies > 20 else 0.8)
    if not network_sd:
        assert np.median([saving.least for saving in savings]) == pytest.approx(truth, abs=3)


def test_the_arm_whose_mean_is_the_target_needs_that_size_by_definition():
    curves = Curves(drawn(np.random.default_rng(1), {"fine_tuned": 0.8, "de_novo": 1.1}, noise=0.02))
    own, other = (curves.crossing(arm, MeanAt("de_novo", 50)) for arm in ("de_novo", "fine_tuned"))
    assert (own.studies, own.interval, own.defined) == (50, None, True)
    assert not other.defined
    saving = curves.saving("fine_tuned", "de_novo", MeanAt("de_novo", 50))
    assert saving.least == saving.most == 50 - other.studies
    assert saving.interval == Interval(50 - other.interval.high, 50 - other.interval.low)


def test_an_only_size_is_its_own_target_and_bounds_nothing_below_it():
    values = {
        arm: {10: sizes[10]}
        for arm, sizes in drawn(np.random.default_rng(1), {"fine_tuned": 0.5, "de_novo": 1}).items()
    }
    curves = Curves(values)
    assert curves.crossing("de_novo", MeanAt("de_novo", 10)).studies == 10
    saving = curves.saving("fine_tuned", "de_novo", MeanAt("de_novo", 10))
    assert (saving.least, saving.most, saving.direction) == (0, 10, Direction.OPEN)


def test_the_limits_of_a_point_and_of_its_draws_are_the_same():
    """A curve of one size crosses where its mean does: the two ways to limits must agree, but for the scale."""
    values = {"arm": {10: drawn(np.random.default_rng(8), {"arm": 1.0})["arm"][10]}}
    point = clustered_mean(values["arm"][10], "fold")
    inside, outside = (
        Curves(values).crossing("arm", point.interval.low + by * (point.interval.high - point.interval.low))
        for by in (0.05, -0.05)
    )
    assert math.isinf(inside.interval.high)
    assert outside.interval.high == 10


def test_an_arm_that_learns_faster_saves_studies():
    saving = Curves(drawn(np.random.default_rng(1), {"fine_tuned": 0.75, "de_novo": 1.1}, noise=0.02)).saving(
        "fine_tuned", "de_novo", 0.6
    )
    truth = needed(0.6, 1.1) - needed(0.6, 0.75)
    assert saving.least == saving.most == pytest.approx(truth, abs=4)
    assert saving.interval.includes(truth)
    assert saving.support is Support.SHOWN


def test_a_rater_is_a_target_with_the_chance_of_its_own_patients():
    rng = np.random.default_rng(2)
    values = drawn(rng, {"arm": 1.0})
    rater = {Origin(1, f"p{i:02d}"): [0.6 + rng.normal(0, 0.1)] for i in range(10)}
    sure, unsure = Curves(values).crossing("arm", 0.6), Curves(values).crossing("arm", rater)
    assert unsure.interval.high - unsure.interval.low > sure.interval.high - sure.interval.low


def test_a_rater_of_every_fold_shares_the_chance_of_their_patients():
    """Patients that are hard for the networks are hard for the rater: what both share moves no crossing."""
    rng = np.random.default_rng(7)
    values = drawn(rng, {"arm": 1.0}, noise=0.01)
    own = {origin: value - learning(50, 1.0) for origin, (value,) in values["arm"][50].items()}
    everywhere = {origin: [0.6 + shared] for origin, shared in own.items()}
    shared, fixed = Curves(values).crossing("arm", everywhere), Curves(values).crossing("arm", 0.6)
    assert shared.interval.high - shared.interval.low < 0.5 * (fixed.interval.high - fixed.interval.low)


@pytest.mark.parametrize(
    ("means", "target", "crossing"),
    [
        ([0.2, 0.4, 0.6], 0.5, 20 * 2**0.5),
        ([0.2, 0.4, 0.6], 0.4, 20),
        ([0.5, 0.6, 0.7], 0.4, 10),
        ([0.2, 0.4, 0.6], 0.7, math.inf),
        ([0.2, 0.6, 0.4], 0.5, 20),
        ([0.2, 0.6, 0.4], 0.55, math.inf),
    ],
    ids=["between", "at a size", "below the smallest", "never", "a dip", "a peak is not believed"],
)
def test_hand_drawn_curves_cross_where_one_sees_it(means, target, crossing):
    (found,) = crossings_of((10, 20, 40), np.array([means]), np.array([target]))
    assert found == pytest.approx(crossing)


@pytest.mark.parametrize("largest", [30, 31, 36, 47, 49, 50, 59, 62, 93, 98])
def test_a_curve_that_reaches_the_target_at_a_size_crosses_at_exactly_that_size(largest):
    """2 ** log2(30) is greater than 30, and a saving up to there was told as one without an upper bound."""
    means, target = np.array([[0.4, 0.5, 0.6]]), np.array([0.6])
    for rounded in (0.0, 1e-16, 1e-13):
        assert crossings_of((6, 18, largest), means, target + rounded).tolist() == [largest]
    assert crossings_of((6, 18, largest), means, np.array([0.4 + 1e-13])).tolist() == [6]


def test_a_saving_up_to_the_largest_size_is_one_number():
    values = {
        arm: {size: {Origin(1 + i // 3, f"p{i}"): [mean + i / 100] for i in range(9)} for size, mean in means.items()}
        for arm, means in {"few": {6: 0.6, 18: 0.7, 30: 0.8}, "more": {6: 0.5, 18: 0.57, 30: 0.65}}.items()
    }
    saving = Curves(values).saving("few", "more", 0.69)
    assert saving.least == saving.most == pytest.approx(30 - 6 * 3**0.5, abs=1)
    assert saving.is_exact


def test_more_studies_are_taken_never_to_harm_as_isotonic_regression_does():
    means_RN = np.random.default_rng(9).normal(size=(50, 5))
    rising = [isotonic_regression(means_N).x for means_N in means_RN]
    # The target of each is the third place of its own curve: reached there or, on a flat stretch, at its start.
    found = crossings_of(SIZES, means_RN, np.array([curve[2] - 1e-9 for curve in rising]))
    wanted = [SIZES[int(np.argmax(curve >= curve[2] - 1e-12))] for curve in rising]
    assert found == pytest.approx(wanted, rel=1e-5)


def test_nothing_is_claimed_beyond_the_largest_size():
    curves = Curves(drawn(np.random.default_rng(3), {"fine_tuned": 0.8, "de_novo": 2.0}, noise=0.02))
    assert curves.crossing("de_novo", 0.65).studies == math.inf
    saving = curves.saving("fine_tuned", "de_novo", 0.65)
    assert (saving.least, saving.most) == (50 - curves.crossing("fine_tuned", 0.65).studies, math.inf)
    assert saving.interval.high == math.inf


def test_a_crossing_below_the_smallest_size_leaves_a_saving_between_two_numbers():
    curves = Curves(drawn(np.random.default_rng(3), {"fine_tuned": 0.2, "de_novo": 1.0}, noise=0.02))
    de_novo = curves.crossing("de_novo", 0.6).studies
    saving = curves.saving("fine_tuned", "de_novo", 0.6)
    assert (saving.least, saving.most) == (de_novo - 10, de_novo)


def test_draws_in_which_neither_arm_arrives_count_against_a_saving():
    """They say nothing of which arm needs fewer, so they may not be dropped as if the others were all."""
    curves = Curves(drawn(np.random.default_rng(4), {"fine_tuned": 1.3, "de_novo": 1.45}, network_sd=0.05))
    saving = curves.saving("fine_tuned", "de_novo", 0.6)
    assert saving.neither > 0.05
    assert saving.interval == Interval(-math.inf, math.inf)
    assert saving.support is Support.INCLUDES_ZERO


def test_an_arm_that_arrives_at_the_largest_size_where_the_other_does_not_leaves_the_saving_open():
    """It may save nothing or any number: "saves at least 0" says nothing."""
    values = {
        arm: {size: {Origin(1 + i // 3, f"p{i}"): [mean + i / 100] for i in range(9)} for size, mean in means.items()}
        for arm, means in {"few": {6: 0.5, 18: 0.56, 30: 0.6}, "more": {6: 0.4, 18: 0.45, 30: 0.5}}.items()
    }
    saving = Curves(values).saving("few", "more", 0.64)
    assert (saving.least, saving.most, saving.direction) == (0, math.inf, Direction.OPEN)


def test_two_folds_have_limits_over_patients_and_two_patients_have_none():
    two_folds = Curves(drawn(np.random.default_rng(4), {"arm": 1.0}, folds=2))
    assert (two_folds.unit, two_folds.clusters) == ("patient", 20)
    assert two_folds.crossing("arm", 0.6).interval is not None
    few = Curves(drawn(np.random.default_rng(4), {"arm": 1.0}, folds=2, per_fold=1))
    assert all(point.interval is None for point in few.points("arm"))
    assert few.crossing("arm", 0.6).interval is None


def test_a_size_without_values_is_left_out_and_counted_values_are_said():
    values = drawn(np.random.default_rng(5), {"arm": 1.0})
    values["arm"][30] = {}
    del values["arm"][50][Origin(1, "p00")]
    points = Curves(values).points("arm")
    assert [(point.training_size, point.n) for point in points] == [(10, 60), (20, 60), (40, 60), (50, 59)]


@pytest.mark.parametrize(
    ("least", "most", "direction"),
    [
        (12, 12, Direction.FEWER),
        (5, math.inf, Direction.FEWER),
        (-12, -12, Direction.MORE),
        (-math.inf, -5, Direction.MORE),
        (0.2, 0.2, Direction.SAME),
        (-10, 10, Direction.BOTH_AT_SMALLEST),
        (-10, math.inf, Direction.OPEN),
        (0, math.inf, Direction.OPEN),
        (0.4, math.inf, Direction.OPEN),
        (0, 10, Direction.OPEN),
        (-math.inf, 0, Direction.OPEN),
        (-10, -0.2, Direction.OPEN),
    ],
)
def test_which_arm_needs_fewer_studies_is_read_off_the_bounds_of_the_saving(least, most, direction):
    assert Saving(least, most, None, 0.0).direction is direction


@pytest.mark.parametrize(
    ("interval", "support"),
    [
        (None, Support.NO_INTERVAL),
        (Interval(-1, 20), Support.INCLUDES_ZERO),
        (Interval(1, math.inf), Support.SHOWN),
    ],
)
def test_a_saving_is_shown_where_its_interval_excludes_0(interval, support):
    assert Saving(12, 12, interval, 0.0).support is support
