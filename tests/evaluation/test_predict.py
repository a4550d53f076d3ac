"""A network that thresholds intensity has a known answer, which must come back on the native grid."""

import numpy as np
import pytest
import torch

from lesionlab.evaluation.lesionwise import score
from lesionlab.evaluation.predict import predict_native
from lesionlab.imaging.resample import model_grid, resample_linear
from lesionlab.imaging.volume import grid_of
from storage_schemas.definitions import AnyOverlap, MetricDefinition
from storage_schemas.models import InferenceConfig
from storage_schemas.volumes import Grid

CPU = torch.device("cpu")
PATCH_VOXELS = 16
INFERENCE = InferenceConfig(step_voxels=8)


def millimetre_grid(*shape: int) -> Grid:
    return grid_of(shape, np.eye(4))


def test_if_native_and_model_grid_are_equal_the_mask_is_the_thresholded_image(brighter_than_half):
    image_IJK = np.random.default_rng(0).normal(size=(20, 24, 18)).astype(np.float16)
    grid = millimetre_grid(*image_IJK.shape)
    prediction = predict_native(brighter_than_half, image_IJK[np.newaxis], grid, grid, INFERENCE, PATCH_VOXELS, CPU)
    np.testing.assert_array_equal(prediction.mask_ijk, image_IJK >= 0.5)
    assert prediction.mask_ijk.dtype == np.uint8
    assert prediction.probability_ijk.dtype == np.float32


@pytest.mark.parametrize(("threshold", "lesion"), [(0.4, True), (0.5, True), (0.6, False)])
def test_a_voxel_at_the_threshold_is_lesion(threshold, lesion, brighter_than_half):
    grid = millimetre_grid(16, 16, 16)
    image_CIJK = np.full((1, 16, 16, 16), 0.5, dtype=np.float32)
    inference = InferenceConfig(step_voxels=8, threshold=threshold)
    prediction = predict_native(brighter_than_half, image_CIJK, grid, grid, inference, PATCH_VOXELS, CPU)
    assert prediction.mask_ijk.all() == prediction.mask_ijk.any() == lesion


def test_lesions_on_oblique_thick_slices_are_predicted_on_those_slices_only(brighter_than_half, oblique_thick_slices):
    native = oblique_thick_slices
    reference_ijk = np.zeros(native.shape, dtype=np.uint8)
    reference_ijk[5:9, 6:11, 2:4] = reference_ijk[20:26, 30:34, 5:8] = reference_ijk[36:41, 12:18, 8:10] = 1
    study = model_grid(native, spacing_mm=1.0)
    image_IJK = resample_linear(reference_ijk.astype(np.float32), native, study)
    prediction = predict_native(brighter_than_half, image_IJK[np.newaxis], study, native, INFERENCE, PATCH_VOXELS, CPU)
    assert prediction.mask_ijk.shape == native.shape
    result = score(
        reference_ijk, prediction.mask_ijk, native.affine, MetricDefinition(matching=AnyOverlap(minimum_overlap=0.5))
    )
    assert (len(result.reference), result.sensitivity, result.ppv) == (3, 1.0, 1.0)
    for drawn, found in zip(result.reference, result.prediction, strict=True):
        assert found.centroid_mm == pytest.approx(drawn.centroid_mm, abs=0.5)


def test_nothing_is_predicted_outside_the_model_grid(brighter_than_half):
    native, study = millimetre_grid(16, 16, 40), millimetre_grid(16, 16, 16)
    image_CIJK = np.ones((1, *study.shape), dtype=np.float32)
    prediction = predict_native(brighter_than_half, image_CIJK, study, native, INFERENCE, PATCH_VOXELS, CPU)
    assert prediction.mask_ijk[:, :, :16].all()
    assert not prediction.mask_ijk[:, :, 16:].any()
    assert not prediction.probability_ijk[:, :, 16:].any()
