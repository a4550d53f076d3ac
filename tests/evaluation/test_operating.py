"""Stored 8-bit probabilities give exactly the masks that were scored, and the counts at every threshold."""

from __future__ import annotations

import numpy as np
import pytest

from lesionlab.evaluation.lesionwise import score
from lesionlab.evaluation.levels import levels_of, mask_at, middle_probability
from lesionlab.evaluation.operating import operating_points
from storage_schemas.definitions import DEFINITIONS, MetricDefinition
from storage_schemas.probabilities import EDGES, THRESHOLDS, level_at

AFFINE = np.diag([1.0, 1.0, 3.0, 1.0])
PAPER = MetricDefinition()


@pytest.fixture
def probability_ijk() -> np.ndarray:
    """Blobs of noise: many candidates that merge when the threshold is lowered."""
    rng = np.random.default_rng(3)
    coarse_ijk = rng.normal(size=(8, 8, 6)).repeat(3, 0).repeat(3, 1).repeat(2, 2)
    logit_ijk = 4 * coarse_ijk + rng.normal(size=coarse_ijk.shape) - 4
    logit_ijk[18:, 18:] = -9
    return (1 / (1 + np.exp(-logit_ijk))).astype(np.float32)


@pytest.fixture
def reference_ijk(probability_ijk: np.ndarray) -> np.ndarray:
    """Half of the candidates, shifted by a voxel, and one lesion that no probability covers."""
    reference_ijk = (np.roll(probability_ijk, 1, axis=0) > 0.6).astype(np.uint8)
    reference_ijk[12:] = 0
    reference_ijk[20:22, 20:22, 9] = 1
    return reference_ijk


def test_every_hundredth_from_5_to_95_is_a_stored_threshold() -> None:
    assert all(round(hundredth / 100, 2) in EDGES for hundredth in range(5, 96))
    assert set(THRESHOLDS) <= set(EDGES)
    assert len(EDGES) + 1 <= 256


def test_a_mask_from_stored_levels_is_the_mask_of_the_probabilities() -> None:
    at = np.array(EDGES, dtype=np.float32)
    around = np.concatenate([np.nextafter(at, np.float32(0)), at, np.nextafter(at, np.float32(1))])
    random = np.random.default_rng(0).random(2000, dtype=np.float32)
    probability_ijk = np.concatenate([around, random, [0, 1]]).astype(np.float32)
    levels_ijk = levels_of(probability_ijk)
    for threshold in EDGES:
        np.testing.assert_array_equal(mask_at(levels_ijk, threshold), probability_ijk >= threshold)


def test_a_threshold_between_two_levels_is_refused_with_both() -> None:
    with pytest.raises(ValueError, match=r"such as 0\.12 or 0\.13; found 0\.125"):
        level_at(0.125)


@pytest.mark.parametrize("definition", DEFINITIONS.values(), ids=DEFINITIONS)
def test_each_operating_point_counts_what_scoring_that_mask_counts(
    definition: MetricDefinition, probability_ijk: np.ndarray, reference_ijk: np.ndarray
) -> None:
    points = operating_points(reference_ijk, levels_of(probability_ijk), AFFINE, definition)
    assert tuple(point.threshold for point in points) == THRESHOLDS
    assert len({point.predicted_lesions for point in points}) > 5
    for point in points:
        alone = score(reference_ijk, probability_ijk >= np.float32(point.threshold), AFFINE, definition)
        assert (point.reference_lesions, point.predicted_lesions) == (len(alone.reference), len(alone.prediction))
        assert (point.true_positives, point.false_positives) == (alone.true_positives, alone.false_positives)


def test_by_any_shared_voxel_no_lesion_is_lost_when_the_threshold_is_lowered(
    probability_ijk: np.ndarray, reference_ijk: np.ndarray
) -> None:
    found = [p.true_positives for p in operating_points(reference_ijk, levels_of(probability_ijk), AFFINE, PAPER)]
    assert found == sorted(found, reverse=True)
    assert found[0] > found[-1]


def test_nothing_predicted_and_nothing_to_find_count_as_nothing() -> None:
    empty = np.zeros((5, 4, 3), np.uint8)
    one = empty.copy()
    one[2, 2, 2] = 1
    points = operating_points(one, empty, AFFINE, PAPER)
    assert {(p.reference_lesions, p.predicted_lesions, p.true_positives, p.voxels) for p in points} == {(1, 0, 0, 0)}
    assert {(p.reference_lesions, p.predicted_lesions) for p in operating_points(empty, empty, AFFINE, PAPER)} == {
        (0, 0)
    }


def test_calibration_counts_every_voxel_from_the_lowest_threshold_once(
    probability_ijk: np.ndarray, reference_ijk: np.ndarray
) -> None:
    points = operating_points(reference_ijk, levels_of(probability_ijk), AFFINE, PAPER)
    considered_ijk = probability_ijk >= np.float32(THRESHOLDS[0])
    assert sum(point.voxels for point in points) == considered_ijk.sum()
    assert sum(point.lesion_voxels for point in points) == reference_ijk[considered_ijk].sum()
    total = sum(point.probability_sum for point in points)
    assert total == pytest.approx(probability_ijk[considered_ijk].sum(dtype=float), rel=0.01)


def test_the_middle_of_a_level_lies_within_it() -> None:
    middle = middle_probability(np.arange(len(EDGES) + 1, dtype=np.uint8))
    assert (middle[1:] >= EDGES).all()
    assert (middle[1:-1] < EDGES[1:]).all()
    assert middle[-1] <= 1


def test_a_lesions_peak_is_its_highest_probability_rounded_down(
    probability_ijk: np.ndarray, reference_ijk: np.ndarray
) -> None:
    levels_ijk = levels_of(probability_ijk)
    result = score(reference_ijk, probability_ijk >= 0.5, AFFINE, PAPER, levels_ijk)
    assert all(lesion.peak is not None and lesion.peak >= 0.5 for lesion in result.prediction)
    assert result.reference[-1].peak == 0.0, "the lesion that no probability covers"
    highest = max(float(edge) for edge in EDGES if edge <= probability_ijk.max())
    assert max(lesion.peak or 0 for lesion in result.prediction) == highest
    assert score(reference_ijk, probability_ijk >= 0.5, AFFINE, PAPER).reference[0].peak is None
