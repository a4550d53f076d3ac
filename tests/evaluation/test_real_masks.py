"""Consensus masks of real MS patients give the published lesion counts, and a perfect score against themselves."""

from pathlib import Path

import numpy as np
import pytest

from lesionlab.evaluation.lesionwise import score
from lesionlab.imaging.lesions import label_lesions
from lesionlab.imaging.volume import Volume, read_mask
from storage_schemas.definitions import AnyOverlap, MetricDefinition


def mask_of(real_data: Path, subject: str) -> Volume:
    (path,) = real_data.glob(f"ms-*/**/sub-{subject}_*label-lesion_mask.nii.gz")
    return read_mask(path)


@pytest.mark.parametrize(
    ("subject", "lesions_of"), [("cs07", {6: 49, 18: 38, 26: 37}), ("cs19", {6: 140, 18: 102, 26: 98})]
)
def test_the_published_counts_are_those_of_26_connectivity(real_data, subject, lesions_of):
    """The data set says 37 and 98 lesions."""
    mask = mask_of(real_data, subject)
    found = {neighbours: label_lesions(mask.voxels, neighbours).count for neighbours in (6, 18, 26)}
    assert found == lesions_of


# From 19 to 392 lesions.
@pytest.mark.parametrize("subject", ["cs29", "cs07", "cs13", "cs19", "cs01", "cs06"])
def test_a_real_mask_scored_against_itself_is_perfect(real_data, subject):
    mask = mask_of(real_data, subject)
    result = score(mask.voxels, mask.voxels, mask.affine, MetricDefinition(matching=AnyOverlap(minimum_overlap=1.0)))
    assert (result.sensitivity, result.ppv, result.dice) == (1.0, 1.0, 1.0)
    assert result.reference_ml == pytest.approx(np.count_nonzero(mask.voxels) / 1000)
    assert {lesion.overlap for lesion in result.reference} == {1.0}


def test_a_real_mask_shifted_by_two_voxels_hits_its_largest_lesion_and_misses_its_smallest(real_data):
    mask = mask_of(real_data, "cs07")
    result = score(mask.voxels, np.roll(mask.voxels, 2, axis=2), mask.affine, MetricDefinition())
    largest = max(result.reference, key=lambda lesion: lesion.volume_mm3)
    smallest = min(result.reference, key=lambda lesion: lesion.volume_mm3)
    assert (largest.outcome, smallest.outcome) == ("true-positive", "missed")
    assert 0 < result.dice < 1
