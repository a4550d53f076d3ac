"""Each rule on lesions drawn by hand, under each connectivity, and against a slow implementation on sets of voxels."""

from fractions import Fraction
from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lesionlab.evaluation.lesionwise import Score, score
from storage_schemas.definitions import DEFINITIONS, AnyOverlap, MetricDefinition, MostlyInside, OneToOne

MM = np.eye(4)


def draw(*slices: str) -> np.ndarray:
    """Slices as text: `#` lesion, `.` background; lines along the first axis, slices along the last."""
    return np.stack([np.array([[mark == "#" for mark in line] for line in one.split()]) for one in slices], axis=2)


def tally(result: Score) -> tuple[int, int, int, int]:
    """Reference lesions, true positives among them; predicted lesions, true positives among them."""
    predicted = len(result.prediction)
    return len(result.reference), result.true_positives, predicted, predicted - result.false_positives


# Three pieces in a row: 3 voxels; 2 voxels attached to them by an edge; 4 voxels attached to those by a corner;
# the prediction has the first piece, and a block of 8 that covers the last.
REFERENCE = draw(
    """
    ###......
    ...##....
    .........""",
    """
    .........
    .........
    .....####""",
)
PREDICTION = draw(
    """
    ###......
    .........
    .........""",
    """
    .........
    .....####
    .....####""",
)


@pytest.mark.parametrize(
    ("name", "connectivity", "counts"),
    [
        # 6-connected: three reference lesions of 3, 2 and 4 voxels.
        ("paper", 6, (3, 2, 2, 2)),
        ("paper", 18, (2, 2, 2, 2)),
        ("paper", 26, (1, 1, 2, 2)),
        ("isbi-2015", 6, (3, 2, 2, 2)),
        ("isbi-2015", 18, (2, 2, 2, 2)),
        ("isbi-2015", 26, (1, 1, 2, 2)),
        # The lesions of 3 and 2 voxels are too small, and so is the predicted one.
        ("msseg-2", 6, (1, 1, 1, 1)),
        ("msseg-2", 18, (2, 1, 1, 1)),
        # 3 of the 5 + 4 voxels are covered by a removed lesion, 4 by a lesion that is half outside.
        ("msseg-2", 26, (1, 1, 1, 1)),
        # IoU 3/3 and 4/8; 18-connected 3/5 and 4/8; 26-connected 3/9 at best.
        ("one-to-one-iou", 6, (3, 2, 2, 2)),
        ("one-to-one-iou", 18, (2, 2, 2, 2)),
        ("one-to-one-iou", 26, (1, 0, 2, 0)),
        # Dice 6/6 and 8/12; 18-connected 6/8 and 8/12; 26-connected 6/12 with the three, 8/17 with the block.
        ("one-to-one-dice", 6, (3, 2, 2, 2)),
        ("one-to-one-dice", 18, (2, 2, 2, 2)),
        ("one-to-one-dice", 26, (1, 1, 2, 1)),
    ],
)
def test_a_drawn_case_under_every_definition_and_connectivity(name, connectivity, counts):
    definition = DEFINITIONS[name].model_copy(update={"connectivity": connectivity})
    assert tally(score(REFERENCE, PREDICTION, MM, definition)) == counts


# --- MSSEG-2: covered enough, by lesions that are mostly inside ---


@pytest.mark.parametrize(("voxels", "kept"), [(3, 0), (4, 1)])
def test_msseg_2_removes_lesions_of_3_mm3_and_keeps_larger_ones(voxels, kept):
    mask = draw("#" * voxels + ".")
    assert tally(score(mask, mask, MM, DEFINITIONS["msseg-2"])) == (kept, kept, kept, kept)


@pytest.mark.parametrize(("length", "found"), [(41, 0), (40, 0), (39, 1)])
def test_msseg_2_needs_more_than_a_tenth_of_a_lesion_covered(length, found):
    reference, prediction = draw("#" * length), draw("####" + "." * (length - 4))
    assert score(reference, prediction, MM, DEFINITIONS["msseg-2"]).true_positives == found


@pytest.mark.parametrize(("outside", "outcome"), [(14, "true-positive"), (15, "missed")])
def test_msseg_2_rejects_a_cover_with_more_than_seven_tenths_outside(outside, outcome):
    """6 of the prediction's voxels are inside; 14 of 20 outside are still allowed."""
    reference, prediction = draw("#" * 6 + "." * outside), draw("#" * (6 + outside))
    (lesion,) = score(reference, prediction, MM, DEFINITIONS["msseg-2"]).reference
    assert (lesion.outcome, lesion.overlap) == (outcome, 1.0)


