"""Lesions drawn by hand are counted as true positive, missed or false positive; some changes must not alter a count."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from lesionlab.errors import ImageError
from lesionlab.evaluation.lesionwise import Score, score
from storage_schemas.definitions import AnyOverlap, MetricDefinition, MostlyInside, OneToOne

PAPER = MetricDefinition()
MM = np.eye(4)


def draw(picture: str) -> np.ndarray:
    """One slice as text: `#` lesion, `.` background, lines along the first axis."""
    lines = picture.split()
    return np.array([[[mark == "#"] for mark in line] for line in lines], dtype=np.uint8)


def outcomes(result: Score) -> tuple[list[str], list[str]]:
    return [lesion.outcome for lesion in result.reference], [lesion.outcome for lesion in result.prediction]


def test_lesions_are_true_positive_missed_and_false_positive():
    result = score(
        draw("""
            ##....#.
            ##....#.
            ........
            ...##..."""),
        draw("""
            .#......
            .##.....
            .......#
            #...#..."""),
        MM,
        PAPER,
    )
    assert outcomes(result) == (
        ["true-positive", "missed", "true-positive"],
        ["true-positive", "false-positive", "false-positive", "true-positive"],
    )
    assert (result.true_positives, result.false_positives) == (2, 2)
    assert result.sensitivity == 2 / 3
    assert result.ppv == 2 / 4
    assert result.dice == 2 * 3 / (8 + 6)


def test_two_predictions_on_one_lesion_are_true_positives_and_the_lesion_counts_once():
    result = score(draw("#####"), draw("#...#"), MM, PAPER)
    assert outcomes(result) == (["true-positive"], ["true-positive", "true-positive"])
    assert (result.sensitivity, result.ppv) == (1.0, 1.0)


def test_one_prediction_that_bridges_two_lesions_hits_both():
    result = score(draw("#...#"), draw("#####"), MM, PAPER)
    assert outcomes(result) == (["true-positive", "true-positive"], ["true-positive"])
    assert (result.sensitivity, result.ppv) == (1.0, 1.0)


def test_an_adjacent_prediction_is_not_a_hit():
    result = score(draw("##.."), draw("..##"), MM, PAPER)
    assert outcomes(result) == (["missed"], ["false-positive"])


@pytest.mark.parametrize(("connectivity", "sensitivity", "ppv"), [(6, 1 / 2, 1.0), (18, 1.0, 1.0), (26, 1.0, 1.0)])
def test_a_lesion_attached_by_an_edge_is_separate_only_under_6_connectivity(connectivity, sensitivity, ppv):
    reference, prediction = draw("#. .#"), draw("#. ..")
    result = score(reference, prediction, MM, MetricDefinition(connectivity=connectivity))
    assert (result.sensitivity, result.ppv) == (sensitivity, ppv)


@pytest.mark.parametrize(("connectivity", "lesions", "found"), [(6, 2, 1), (18, 2, 1), (26, 1, 1)])
def test_a_lesion_attached_by_a_corner_is_the_same_lesion_only_under_26_connectivity(connectivity, lesions, found):
    reference = np.zeros((2, 2, 2), dtype=np.uint8)
    reference[0, 0, 0] = reference[1, 1, 1] = 1
    prediction = np.zeros_like(reference)
    prediction[0, 0, 0] = 1
    result = score(reference, prediction, MM, MetricDefinition(connectivity=connectivity))
    assert (len(result.reference), result.true_positives) == (lesions, found)


NOTHING, LESION, ELSEWHERE = draw("....."), draw(".##.."), draw("....#")


@pytest.mark.parametrize(
    ("reference", "prediction", "sensitivity", "ppv", "f1", "dice"),
    [
        (NOTHING, NOTHING, None, None, None, None),
        (NOTHING, LESION, None, 0.0, 0.0, 0.0),
        (LESION, NOTHING, 0.0, None, 0.0, 0.0),
        (LESION, ELSEWHERE, 0.0, 0.0, 0.0, 0.0),
        (LESION, LESION, 1.0, 1.0, 1.0, 1.0),
    ],
    ids=["both empty", "no reference lesion", "no predicted lesion", "no lesion in common", "the same lesion"],
)
def test_a_ratio_with_denominator_0_is_undefined(reference, prediction, sensitivity, ppv, f1, dice):
    result = score(reference, prediction, MM, PAPER)
    assert (result.sensitivity, result.ppv, result.f1, result.dice) == (sensitivity, ppv, f1, dice)


