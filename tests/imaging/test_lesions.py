"""Lesions of hand-drawn masks: connectivity, volume and centroid."""

from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import ndimage

from lesionlab.imaging import lesions
from lesionlab.imaging.lesions import (
    drop_small,
    label_lesions,
    lesion_centroids_mm,
    lesion_volumes_mm3,
    voxel_volume_mm3,
)

_SCIPY = {6: 1, 18: 2, 26: 3}
masks = arrays(bool, array_shapes(min_dims=3, max_dims=3, max_side=5))
neighbourhoods = st.sampled_from([6, 18, 26])


def two_voxels(step: tuple[int, int, int]) -> np.ndarray:
    mask_IJK = np.zeros((3, 3, 3), dtype=np.uint8)
    mask_IJK[1, 1, 1] = mask_IJK[1 + step[0], 1 + step[1], 1 + step[2]] = 1
    return mask_IJK


@pytest.mark.parametrize(
    ("step", "lesions_of"),
    [
        ((1, 0, 0), {6: 1, 18: 1, 26: 1}),
        ((0, -1, 0), {6: 1, 18: 1, 26: 1}),
        ((0, 1, 1), {6: 2, 18: 1, 26: 1}),
        ((-1, 0, 1), {6: 2, 18: 1, 26: 1}),
        ((1, 1, 1), {6: 2, 18: 2, 26: 1}),
        ((-1, 1, -1), {6: 2, 18: 2, 26: 1}),
    ],
    ids=["face", "other face", "edge", "other edge", "corner", "other corner"],
)
def test_voxels_that_share_a_face_edge_or_corner_are_one_lesion_depending_on_connectivity(step, lesions_of):
    found = {neighbours: label_lesions(two_voxels(step), neighbours).count for neighbours in (6, 18, 26)}
    assert found == lesions_of


def test_the_default_is_26_connectivity():
    assert label_lesions(two_voxels((1, 1, 1))).count == 1


@given(masks, neighbourhoods)
def test_labels_have_no_gaps_and_follow_the_order_of_first_voxels(mask_IJK, connectivity):
    lesions = label_lesions(mask_IJK, connectivity)
    ids, first = np.unique(lesions.ids_IJK[lesions.ids_IJK > 0], return_index=True)
    assert ids.tolist() == list(range(1, lesions.count + 1))
    assert first.tolist() == sorted(first)
    assert lesions.ids_IJK.dtype == np.int32
    np.testing.assert_array_equal(lesions.ids_IJK > 0, mask_IJK)


@given(masks, neighbourhoods)
def test_labels_do_not_depend_on_the_memory_layout_of_the_mask(mask_IJK, connectivity):
    np.testing.assert_array_equal(
        label_lesions(np.asfortranarray(mask_IJK), connectivity).ids_IJK, label_lesions(mask_IJK, connectivity).ids_IJK
    )


def test_more_than_255_lesions_keep_distinct_labels():
    mask_IJK = np.zeros((40, 40, 40), dtype=np.uint8)
    mask_IJK[::4, ::4, ::4] = 1
    lesions = label_lesions(mask_IJK)
    assert lesions.count == lesions.ids_IJK.max() == 1000


def test_an_empty_mask_has_no_lesions_volumes_or_centroids():
    lesions = label_lesions(np.zeros((4, 4, 4)))
    assert lesions.count == 0
    assert lesion_volumes_mm3(lesions, 1.0).shape == (0,)
    assert lesion_centroids_mm(lesions, np.eye(4)).shape == (0, 3)
    assert drop_small(lesions, 3.0, 1.0).count == 0


def test_an_unknown_connectivity_is_refused_with_the_valid_values():
    with pytest.raises(ValueError, match=r"wanted one of \[6, 18, 26\], found 8"):
        label_lesions(np.zeros((2, 2, 2)), 8)


def test_a_mask_with_a_time_axis_is_refused():
    with pytest.raises(ValueError, match=r"three voxel axes.*\(2, 2, 2, 1\)"):
        label_lesions(np.zeros((2, 2, 2, 1)))


def test_volumes_are_in_mm3():
    mask_IJK = np.zeros((8, 8, 8))
    mask_IJK[0, 0, 0] = 1
    mask_IJK[3:5, 3:5, 3:6] = 1
    thick_slices = np.diag([0.9, -0.9, 4.0, 1.0])
    volumes_mm3 = lesion_volumes_mm3(label_lesions(mask_IJK), voxel_volume_mm3(thick_slices))
    np.testing.assert_allclose(volumes_mm3, [0.9 * 0.9 * 4, 12 * 0.9 * 0.9 * 4])


def test_centroids_are_in_world_mm():
    mask_IJK = np.zeros((8, 8, 8))
    mask_IJK[2:4, 5, 1] = 1
    affine = np.array([[-2.0, 0, 0, 90], [0, 0, 3.0, -120], [0, 1.0, 0, -70], [0, 0, 0, 1]])
    np.testing.assert_allclose(lesion_centroids_mm(label_lesions(mask_IJK), affine), [[85.0, -117.0, -65.0]])


def test_a_lesion_of_exactly_the_minimum_volume_is_kept_and_labels_are_renumbered():
    mask_IJK = np.zeros((9, 1, 3))
    mask_IJK[0, 0, 0] = mask_IJK[2, 0, :2] = mask_IJK[4, 0, :3] = mask_IJK[6, 0, 0] = mask_IJK[8, 0, :2] = 1
    kept = drop_small(label_lesions(mask_IJK), minimum_volume_mm3=3.0, voxel_mm3=1.5)
    assert kept.count == 3
    assert kept.ids_IJK[:, 0, 0].tolist() == [0, 0, 1, 0, 2, 0, 0, 0, 3]


def test_an_oblique_affine_drops_no_lesion_of_exactly_the_minimum_volume():
    mask_IJK = np.zeros((5, 5, 5))
    mask_IJK[1:4, 2, 2] = 1
    for degrees in range(0, 90, 7):
        c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
        oblique = np.array([[c, -s, 0, 0], [s, c, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], dtype=np.float32)
        assert drop_small(label_lesions(mask_IJK), 3.0, voxel_volume_mm3(oblique)).count == 1


@given(masks, neighbourhoods)
def test_few_and_many_voxels_are_labelled_alike(mask_IJK, neighbours):
    wanted_IJK, count = ndimage.label(mask_IJK, ndimage.generate_binary_structure(3, _SCIPY[neighbours]))
    for share in (0.0, 2.0):  # never as few, always as few
        with patch.object(lesions, "_FEW", share):
            found = label_lesions(mask_IJK, neighbours)
        assert found.count == count
        assert found.ids_IJK.dtype == np.int32
        assert np.array_equal(found.ids_IJK, wanted_IJK)