def test_msseg_2_counts_voxels_in_another_lesion_as_inside():
    assert tally(score(draw("######.######"), draw("#" * 13), MM, DEFINITIONS["msseg-2"])) == (2, 2, 1, 1)


@pytest.mark.parametrize(
    ("inside", "outcome"),
    [
        # The good one covers 13 of 20 covered voxels, 65 %, so the bad one is not considered.
        (13, "true-positive"),
        # 12 of 19 are 63 %: the bad one is considered and fails.
        (12, "missed"),
    ],
)
def test_msseg_2_considers_the_largest_covers_until_they_make_up_65_percent(inside, outcome):
    reference = draw("#" * (inside + 1 + 7) + "." * 20)
    prediction = draw("#" * inside + "." + "#" * 7 + "#" * 20)
    (lesion,) = score(reference, prediction, MM, DEFINITIONS["msseg-2"]).reference
    assert lesion.outcome == outcome


@pytest.mark.parametrize(("lesions", "outcome"), [(1, "true-positive"), (2, "missed")])
def test_msseg_2_looks_at_one_cover_more_than_there_are_lesions(lesions, outcome):
    """Of four equal covers the two good ones come first and make up half; the two others lie mostly outside."""
    inside, outside, none = "####.####.####.####", "..........####.####", "." * 19
    second = "####" + "." * 15 if lesions == 2 else none
    reference = draw("\n".join(["#" * 19, *[none] * 5, second]))
    prediction = draw("\n".join([inside, *[outside] * 4, none, none]))
    first, *_ = score(reference, prediction, MM, DEFINITIONS["msseg-2"]).reference
    assert first.outcome == outcome


def test_msseg_2_drops_small_lesions_from_counts_but_not_from_dice_and_volumes():
    reference, prediction = draw("#####.##..#"), draw("#####......")
    result = score(reference, prediction, MM, DEFINITIONS["msseg-2"])
    assert tally(result) == (1, 1, 1, 1)
    assert result.dice == pytest.approx(2 * 5 / (8 + 5))
    assert (result.reference_ml, result.predicted_ml) == pytest.approx((0.008, 0.005))


# --- one to one ---


@pytest.mark.parametrize("name", ["one-to-one-iou", "one-to-one-dice"])
def test_of_two_predictions_on_one_lesion_the_better_one_matches(name):
    result = score(draw("##########"), draw("##.#######"), MM, DEFINITIONS[name])
    assert tally(result) == (1, 1, 2, 1)
    assert [lesion.matched for lesion in result.reference] == [2]
    assert [lesion.matched for lesion in result.prediction] == [None, 1]


def test_a_prediction_that_bridges_two_lesions_matches_the_larger_one():
    result = score(draw("##.#######"), draw("##########"), MM, DEFINITIONS["one-to-one-iou"])
    assert [(lesion.outcome, lesion.matched) for lesion in result.reference] == [("missed", None), ("true-positive", 1)]


@pytest.mark.parametrize(("measure", "at_it"), [("iou", 0.5), ("dice", 2 / 3)])
def test_a_pair_exactly_at_the_threshold_matches(measure, at_it):
    reference, prediction = draw("####"), draw("##..")
    for threshold, found in [(at_it, 1), (at_it + 0.01, 0)]:
        definition = MetricDefinition(matching=OneToOne(measure=measure, threshold=threshold))
        assert score(reference, prediction, MM, definition).true_positives == found


def test_the_greatest_sum_decides_not_the_best_single_pair():
    """First lesion and second prediction are the best pair (5/12), but 4/10 and 1/7 have the greater sum."""
    reference, prediction = draw("##########.#"), draw("####.#######")
    tenth = MetricDefinition(matching=OneToOne(threshold=0.1))
    result = score(reference, prediction, MM, tenth)
    assert [lesion.matched for lesion in result.reference] == [1, 2]


# --- slow reference implementation ---


def components(mask: np.ndarray, connectivity: int) -> list[frozenset[tuple[int, ...]]]:
    """Connected components by flood fill."""
    most_axes = {6: 1, 18: 2, 26: 3}[connectivity]
    steps = [step for step in product((-1, 0, 1), repeat=3) if 0 < sum(map(abs, step)) <= most_axes]
    left, lesions = {tuple(voxel) for voxel in np.argwhere(mask).tolist()}, []
    while left:
        frontier, lesion = [left.pop()], set()
        while frontier:
            voxel = frontier.pop()
            lesion.add(voxel)
            near = {tuple(a + b for a, b in zip(voxel, step, strict=True)) for step in steps} & left
            left -= near
            frontier += near
        lesions.append(frozenset(lesion))
    return lesions


