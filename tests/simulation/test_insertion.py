"""Lesions of known size and contrast go where an image has none, the same for everybody."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from lesionlab.simulation.insertion import DEEP_MM, GAP_MM, Insertion, insert_lesions
from storage_schemas.grading import CONTRASTS, DIAMETERS_MM
from tests.imaging.phantoms import AFFINE, SHAPE, SPACING_MM, phantom

NOTHING = np.zeros(SHAPE, np.uint8)


def inserted(drawn: np.ndarray = NOTHING, seed: int = 0) -> Insertion:
    return insert_lesions(phantom(0), drawn, AFFINE, np.random.default_rng(seed))


@pytest.fixture(scope="module")
def everywhere() -> Insertion:
    return inserted()


def voxel_of(lesion) -> tuple[int, ...]:
    return tuple(np.rint(np.linalg.solve(AFFINE, [*lesion.centre_mm, 1.0])[:3]).astype(int))


def test_one_lesion_of_each_size_and_contrast_is_inserted_with_that_contrast_and_about_that_volume(everywhere) -> None:
    assert everywhere.left_out == 0
    assert {(one.diameter_mm, one.contrast) for one in everywhere.lesions} == {
        (d, c) for d in DIAMETERS_MM for c in CONTRASTS
    }
    added = everywhere.image_IJK - phantom(0)
    labels, count = ndimage.label(everywhere.mask_IJK, np.ones((3, 3, 3)))
    assert count == len(everywhere.lesions)
    for one in everywhere.lesions:
        voxel = voxel_of(one)
        assert added[voxel] <= one.contrast
        if one.diameter_mm == max(DIAMETERS_MM):
            assert added[voxel] == pytest.approx(one.contrast, rel=0.05)
            volume = np.count_nonzero(labels == labels[voxel]) * SPACING_MM**3
            assert volume == pytest.approx(np.pi / 6 * one.diameter_mm**3, rel=0.35)
    assert np.all(added[~ndimage.binary_dilation(everywhere.mask_IJK, np.ones((3, 3, 3)), iterations=2)] == 0)


def test_lesions_keep_clear_of_each_other_of_drawn_ones_and_of_the_surface() -> None:
    drawn = NOTHING.copy()
    drawn[18:21, 18:21, 18:21] = 1
    found = inserted(drawn)
    head = ndimage.distance_transform_edt(phantom(0) > -1) * SPACING_MM
    away = ndimage.distance_transform_edt(drawn == 0) * SPACING_MM
    for one in found.lesions:
        assert away[voxel_of(one)] >= one.diameter_mm / 2 + GAP_MM
        assert head[voxel_of(one)] >= DEEP_MM + one.diameter_mm / 2 - SPACING_MM
        for other in found.lesions:
            apart = np.linalg.norm(np.subtract(one.centre_mm, other.centre_mm))
            assert one is other or apart >= (one.diameter_mm + other.diameter_mm) / 2 + GAP_MM


def test_equal_draws_give_equal_places_and_others_give_others(everywhere) -> None:
    assert inserted().lesions == everywhere.lesions
    assert inserted(seed=1).lesions != everywhere.lesions
    assert {one.height for one in everywhere.lesions} > {"middle"}


@pytest.mark.parametrize("image", [np.zeros(SHAPE, np.float32), phantom(0)[16:23, 16:23, 16:23]], ids=["flat", "small"])
def test_without_room_nothing_is_inserted(image: np.ndarray) -> None:
    found = insert_lesions(image, np.zeros(image.shape, np.uint8), AFFINE, np.random.default_rng(0))
    assert (found.lesions, found.left_out) == ((), len(DIAMETERS_MM) * len(CONTRASTS))
    assert np.array_equal(found.image_IJK, image)


def test_a_head_full_of_drawn_lesions_has_no_room() -> None:
    drawn = NOTHING.copy()
    drawn[::4, ::4, ::4] = 1
    assert inserted(drawn).lesions == ()
