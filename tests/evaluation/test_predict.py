"""A network that thresholds intensity, so that its answer is known: it must come back to the scanner's grid."""

import numpy as np
import pytest
import torch
from torch import nn

from lesionlab.evaluation.lesionwise import score
from lesionlab.evaluation.predict import predict_native
from lesionlab.imaging.resample import resample_linear, study_grid
from lesionlab.imaging.volume import grid_of
from storage_schemas.models import InferenceConfig
from storage_schemas.runs import MetricDefinition
from storage_schemas.volumes import Grid

CPU = torch.device("cpu")
PATCH_VOXELS = 16
INFERENCE = InferenceConfig(step_voxels=8)


class BrighterThan(nn.Module):
    """Lesion is what is brighter than `intensity`; at the intensity itself the probability is one half."""

    def __init__(self, intensity: float) -> None:
        super().__init__()
        self.intensity = intensity

    def forward(self, image_BCIJK: torch.Tensor) -> torch.Tensor:
        lesion_BIJK = 8 * (image_BCIJK[:, 0] - self.intensity)
        return torch.stack([torch.zeros_like(lesion_BIJK), lesion_BIJK], dim=1)


def millimetre_grid(*shape: int) -> Grid:
    return grid_of(shape, np.eye(4))


def oblique_thick_slices(shape: tuple[int, int, int]) -> Grid:
    """0.9 × 0.9 × 4 mm, stored left and down first, tilted by 20°."""
    c, s = np.cos(np.deg2rad(20)), np.sin(np.deg2rad(20))
    tilt = np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    affine = np.eye(4)
    affine[:3, :3] = tilt @ np.diag([-0.9, 0.9, -4.0])
    affine[:3, 3] = [20.0, -25.0, 30.0]
    return grid_of(shape, affine)


def test_where_native_and_study_grid_are_one_the_mask_is_plain_thresholding():
    image_IJK = np.random.default_rng(0).normal(size=(20, 24, 18)).astype(np.float16)
    grid = millimetre_grid(*image_IJK.shape)
    prediction = predict_native(BrighterThan(0.5), image_IJK[np.newaxis], grid, grid, INFERENCE, PATCH_VOXELS, CPU)
    np.testing.assert_array_equal(prediction.mask_ijk, image_IJK >= 0.5)
    assert prediction.mask_ijk.dtype == np.uint8
    assert prediction.probability_ijk.dtype == np.float32


@pytest.mark.parametrize(("threshold", "lesion"), [(0.4, True), (0.5, True), (0.6, False)])
def test_a_voxel_at_the_threshold_is_lesion(threshold, lesion):
    grid = millimetre_grid(16, 16, 16)
    image_CIJK = np.full((1, 16, 16, 16), 0.5, dtype=np.float32)
    inference = InferenceConfig(step_voxels=8, threshold=threshold)
    prediction = predict_native(BrighterThan(0.5), image_CIJK, grid, grid, inference, PATCH_VOXELS, CPU)
    assert prediction.mask_ijk.all() == prediction.mask_ijk.any() == lesion


def test_lesions_on_oblique_thick_slices_are_found_on_exactly_those_slices():
    native = oblique_thick_slices((44, 52, 12))
    reference_ijk = np.zeros(native.shape, dtype=np.uint8)
    reference_ijk[5:9, 6:11, 2:4] = reference_ijk[20:26, 30:34, 5:8] = reference_ijk[36:41, 12:18, 8:10] = 1
    study = study_grid(native, spacing_mm=1.0)
    image_IJK = resample_linear(reference_ijk.astype(np.float32), native, study)
    prediction = predict_native(BrighterThan(0.5), image_IJK[np.newaxis], study, native, INFERENCE, PATCH_VOXELS, CPU)
    assert prediction.mask_ijk.shape == native.shape
    result = score(reference_ijk, prediction.mask_ijk, native.affine, MetricDefinition(minimum_overlap=0.5))
    assert (len(result.reference), result.sensitivity, result.ppv) == (3, 1.0, 1.0)
    for drawn, found in zip(result.reference, result.prediction, strict=True):
        assert found.centroid_mm == pytest.approx(drawn.centroid_mm, abs=0.5)


def test_beyond_the_study_grid_nothing_is_predicted():
    native, study = millimetre_grid(16, 16, 40), millimetre_grid(16, 16, 16)
    image_CIJK = np.ones((1, *study.shape), dtype=np.float32)
    prediction = predict_native(BrighterThan(0.5), image_CIJK, study, native, INFERENCE, PATCH_VOXELS, CPU)
    assert prediction.mask_ijk[:, :, :16].all()
    assert not prediction.mask_ijk[:, :, 16:].any()
    assert not prediction.probability_ijk[:, :, 16:].any()