@pytest.mark.parametrize(
    ("minimum_overlap", "outcome"),
    [(0.0, "true-positive"), (0.2, "true-positive"), (0.3, "true-positive"), (0.31, "missed"), (1.0, "missed")],
)
def test_a_minimum_overlap_requires_that_fraction_of_the_lesion(minimum_overlap, outcome):
    result = score(
        draw("##########"),
        draw("...###...."),
        MM,
        MetricDefinition(name="third", matching=AnyOverlap(minimum_overlap=minimum_overlap)),
    )
    assert outcomes(result) == ([outcome], ["true-positive"])
    assert result.reference[0].overlap == 0.3


def test_overlaps_with_several_predictions_add_up():
    result = score(
        draw("##########"), draw("##..##...#"), MM, MetricDefinition(matching=AnyOverlap(minimum_overlap=0.5))
    )
    assert outcomes(result) == (["true-positive"], ["true-positive", "true-positive", "true-positive"])


def test_a_lesion_below_the_minimum_volume_neither_hits_nor_is_hit():
    reference = draw("""
        ###...
        ......
        ...#..""")
    prediction = draw("""
        #.....
        ......
        ...###""")
    three = MetricDefinition(name="three-mm3", minimum_volume_mm3=3.0)
    result = score(reference, prediction, MM, three)
    assert outcomes(result) == (["missed"], ["false-positive"])
    # Dice and volumes are those of the whole masks.
    assert (result.dice, result.reference_ml, result.predicted_ml) == (0.5, 0.004, 0.004)


def test_the_minimum_volume_is_in_millimetres_not_voxels():
    reference = draw("##...#")
    six_mm3 = MetricDefinition(minimum_volume_mm3=6.0)
    assert len(score(reference, reference, np.diag([1.0, 1.0, 4.0, 1.0]), six_mm3).reference) == 1
    assert len(score(reference, reference, np.diag([1.5, 1.0, 4.0, 1.0]), six_mm3).reference) == 2


def test_each_record_has_the_lesions_place_and_volume():
    affine = np.array([[-0.9, 0, 0, 80.0], [0, 0.9, 0, -100.0], [0, 0, 4.0, -20.0], [0, 0, 0, 1]])
    result = score(draw("... .## ..."), draw("... ..# ..."), affine, PAPER)
    (lesion,) = result.reference
    assert lesion.lesion == 1
    assert lesion.volume_mm3 == pytest.approx(2 * 0.9 * 0.9 * 4)
    assert lesion.centroid_mm == pytest.approx((80 - 0.9, -100 + 1.5 * 0.9, -20))
    assert lesion.overlap == 0.5
    assert result.predicted_ml == pytest.approx(0.9 * 0.9 * 4 / 1000)


def test_masks_on_two_grids_are_refused_and_both_shapes_are_named():
    with pytest.raises(ImageError, match=r"4 × 5 × 6 .* 4 × 5 × 7"):
        score(np.zeros((4, 5, 6)), np.zeros((4, 5, 7)), MM, PAPER)


# --- invariances, for any two masks ---

definitions = st.builds(
    MetricDefinition,
    connectivity=st.sampled_from([6, 18, 26]),
    minimum_volume_mm3=st.sampled_from([0.0, 2.0, 3.0]),
    drop_at_minimum=st.booleans(),
    matching=st.one_of(
        st.builds(AnyOverlap, minimum_overlap=st.sampled_from([0.0, 0.25, 0.5, 1.0])),
        st.builds(MostlyInside, covered_above=st.sampled_from([0.0, 0.1]), most_outside=st.sampled_from([0.3, 0.7])),
        st.builds(OneToOne, measure=st.sampled_from(["iou", "dice"]), threshold=st.sampled_from([0.0, 0.25, 0.5])),
    ),
)


