"""Predict the lesion probability at each voxel of a whole head with a trained network.

Probabilities of overlapping windows of the training patch size are averaged (after Duong et al. 2019). Windows in air
are not skipped: that would be an assumption about where lesions cannot be.

Shapes: C channel, I J K voxels of the model grid, B windows per forward pass.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from itertools import pairwise, product
from math import ceil
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from lesionlab.model.unet import LESION

Real = TypeVar("Real", bound=np.floating[Any])
Image = NDArray[np.floating[Any]]
Box = tuple[slice, ...]
"""Of a window within a slab: J and K."""

WINDOWS_PER_PASS = 8
"""Most windows per forward pass."""

CPU_VOXELS = 2**18
"""Voxels per forward pass on a CPU, at least a window: few are slow one by one, many do not fit the cache.

Windows of 24³ take 2.9 s a head one by one and 1.6 s by eight, of 48³ 4.6 s and 2.8 s by two; of 96³ 7.5 s one by one
and 8.6 s by two (AMD EPYC, one thread).
"""

_LOG = logging.getLogger(__name__)


def head_probability(
    network: nn.Module, image_CIJK: Image, patch_voxels: int, step_voxels: int, device: torch.device
) -> NDArray[np.float32]:
    """Lesion probability, float32 (I, J, K): the mean over all windows that cover a voxel.

    Windows start every `step_voxels`, and the last one ends at the border. The network must be on `device`; it is left
    in evaluation mode. The device holds a slab of the head, one window thick, and the windows of one pass. If that is
    too much for a GPU, half as many windows are passed at once, and so on, and at last the CPU computes. Raises
    ValueError if a step is longer than a window, which would leave gaps.
    """
    if not 1 <= step_voxels <= patch_voxels:
        raise ValueError(f"step: wanted 1 to {patch_voxels} voxels (the patch), found {step_voxels}")
    network.eval()
    per_pass = _windows_per_pass(device, patch_voxels)
    while True:
        try:
            return _by_slabs(network, image_CIJK, patch_voxels, step_voxels, device, per_pass)
        except torch.OutOfMemoryError:
            if per_pass == 1:
                break
            _LOG.warning("%s has too little memory for %d windows at once; trying %d", device, per_pass, per_pass // 2)
            per_pass //= 2
    _LOG.warning("%s has too little memory for one window of %d voxels; the CPU predicts", device, patch_voxels)
    try:
        return _by_slabs(network.cpu(), image_CIJK, patch_voxels, step_voxels, torch.device("cpu"), 1)
    finally:
        network.to(device)


def _windows_per_pass(device: torch.device, patch_voxels: int) -> int:
    fitting = max(1, CPU_VOXELS // patch_voxels**3)
    return min(fitting, WINDOWS_PER_PASS) if device.type == "cpu" else WINDOWS_PER_PASS


def _by_slabs(
    network: nn.Module, image_CIJK: Image, patch_voxels: int, step_voxels: int, device: torch.device, per_pass: int
) -> NDArray[np.float32]:
    """The mean over all windows; slab by slab along I, because planes before a slab get no more windows."""
    padded_CIJK = pad_to_patch(image_CIJK, patch_voxels)
    shape = padded_CIJK.shape[1:]
    starts = [window_starts(n, patch_voxels, step_voxels) for n in shape]
    counts = [_windows_per_voxel(n, patch_voxels, at) for n, at in zip(shape, starts, strict=True)]
    windows_JK = np.multiply.outer(counts[1], counts[2])
    boxes = [tuple(slice(start, start + patch_voxels) for start in corner) for corner in product(*starts[1:])]
    mean_IJK = np.empty(shape, dtype=np.float32)
    with torch.inference_mode():
        total_IJK = torch.zeros((patch_voxels, *shape[1:]), device=device)
        for first, following in pairwise([*starts[0], shape[0]]):
            slab_CIJK = torch.from_numpy(padded_CIJK[:, first : first + patch_voxels].astype(np.float32)).to(device)
            for of_pass in batched(boxes, per_pass):
                logits_BCIJK = network(torch.stack([slab_CIJK[:, :, *box] for box in of_pass]))
                for box, probability in zip(of_pass, torch.softmax(logits_BCIJK, dim=1)[:, LESION], strict=True):
                    total_IJK[:, *box] += probability
            done = following - first  # planes that no later slab covers
            windows_IJK = counts[0][first:following, None, None] * windows_JK
            np.divide(total_IJK[:done].cpu().numpy(), windows_IJK, out=mean_IJK[first:following])
            total_IJK = torch.cat([total_IJK[done:], torch.zeros_like(total_IJK[:done])])
    return mean_IJK[tuple(slice(n) for n in image_CIJK.shape[1:])]


def batched(boxes: Sequence[Box], most: int) -> Iterator[Sequence[Box]]:
    """The boxes in as few passes as possible, of nearly equal size."""
    passes = ceil(len(boxes) / most)
    edges = [len(boxes) * n // passes for n in range(passes + 1)]
    yield from (boxes[low:high] for low, high in pairwise(edges))


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
