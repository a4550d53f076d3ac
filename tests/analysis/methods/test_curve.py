"""Curves that were drawn in; how many studies they need for a target, out again."""

from __future__ import annotations

import math

import numpy as np
import pytest

from lesionlab.analysis.methods.curve import Crossing, Curves, crossing_of
from lesionlab.analysis.methods.intervals import Interval

SIZES = (10, 20, 30, 40, 50)


def learning(size: int, gain: float) -> float:
    """A saturating curve."""
    return 0.8 - gain * size**-0.5


def drawn(rng: np.random.Generator, gains: dict[str, float], patients: int = 60, noise: float = 0.05):
    own = rng.normal(0, 0.1, patients)
    return {
        arm: {
            size: {f"p{i:02d}": [learning(size, gain) + own[i] + rng.normal(0, noise)] for i in range(patients)}
            for size in SIZES
        }
        for arm, gain in gains.items()
    }


def needed(target: float, gain: float) -> float:
    return (gain / (0.8 - target)) ** 2


def test_the_studies_that_a_known_curve_needs_lie_in_the_interval():
    target, gain = 0.6, 1.0  # reached at 25
    held = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        values = drawn(rng, {"arm": gain})
        found = Curves(values, seed).crossing("arm", target)
        held += found.interval.low <= needed(target, gain) <= found.interval.high
    assert held >= 34


def test_an_arm_that_learns_faster_saves_studies():
    curves = Curves(drawn(np.random.default_rng(1), {"tuned": 0.75, "fresh": 1.1}, noise=0.02))
    saved, interval = curves.saving("tuned", "fresh", 0.6)
    truth = needed(0.6, 1.1) - needed(0.6, 0.75)
    assert saved == pytest.approx(truth, abs=4)
    assert interval.low < truth < interval.high


def test_a_grader_is_a_target_with_its_own_chance():
    rng = np.random.default_rng(2)
    values = drawn(rng, {"arm": 1.0})
    grader = {f"p{i:02d}": [0.6 + rng.normal(0, 0.1)] for i in range(10)}
    sure, unsure = Curves(values).crossing("arm", 0.6), Curves(values).crossing("arm", grader)
    assert unsure.interval.high - unsure.interval.low > sure.interval.high - sure.interval.low


@pytest.mark.parametrize(
    ("means", "target", "crossing"),
    [
        ([0.2, 0.4, 0.6], 0.5, 20 * 2**0.5),
        ([0.2, 0.4, 0.6], 0.4, 20),
        ([0.5, 0.6, 0.7], 0.4, 10),
        ([0.2, 0.4, 0.6], 0.7, math.inf),
        ([0.2, 0.6, 0.4], 0.5, 20),
        ([0.2, 0.6, 0.4], 0.55, math.inf),
        ([0.2, math.nan, 0.6], 0.4, math.nan),
    ],
    ids=["between", "at a size", "below the smallest", "never", "a dip", "a peak is not believed", "a gap"],
)
def test_hand_drawn_curves_cross_where_one_sees_it(means, target, crossing):
    assert crossing_of((10, 20, 40), np.array(means), target) == pytest.approx(crossing, nan_ok=True)


def test_nothing_is_claimed_beyond_the_largest_size():
    curves = Curves(drawn(np.random.default_rng(3), {"tuned": 0.8, "fresh": 2.0}))
    assert curves.crossing("fresh", 0.7).studies == math.inf
    assert curves.saving("tuned", "fresh", 0.7) is None


def test_few_patients_have_a_curve_but_no_interval():
    curves = Curves(drawn(np.random.default_rng(4), {"arm": 1.0}, patients=3))
    assert all(point.interval is None for point in curves.points("arm"))
    assert curves.crossing("arm", 0.6).interval is None


def test_a_size_without_values_is_left_out_and_counted_values_are_said():
    values = drawn(np.random.default_rng(5), {"arm": 1.0})
    values["arm"][30] = {}
    del values["arm"][50]["p00"]
    points = Curves(values).points("arm")
    assert [(point.training_size, point.n) for point in points] == [(10, 60), (20, 60), (40, 60), (50, 59)]


@pytest.mark.parametrize(
    ("crossing", "words"),
    [
        (Crossing(14.2, Interval(10, 22.4), 10, 50), "14 [≤ 10, 22]"),
        (Crossing(31, Interval(24, math.inf), 10, 50), "31 [24, not reached]"),
        (Crossing(math.inf, Interval(40, math.inf), 10, 50), "not reached with 50 [40, not reached]"),
        (Crossing(10, None, 10, 50), "≤ 10"),
    ],
)
def test_a_crossing_in_words(crossing, words):
    assert crossing.text() == words
