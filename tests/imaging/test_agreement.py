"""Edge correlation and head overlap measure alignment independent of contrast."""

import numpy as np
import pytest
from scipy import ndimage

from lesionlab.imaging.agreement import edge_correlation, edge_strength, head_overlap
from lesionlab.imaging.intensity import head_mask
from lesionlab.imaging.volume import grid_of
from tests.imaging.heads import THREE_MM, head, motion

IMAGE = head(THREE_MM).voxels
HEAD = head_mask(IMAGE, 0)


def agreement(other: np.ndarray) -> float:
    return edge_correlation(IMAGE, other, HEAD, 3.0)


def test_an_image_correlates_fully_with_itself_and_with_a_rescaled_copy():
    assert agreement(IMAGE) == pytest.approx(1)
    assert agreement(3 * IMAGE + 20) == pytest.approx(1, abs=1e-5)


def test_inverted_contrast_keeps_the_edge_correlation_though_values_correlate_negatively():
    inner = ndimage.binary_erosion(HEAD, iterations=4)  # without the skin, whose edge is against air
    negative = np.where(HEAD, 900 - IMAGE, IMAGE).astype(np.float32)
    assert np.corrcoef(IMAGE[inner], negative[inner])[0, 1] < -0.99
    assert edge_correlation(IMAGE, negative, inner, 3.0) > 0.95


def test_edge_correlation_falls_with_displacement():
    shifted = [agreement(head(THREE_MM, motion((0, 0, 0), (0, mm, 0))).voxels) for mm in (0, 3, 6, 12, 24)]
    assert shifted == sorted(shifted, reverse=True)
    assert shifted[0] == pytest.approx(1)
    assert shifted[3] < 0.7


def test_edge_correlation_does_not_depend_on_the_spacing():
    displaced = motion((3, 0, 0), (0, 3, 0))
    fine = grid_of((70, 84, 64), np.array([[2.0, 0, 0, -70], [0, 2, 0, -84], [0, 0, 2, -64], [0, 0, 0, 1]]))
    coarse = agreement(head(THREE_MM, displaced).voxels)
    image = head(fine).voxels
    correlation = edge_correlation(image, head(fine, displaced).voxels, head_mask(image), 2.0)
    assert correlation == pytest.approx(coarse, abs=0.08)


def test_missing_data_counts_neither_as_edge_nor_as_misalignment():
    part = IMAGE.copy()
    part[:, :, 30:] = np.nan
    edges = edge_strength(part, 3.0)
    assert np.isnan(edges[:, :, 28:]).all()
    assert np.allclose(edges[:, :, :28], edge_strength(IMAGE, 3.0)[:, :, :28], atol=1)
    assert agreement(part) > 0.999
    assert head_overlap(HEAD, part, 0) < 0.9


@pytest.mark.parametrize("empty", [np.nan, 0.0, -5.0])
def test_an_empty_image_has_zero_correlation_and_overlap(empty):
    nothing = np.full(THREE_MM.shape, empty, dtype=np.float32)
    assert agreement(nothing) == 0
    assert head_overlap(HEAD, nothing, 0) == 0


def test_a_head_overlaps_itself_completely():
    assert head_overlap(HEAD, IMAGE, 0) == 1
