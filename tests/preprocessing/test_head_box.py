"""Volumes are cut to the box around the head; what is predicted in the box lies exactly where it belongs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from lesionlab.evaluation.predict import NativePrediction, predict_native
from lesionlab.imaging.volume import Volume, grid_of, matrix_of
from lesionlab.preprocessing import channels
from lesionlab.preprocessing.channels import PreparedImages, prepare_images
from storage_schemas.models import InferenceConfig
from storage_schemas.tasks import TASKS
from storage_schemas.volumes import Grid
from tests.preprocessing.drawn import OBLIQUE

FLIPPED = np.array([[0.0, -2, 0, 30], [2, 0, 0, -20], [0, 0, 2, 10], [0, 0, 0, 1]])
"""2 mm, axes stored forwards, leftwards and upwards."""


class BrighterThanTwo(nn.Module):
    """Voxels more than 2 SD above the head's mean are lesion."""

    def forward(self, image_BCIJK: torch.Tensor) -> torch.Tensor:
        lesion_BIJK = 8 * (image_BCIJK[:, 0] - 2)
        return torch.stack([torch.zeros_like(lesion_BIJK), lesion_BIJK], dim=1)


def scan(affine: np.ndarray, at: tuple[int, ...] = (5, 8, 3), shape: tuple[int, ...] = (36, 40, 20)) -> Volume:
    """A bright block of 20 × 18 × 10 voxels in air, with three lesions: two at its corners and one inside."""
    rng = np.random.default_rng(1)
    voxels_ijk = np.zeros(shape, dtype=np.float32)
    block_ijk = voxels_ijk[tuple(slice(low, low + n) for low, n in zip(at, (20, 18, 10), strict=True))]
    block_ijk[:] = rng.normal(400, 20, block_ijk.shape)
    for corner in ((0, 0, 0), (18, 16, 8), (9, 5, 4)):
        block_ijk[tuple(slice(first, first + 2) for first in corner)] = 900
    return Volume(voxels_ijk, affine)


def prepared(image: Volume, spacing_mm: float = 2.0) -> PreparedImages:
    return prepare_images({"flair": image}, TASKS["flair-single"], spacing_mm)


def predicted(images: PreparedImages, native: Grid) -> NativePrediction:
    return predict_native(
        BrighterThanTwo(),
        images.image_CIJK,
        images.model_grid,
        native,
        InferenceConfig(step_voxels=8),
        16,
        torch.device("cpu"),
    )


def test_the_box_is_the_heads_with_its_margin_and_ends_where_the_scan_ends():
    image = scan(np.diag([2.0, 2, 2, 1]), at=(5, 8, 10))
    found = prepared(image)
    assert found.whole_grid == image.grid
    assert found.model_grid.shape == (20 + 2 * 2, 18 + 2 * 2, 10 + 2)  # 3 mm: 2 voxels
    assert matrix_of(found.model_grid)[:3, 3].tolist() == [6, 12, 16]


def test_voxels_in_the_box_are_those_of_the_whole_grid(monkeypatch):
    found = prepared(scan(OBLIQUE))
    monkeypatch.setattr(channels, "AROUND_HEAD_MM", 1000.0)
    whole = prepared(scan(OBLIQUE))
    assert whole.model_grid == whole.whole_grid == found.whole_grid
    start = np.linalg.inv(matrix_of(whole.model_grid)) @ matrix_of(found.model_grid)[:, 3]
    box = tuple(slice(round(low), round(low) + n) for low, n in zip(start, found.model_grid.shape, strict=False))
    assert np.allclose(start, np.rint(start))
    assert whole.image_CIJK[(slice(None), *box)].tobytes() == found.image_CIJK.tobytes()
    assert found.image_CIJK.size < 0.5 * whole.image_CIJK.size


@pytest.mark.parametrize("affine", [np.diag([2.0, 2, 2, 1]), FLIPPED], ids=["upright", "flipped"])
def test_on_a_native_grid_of_the_models_spacing_each_predicted_voxel_is_the_bright_one(affine):
    image = scan(affine)
    assert np.array_equal(predicted(prepared(image), image.grid).mask_ijk, image.voxels > 800)


def test_on_oblique_thick_slices_the_prediction_is_that_of_the_whole_grid(monkeypatch):
    image = scan(OBLIQUE)
    cut = predicted(prepared(image, 1.5), image.grid)
    monkeypatch.setattr(channels, "AROUND_HEAD_MM", 1000.0)
    whole = predicted(prepared(image, 1.5), image.grid)
    assert cut.mask_ijk.any()
    assert np.array_equal(cut.mask_ijk, whole.mask_ijk)
    assert np.abs(cut.probability_ijk - whole.probability_ijk).max() < 1e-5


def test_a_head_that_fills_the_scan_is_not_cut():
    image = Volume(np.random.default_rng(0).uniform(300, 500, (12, 14, 10)).astype(np.float32), np.eye(4))
    image.voxels[[0, -1]] = 0
    found = prepared(image, 1.0)
    assert found.model_grid == found.whole_grid == grid_of((12, 14, 10), np.eye(4))
