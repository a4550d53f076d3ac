"""Half of the patches contain lesion, small lesions are drawn as often as large ones, and air is not drawn."""

from __future__ import annotations

import numpy as np
import pytest

from lesionlab.training.patches import cut_image, cut_label, draw_starts, find_places
from tests.training.drawn import draw_study

PATCH = 8


def rng(seed=0):
    return np.random.default_rng(seed)


def starts_of(image_CIJK, label_IJK, patches=40, patch_voxels=PATCH, seed=0):
    places = find_places(image_CIJK, label_IJK, patch_voxels, rng(seed))
    return places, draw_starts(places, label_IJK.shape, patch_voxels, patches, rng(seed + 1))


def lesion_voxels(label_IJK, starts_P3, patch_voxels=PATCH):
    return [int(cut_label(label_IJK, start, patch_voxels).sum()) for start in starts_P3]


@pytest.mark.parametrize("number", range(4))
def test_half_of_the_patches_contain_lesion_and_half_do_not(number):
    study = draw_study(number)
    places, starts = starts_of(study.image_CIJK, study.label_IJK)
    assert not places.crowded
    assert len(starts.inclusive_P3) == len(starts.exclusive_P3) == 20
    assert min(lesion_voxels(study.label_IJK, starts.inclusive_P3)) >= 1
    assert max(lesion_voxels(study.label_IJK, starts.exclusive_P3)) == 0


@pytest.mark.parametrize("number", range(4))
def test_patches_are_subarrays_of_the_volume(number):
    study = draw_study(number)
    _, starts = starts_of(study.image_CIJK, study.label_IJK)
    for i, j, k in (*starts.inclusive_P3, *starts.exclusive_P3):
        box = (slice(i, i + PATCH), slice(j, j + PATCH), slice(k, k + PATCH))
        np.testing.assert_array_equal(cut_image(study.image_CIJK, (i, j, k), PATCH), study.image_CIJK[:, *box])
        np.testing.assert_array_equal(cut_label(study.label_IJK, (i, j, k), PATCH), study.label_IJK[box])
        assert study.label_IJK[box].shape == (PATCH, PATCH, PATCH)


def test_small_lesions_are_drawn_as_often_as_large_ones():
    label_IJK = np.zeros((40, 40, 40), dtype=np.uint8)
    label_IJK[2:14, 2:14, 2:14] = 1
    label_IJK[30, 30, 30] = 1
    image_CIJK = rng().standard_normal((1, 40, 40, 40))
    _, starts = starts_of(image_CIJK, label_IJK, patches=400)
    with_small = sum(bool(cut_label(label_IJK, start, PATCH).sum() == 1) for start in starts.inclusive_P3)
    # Binomial with n = 200 and p = 1/2; some patches contain only one voxel of the large lesion.
    assert 70 < with_small < 130


def test_a_lesion_may_be_at_any_position_in_its_patches():
    label_IJK = np.zeros((40, 40, 40), dtype=np.uint8)
    label_IJK[20, 20, 20] = 1
    _, starts = starts_of(rng().standard_normal((1, 40, 40, 40)), label_IJK, patches=400)
    for axis in range(3):
        assert set(20 - starts.inclusive_P3[:, axis]) == set(range(PATCH))


def test_patches_of_air_are_not_drawn():
    study = draw_study(1, edge=48)
    _, starts = starts_of(study.image_CIJK, study.label_IJK, patches=200)
    assert min(cut_image(study.image_CIJK, start, PATCH).std() for start in starts.exclusive_P3) > 0.05
    corner = cut_image(study.image_CIJK, (0, 0, 0), PATCH)
    assert corner.std() == 0  # the volume has patches of air


def test_exclusive_patches_cover_the_whole_head():
    study = draw_study(1, edge=48)
    _, starts = starts_of(study.image_CIJK, study.label_IJK, patches=400)
    centres_P3 = starts.exclusive_P3 + PATCH / 2 - 24
    for axis in range(3):
        assert centres_P3[:, axis].min() < -12
        assert centres_P3[:, axis].max() > 12


def test_in_a_volume_without_lesions_all_patches_are_exclusive():
    study = draw_study(1, lesions=0)
    _, starts = starts_of(study.image_CIJK, study.label_IJK)
    assert starts.inclusive_P3.shape == (0, 3)
    assert len(starts.exclusive_P3) == 40


def test_a_crowded_volume_uses_the_patches_with_the_fewest_lesion_voxels():
    label_IJK = np.zeros((12, 12, 12), dtype=np.uint8)
    label_IJK[4:8, 4:8, 4:8] = 1
    label_IJK[4, 4, 4] = 0
    places, starts = starts_of(rng().standard_normal((1, 12, 12, 12)), label_IJK)
    least = min(label_IJK[i : i + 8, j : j + 8, k : k + 8].sum() for i, j, k in np.ndindex(5, 5, 5))
    assert places.crowded
    assert set(lesion_voxels(label_IJK, starts.exclusive_P3)) == {int(least)}


def test_a_volume_smaller_than_the_patch_is_padded_at_the_far_end():
    label_IJK = np.zeros((20, 6, 20), dtype=np.uint8)
    label_IJK[10, 5, 10] = 1
    image_CIJK = rng().standard_normal((2, 20, 6, 20)).astype(np.float16)
    _, starts = starts_of(image_CIJK, label_IJK)
    assert min(lesion_voxels(label_IJK, starts.inclusive_P3)) == 1
    for start in starts.inclusive_P3:
        patch_CIJK = cut_image(image_CIJK, start, PATCH)
        assert patch_CIJK.shape == (2, 8, 8, 8)
        assert start[1] == 0
        np.testing.assert_array_equal(patch_CIJK[:, :, 6], patch_CIJK[:, :, 5])
        assert not cut_label(label_IJK, start, PATCH)[:, 6:].any()


def test_positions_and_starts_depend_on_the_seed_only():
    study = draw_study(1)
    first, again, other = (
        starts_of(study.image_CIJK, study.label_IJK, seed=seed)[1].exclusive_P3.tolist() for seed in (0, 0, 5)
    )
    assert first == again != other