@st.composite
def mask_pairs(draw_):
    shape = draw_(array_shapes(min_dims=3, max_dims=3, max_side=5))
    # One voxel in three is lesion: there are several lesions, and they overlap.
    voxels = arrays(np.uint8, shape, elements=st.sampled_from([0, 0, 1]))
    return draw_(voxels), draw_(voxels)


def counts(result: Score) -> tuple[object, ...]:
    return (
        len(result.reference),
        len(result.prediction),
        result.true_positives,
        result.false_positives,
        result.sensitivity,
        result.ppv,
        result.dice,
    )


def places(result: Score) -> list[tuple[float, ...]]:
    return sorted(tuple(np.round(lesion.centroid_mm, 9)) for lesion in (*result.reference, *result.prediction))


# Affines in eighths keep centroids exact enough to compare one by one.
OBLIQUE = np.array([[0.875, 0.125, 0.25, -80], [-0.125, 1.125, 0, -90], [0, 0.25, 2.5, -40], [0, 0, 0, 1]])


@given(mask_pairs(), definitions)
@pytest.mark.parametrize("axis", [0, 1, 2], ids=["left-right", "front-back", "up-down"])
def test_flipping_the_head_changes_no_count_and_moves_no_lesion(axis, pair, definition):
    reference, prediction = pair
    turn = np.eye(4)
    turn[axis, axis], turn[axis, 3] = -1, reference.shape[axis] - 1
    flipped = score(np.flip(reference, axis), np.flip(prediction, axis), OBLIQUE @ turn, definition)
    straight = score(reference, prediction, OBLIQUE, definition)
    assert counts(flipped) == counts(straight)
    assert places(flipped) == places(straight)


@given(mask_pairs(), definitions)
@pytest.mark.parametrize("order", list(permutations(range(3)))[1:], ids=str)
def test_permuting_the_axes_changes_no_count_and_moves_no_lesion(order, pair, definition):
    reference, prediction = pair
    affine = OBLIQUE[:, [*order, 3]]
    permuted = score(reference.transpose(order), prediction.transpose(order), affine, definition)
    straight = score(reference, prediction, OBLIQUE, definition)
    assert counts(permuted) == counts(straight)
    assert places(permuted) == places(straight)


@given(mask_pairs(), definitions, st.integers(1, 255), st.integers(1, 255))
def test_other_mask_values_change_nothing(pair, definition, value, other):
    reference, prediction = pair
    assert score(reference * np.uint8(value), prediction * np.uint8(other), MM, definition) == score(
        reference, prediction, MM, definition
    )


@given(mask_pairs(), definitions, st.tuples(*[st.tuples(st.integers(0, 3), st.integers(0, 3))] * 3))
def test_a_margin_of_air_changes_no_count(pair, definition, margins):
    padded = [np.pad(mask, margins) for mask in pair]
    assert counts(score(*padded, MM, definition)) == counts(score(*pair, MM, definition))


@given(mask_pairs(), definitions)
def test_swapping_reference_and_prediction_swaps_sensitivity_and_ppv(pair, definition):
    there, back = score(*pair, MM, definition), score(*reversed(pair), MM, definition)
    assert (there.sensitivity, there.ppv, there.dice) == (back.ppv, back.sensitivity, back.dice)
    assert (there.reference_ml, there.predicted_ml) == (back.predicted_ml, back.reference_ml)


@given(mask_pairs(), definitions)
def test_matches_are_mutual_and_share_a_voxel(pair, definition):
    result = score(*pair, MM, definition)
    partners = {(lesion.lesion, lesion.matched) for lesion in result.reference if lesion.matched}
    assert partners == {(lesion.matched, lesion.lesion) for lesion in result.prediction if lesion.matched}
    for lesion in (*result.reference, *result.prediction):
        if definition.matching.rule == "one-to-one":
            assert (lesion.matched is not None) == (lesion.outcome == "true-positive")
        else:
            assert lesion.matched is None
        assert lesion.overlap > 0 or lesion.outcome in ("missed", "false-positive")
