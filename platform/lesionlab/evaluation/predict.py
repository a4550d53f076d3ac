"""Predict the lesion mask of a study on its native grid."""

# C channel, I J K voxels of the model grid, i j k voxels of the native grid

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from lesionlab.imaging.resample import resample_linear
from lesionlab.imaging.volume import Image, Mask
from lesionlab.model.devices import arithmetic
from lesionlab.model.windows import Image as StudyImage
from lesionlab.model.windows import head_probability
from storage_schemas.models import InferenceConfig
from storage_schemas.volumes import Grid


@dataclass(frozen=True)
class NativePrediction:
    """Lesion probability of every native voxel (`probability_ijk`, float32) and the thresholded `mask_ijk` (uint8)."""

    mask_ijk: Mask
    probability_ijk: Image


def predict_native(
    network: nn.Module,
    image_CIJK: StudyImage,
    model_grid: Grid,
    native_grid: Grid,
    inference: InferenceConfig,
    patch_voxels: int,
    device: torch.device,
) -> NativePrediction:
    """Run whole-head inference on the model grid and resample to the native grid; moves the network to `device`.

    The probability map is resampled linearly and then thresholded: resampling a mask would move its border by up to
    half a voxel. Native voxels outside the model grid have probability 0.
    """
    probability_IJK = model_probability(network, image_CIJK, inference, patch_voxels, device)
    return to_native(probability_IJK, model_grid, native_grid, inference)


def model_probability(
    network: nn.Module, image_CIJK: StudyImage, inference: InferenceConfig, patch_voxels: int, device: torch.device
) -> Image:
    """The network's part: lesion probability of every voxel of the model grid."""
    with arithmetic(device, inference.precision):
        return head_probability(network.to(device), image_CIJK, patch_voxels, inference.step_voxels, device)


def to_native(
    probability_IJK: Image, model_grid: Grid, native_grid: Grid, inference: InferenceConfig
) -> NativePrediction:
    """What is left when the network is done: onto the native grid, and thresholded."""
    probability_ijk = resample_linear(probability_IJK, model_grid, native_grid, outside=0.0)
    return NativePrediction((probability_ijk >= inference.threshold).astype(np.uint8), probability_ijk)
