"""Predict the lesion probability at each voxel of a whole head with a trained network.

Probabilities of overlapping windows of the training patch size are averaged (after Duong et al. 2019). Windows in air
are not skipped: that would be an assumption about where lesions cannot be.

Shapes: C channel, I J K voxels of the model grid, B windows per forward pass.
"""

from __future__ import annotations

from functools import reduce
from itertools import product
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from lesionlab.model.unet import LESION

Real = TypeVar("Real", bound=np.floating[Any])
Image = NDArray[np.floating[Any]]

WINDOWS_PER_PASS = 8
"""Windows per forward pass on a GPU; a CPU gains nothing from more than one."""


def head_probability(
    network: nn.Module, image_CIJK: Image, patch_voxels: int, step_voxels: int, device: torch.device
) -> NDArray[np.float32]:
    """Lesion probability, float32 (I, J, K): the mean over all windows that cover a voxel.

    Windows start every `step_voxels`, and the last one ends at the border. The network must be on `device`; it is left
    in evaluation mode. Raises ValueError if a step is longer than a window, which would leave gaps.
    """
    if not 1 <= step_voxels <= patch_voxels:
        raise ValueError(f"step: wanted 1 to {patch_voxels} voxels (the patch), found {step_voxels}")
    network.eval()
    padded_CIJK = pad_to_patch(image_CIJK, patch_voxels)
    starts = [window_starts(n, patch_voxels, step_voxels) for n in padded_CIJK.shape[1:]]
    with torch.inference_mode():
        image = torch.from_numpy(padded_CIJK.astype(np.float32)).to(device)
        total_IJK = torch.zeros(image.shape[1:], device=device)
        per_pass = 1 if device.type == "cpu" else WINDOWS_PER_PASS
        windows = [tuple(slice(start, start + patch_voxels) for start in corner) for corner in product(*starts)]
        for first in range(0, len(windows), per_pass):
            boxes = windows[first : first + per_pass]
            logits_BCIJK = network(torch.stack([image[:, *box] for box in boxes]))
            for box, probability in zip(boxes, torch.softmax(logits_BCIJK, dim=1)[:, LESION], strict=True):
                total_IJK[box] += probability
    counts = [_windows_per_voxel(n, patch_voxels, at) for n, at in zip(padded_CIJK.shape[1:], starts, strict=True)]
    windows_IJK: NDArray[np.float32] = reduce(np.multiply.outer, counts)
    inside = tuple(slice(n) for n in image_CIJK.shape[1:])
    mean_IJK: NDArray[np.float32] = np.divide(total_IJK.cpu().numpy(), windows_IJK)[inside]
    return mean_IJK


def pad_to_patch(image_CIJK: NDArray[Real], patch_voxels: int) -> NDArray[Real]:
    """Pad the image at the far end of each axis that is shorter than a patch, by repeating the border.

    No constant suits every contrast: air is the minimum of a FLAIR image but the middle of a subtraction image.
    """
    padding = [(0, max(0, patch_voxels - n)) for n in image_CIJK.shape[1:]]
    return np.pad(image_CIJK, [(0, 0), *padding], mode="edge") if any(far for _, far in padding) else image_CIJK


def window_starts(voxels: int, patch_voxels: int, step_voxels: int) -> list[int]:
    """First voxels of the windows along one axis; the last window ends at the far border."""
    last = voxels - patch_voxels
    return [*range(0, last, step_voxels), last]


def _windows_per_voxel(voxels: int, patch_voxels: int, starts: list[int]) -> NDArray[np.float32]:
    """The number of windows that cover each voxel of one axis."""
    count = np.zeros(voxels, dtype=np.float32)
    for start in starts:
        count[start : start + patch_voxels] += 1
    return count
