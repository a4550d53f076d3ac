"""The ISBI 2015 score and its parts agree with values computed by hand."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lesionlab.evaluation.isbi import challenge_score, voxelwise_ppv
from lesionlab.evaluation.lesionwise import score
from storage_schemas.definitions import DEFINITIONS

ISBI = DEFINITIONS["isbi-2015"]


@dataclass(frozen=True)
class Study:
    dice: float | None
    sensitivity: float | None
    ppv: float | None
    reference_ml: float
    predicted_ml: float


TWO = [Study(0.6, 0.5, 0.8, 10.0, 5.0), Study(0.5, 0.7, 0.4, 2.0, 2.0)]


def test_the_parts_are_means_over_the_studies_with_the_weights_of_the_challenge():
    parts = challenge_score(TWO)
    assert parts.dsc == pytest.approx(0.55)
    assert parts.ppv == pytest.approx((0.6 * 15 / 10 + 0.5 * 4 / 4) / 2)
    assert parts.lfpr == pytest.approx(1 - 0.6)
    assert parts.ltpr == pytest.approx(0.6)
    assert parts.corr == pytest.approx(1.0)
    assert parts.score == pytest.approx(0.55 / 8 + 0.7 / 8 + 0.6 / 4 + 0.6 / 4 + 1 / 4)
    assert parts.without_corr == pytest.approx((0.55 / 8 + 0.7 / 8 + 0.6 / 4 + 0.6 / 4) * 4 / 3)


def test_one_study_has_no_correlation_and_no_full_score():
    parts = challenge_score(TWO[:1])
    assert (parts.corr, parts.score) == (None, None)
    assert parts.without_corr is not None


def test_studies_of_equal_volume_have_no_correlation():
    assert challenge_score([TWO[0], TWO[0]]).corr is None


def test_an_undefined_part_of_one_study_is_excluded_from_that_mean_only():
    nothing_predicted = Study(0.0, 0.0, None, 4.0, 0.0)
    parts = challenge_score([*TWO, nothing_predicted])
    assert parts.ltpr == pytest.approx((0.5 + 0.7 + 0) / 3)
    assert (parts.ppv, parts.lfpr) == (challenge_score(TWO).ppv, challenge_score(TWO).lfpr)
    assert challenge_score([nothing_predicted]).without_corr is None


def test_a_perfect_prediction_with_perfect_correlation_scores_1():
    perfect = [Study(1.0, 1.0, 1.0, ml, ml) for ml in (1.0, 2.0)]
    assert challenge_score(perfect).score == pytest.approx(1.0)


masks = arrays(np.uint8, (5, 4, 3), elements=st.sampled_from([0, 0, 1]))


@given(masks, masks)
def test_the_voxelwise_ppv_computed_from_dice_equals_that_of_the_voxels(reference, prediction):
    predicted = np.count_nonzero(prediction)
    expected = np.count_nonzero(reference & prediction) / predicted if predicted else None
    assert voxelwise_ppv(score(reference, prediction, np.diag([0.9, 0.9, 3, 1]), ISBI)) == pytest.approx(expected)
