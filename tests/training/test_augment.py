"""Deformed copies are smooth, repeatable and correct in millimetres; each node makes them once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from lesionlab.training.augment import deform
from lesionlab.training.augmented import open_augmented
from storage_schemas.runs import Elastic, TrainingConfig
from tests.training.drawn import draw_study

TRAINING = TrainingConfig(patch_voxels=16, elastic=Elastic(control_spacing_mm=16, sd_mm=2))


def deform_study(study, elastic=TRAINING.elastic, seed=0, spacing_mm=2.0):
    return deform(study.image_CIJK, study.label_IJK, spacing_mm, elastic, np.random.default_rng(seed))


def test_a_displacement_of_0_mm_changes_nothing():
    study = draw_study(1)
    copy = deform_study(study, Elastic(sd_mm=0))
    np.testing.assert_array_equal(copy.image_CIJK, study.image_CIJK)
    np.testing.assert_array_equal(copy.label_IJK, study.label_IJK)
    assert not np.shares_memory(copy.label_IJK, study.label_IJK)


def test_equal_seeds_give_equal_copies_and_other_seeds_other_copies():
    study = draw_study(1)
    first, again, other = (deform_study(study, seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.image_CIJK, again.image_CIJK)
    np.testing.assert_array_equal(first.label_IJK, again.label_IJK)
    assert (first.label_IJK != other.label_IJK).any()


def test_all_channels_and_the_label_have_the_same_displacement():
    study = draw_study(1)
    as_image_CIJK = np.stack([study.label_IJK, 10 * study.label_IJK]).astype(np.float16)
    copy = deform(as_image_CIJK, study.label_IJK, 2.0, TRAINING.elastic, np.random.default_rng(3))
    np.testing.assert_allclose(copy.image_CIJK[1], 10 * copy.image_CIJK[0], rtol=2e-3)
    # The image is interpolated linearly and the label by nearest neighbour: they differ only at lesion borders.
    inside, outside = copy.image_CIJK[0] > 0.99, copy.image_CIJK[0] == 0
    assert copy.label_IJK[inside].all()
    assert not copy.label_IJK[outside].any()


@pytest.mark.parametrize("spacing_mm", [1.0, 2.0])
def test_displacements_have_the_requested_sd_in_millimetres(spacing_mm):
    # Each voxel of the image holds its own coordinate in mm, so the copy shows its displacement.
    edge = 64
    place_AIJK = np.indices((edge, edge, edge)).astype(np.float32) * spacing_mm
    elastic = Elastic(control_spacing_mm=16, sd_mm=1.5)
    nothing = np.zeros((edge, edge, edge), dtype=np.uint8)
    copy = deform(place_AIJK, nothing, spacing_mm, elastic, np.random.default_rng(0))
    inner = (slice(None), *[slice(8, -8)] * 3)
    displacement_AIJK = copy.image_CIJK.astype(np.float64)[inner] - place_AIJK[inner]
    step = round(16 / spacing_mm)
    at_controls = displacement_AIJK[:, 8 % step :: step, 8 % step :: step, 8 % step :: step]
    assert 1.0 < displacement_AIJK.std() < 1.6  # the SD is lower between control points
    assert abs(displacement_AIJK.mean()) < 0.3
    assert 1.2 < at_controls.std() < 1.8
    steepest = np.abs(np.diff(displacement_AIJK, axis=1)).max() / spacing_mm
    assert steepest < 1  # smooth: the order of neighbouring voxels is kept


def test_odd_shapes_are_kept():
    image_CIJK = np.ones((1, 33, 17, 1), dtype=np.float16)
    copy = deform(image_CIJK, np.zeros((33, 17, 1), dtype=np.uint8), 1.0, Elastic(), np.random.default_rng(0))
    np.testing.assert_array_equal(copy.image_CIJK, image_CIJK)


def open_copy(study, cache, copy=0, seed=0, training=TRAINING):
    return open_augmented(study, study.entry.volume, copy, training, seed, cache)


def names_of_copies(cache):
    return {path.name for path in (cache / "augmented").iterdir() if path.is_dir()}


def test_all_nodes_make_equal_copies_and_reuse_their_own(tmp_path):
    study = draw_study(1)
    first = open_copy(study, tmp_path / "one")
    again, other_node = open_copy(study, tmp_path / "one"), open_copy(study, tmp_path / "two")
    for copy in (again, other_node):
        np.testing.assert_array_equal(copy.image_CIJK, first.image_CIJK)
        np.testing.assert_array_equal(copy.label_IJK, first.label_IJK)
        np.testing.assert_array_equal(copy.places.exclusive_S3, first.places.exclusive_S3)
    assert (first.image_CIJK.dtype, first.label_IJK.dtype) == (np.float16, np.uint8)
    with pytest.raises(ValueError, match="read-only"):
        first.label_IJK[0] = 1
    assert len(names_of_copies(tmp_path / "one")) == 1


def test_every_setting_that_affects_a_copy_changes_its_name(tmp_path):
    study = draw_study(1)
    other_elastic = TRAINING.model_copy(update={"elastic": Elastic(sd_mm=1)})
    other_patch = TRAINING.model_copy(update={"patch_voxels": 8})
    open_copy(study, tmp_path)
    open_copy(draw_study(2), tmp_path)
    open_copy(study, tmp_path, copy=1)
    open_copy(study, tmp_path, seed=1)
    open_copy(study, tmp_path, training=other_elastic)
    open_copy(study, tmp_path, training=other_patch)
    assert len(names_of_copies(tmp_path)) == 6


def test_a_volume_from_newer_preprocessing_is_deformed_in_the_same_way(tmp_path):
    study = draw_study(1)
    before, after = (open_augmented(study, digest, 0, TRAINING, 0, tmp_path) for digest in ("1" * 16, "2" * 16))
    assert len(names_of_copies(tmp_path)) == 2
    np.testing.assert_array_equal(after.image_CIJK, before.image_CIJK)
    np.testing.assert_array_equal(after.places.exclusive_S3, before.places.exclusive_S3)


def test_the_copies_of_a_study_differ_from_it_and_from_each_other(tmp_path):
    study = draw_study(1)
    images = [study.image_CIJK, *(open_copy(study, tmp_path, copy).image_CIJK for copy in range(3))]
    assert all((one != other).any() for place, one in enumerate(images) for other in images[:place])


def test_concurrent_readers_get_the_same_copy_despite_stale_files(tmp_path):
    study = draw_study(1)
    expected = open_copy(study, tmp_path / "other")
    (name,) = names_of_copies(tmp_path / "other")
    stale = tmp_path / "cache" / "augmented" / f"{name}.draft"
    stale.mkdir(parents=True)
    (stale / "image_CIJK.npy").write_bytes(b"half")
    with ThreadPoolExecutor(4) as pool:
        opened = list(pool.map(lambda _: open_copy(study, tmp_path / "cache"), range(4)))
    for copy in opened:
        np.testing.assert_array_equal(copy.image_CIJK, expected.image_CIJK)
    assert names_of_copies(tmp_path / "cache") == {name}