def any_overlap_by_sets(lesion, others, own, rule):
    covered = lesion & frozenset().union(*others)
    return bool(covered) and Fraction(len(covered), len(lesion)) >= Fraction(str(rule.minimum_overlap))


def mostly_inside_by_sets(lesion, others, own, rule):
    """Whether the covers, taken from large to small, are each sufficiently inside."""
    touching = [other for other in others if other & lesion]
    cover = sum(len(other & lesion) for other in touching)
    if Fraction(cover, len(lesion)) <= Fraction(str(rule.covered_above)):
        return False
    inside = frozenset().union(*own)

    def passes(order) -> bool:
        sizes = [len(other & lesion) for other in order]
        asked = [
            other
            for place, other in enumerate(order)
            if Fraction(sum(sizes[:place]), cover) < Fraction(str(rule.share_of_cover))
        ]
        return sizes == sorted(sizes, reverse=True) and all(
            Fraction(len(other - inside), len(other)) <= Fraction(str(rule.most_outside)) for other in asked
        )

    return any(passes(order) for order in permutations(touching))


def pairs_by_trying(reference, prediction, rule):
    """The greatest sum of the measure over all matchings, and the most pairs at that sum."""

    def measure(one, other) -> Fraction:
        both = len(one & other)
        return Fraction(both, len(one | other)) if rule.measure == "iou" else Fraction(2 * both, len(one) + len(other))

    def best(left, free):
        if not left:
            return Fraction(0), 0
        first, *rest = left
        ways = [best(rest, free)]
        for other in free:
            if first & other and measure(first, other) >= Fraction(str(rule.threshold)):
                total, pairs = best(rest, [one for one in free if one is not other])
                ways.append((total + measure(first, other), pairs + 1))
        return max(ways)

    return best(reference, prediction)[1]


# One voxel in four is lesion: there are several lesions, and they overlap.
voxels = arrays(np.uint8, (5, 4, 3), elements=st.sampled_from([0, 0, 0, 1]))
neighbourhoods = st.sampled_from([6, 18, 26])
volumes = st.sampled_from([(0.0, False), (2.0, False), (2.0, True)])


def lesions_of(mask, definition):
    least, drop = definition.minimum_volume_mm3, definition.drop_at_minimum
    return [
        lesion
        for lesion in components(mask, definition.connectivity)
        if len(lesion) > least or (len(lesion) == least and not drop)
    ]


@given(
    voxels,
    voxels,
    neighbourhoods,
    volumes,
    st.one_of(
        st.builds(AnyOverlap, minimum_overlap=st.sampled_from([0.0, 0.25, 0.5, 1.0])),
        st.builds(
            MostlyInside, covered_above=st.sampled_from([0.0, 0.1, 0.5]), most_outside=st.sampled_from([0.2, 0.5])
        ),
    ),
)
def test_the_slow_implementation_agrees_on_every_lesion(reference, prediction, connectivity, volume, rule):
    definition = MetricDefinition(
        connectivity=connectivity, minimum_volume_mm3=volume[0], drop_at_minimum=volume[1], matching=rule
    )
    by_sets = any_overlap_by_sets if isinstance(rule, AnyOverlap) else mostly_inside_by_sets
    lesions = lesions_of(reference, definition), lesions_of(prediction, definition)
    result = score(reference, prediction, MM, definition)
    for judged, own, others, hit in [
        (result.reference, *lesions, "true-positive"),
        (result.prediction, *reversed(lesions), "true-positive"),
    ]:
        everything = frozenset().union(*others)
        expected = sorted(
            (len(lesion), len(lesion & everything) / len(lesion), by_sets(lesion, others, own, rule)) for lesion in own
        )
        assert sorted((lesion.volume_mm3, lesion.overlap, lesion.outcome == hit) for lesion in judged) == expected


@given(
    voxels,
    voxels,
    neighbourhoods,
    volumes,
    st.builds(OneToOne, measure=st.sampled_from(["iou", "dice"]), threshold=st.sampled_from([0.0, 0.1, 0.25, 0.5])),
)
def test_trying_all_matchings_gives_as_many_pairs(reference, prediction, connectivity, volume, rule):
    definition = MetricDefinition(
        connectivity=connectivity, minimum_volume_mm3=volume[0], drop_at_minimum=volume[1], matching=rule
    )
    result = score(reference, prediction, MM, definition)
    pairs = pairs_by_trying(lesions_of(reference, definition), lesions_of(prediction, definition), rule)
    assert tally(result) == (len(result.reference), pairs, len(result.prediction), pairs)
