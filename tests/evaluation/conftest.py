"""A network with a known answer, and a grid as scanners make it."""

import numpy as np
import pytest
import torch
from torch import nn

from lesionlab.imaging.volume import grid_of
from storage_schemas.volumes import Grid


class BrighterThanHalf(nn.Module):
    """Voxels brighter than 0.5 are lesion; at 0.5 the probability is one half."""

    def forward(self, image_BCIJK: torch.Tensor) -> torch.Tensor:
        lesion_BIJK = 8 * (image_BCIJK[:, 0] - 0.5)
        return torch.stack([torch.zeros_like(lesion_BIJK), lesion_BIJK], dim=1)


@pytest.fixture
def brighter_than_half() -> nn.Module:
    return BrighterThanHalf()


@pytest.fixture
def oblique_thick_slices() -> Grid:
    """0.9 × 0.9 × 4 mm, axes stored leftwards and downwards, tilted by 20°."""
    c, s = np.cos(np.deg2rad(20)), np.sin(np.deg2rad(20))
    affine = np.eye(4)
    affine[:3, :3] = np.array([[1, 0, 0], [0, c, -s], [0, s, c]]) @ np.diag([-0.9, 0.9, -4.0])
    affine[:3, 3] = [20.0, -25.0, 30.0]
    return grid_of((44, 52, 12), affine)
