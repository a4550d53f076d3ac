"""What the network says of a batch and what the readers drew in; the loss that a step lowers, out.

Shapes: B batch (this worker's share), C class, I J K voxels of a patch.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from lesionlab.model.unet import LESION
from storage_schemas.axes import Loss

SMOOTH = 1e-5
"""Of soft Dice, as in nnU-Net: keeps it defined for a batch without lesion."""


class Sharing(Protocol):
    """One of the workers that share out a batch."""

    @property
    def world_size(self) -> int: ...
    def gather(self, value: list[float]) -> list[list[float]]:
        """Every worker's value, by rank."""
        ...


def loss_of(loss: Loss, logits_BCIJK: Tensor, label_BIJK: Tensor, worker: Sharing) -> Tensor:
    """The scalar to go down from; averaged over the workers, its gradient is that of the whole batch."""
    entropy = cross_entropy(logits_BCIJK, label_BIJK)
    if loss == "cross-entropy":
        return entropy
    return entropy + _soft_dice_loss(logits_BCIJK, label_BIJK, worker)


def _soft_dice_loss(logits_BCIJK: Tensor, label_BIJK: Tensor, worker: Sharing) -> Tensor:
    """1 − soft Dice of the lesion class over the whole batch (Isensee et al. 2021, Nature Methods 18:203, which adds it
    to the cross-entropy; Milletari et al. 2016).

    2 Σ p·y / (Σ p + Σ y) is no mean over patches, so the workers exchange their sums: their number changes rounding
    only, as it does for the cross-entropy.
    """
    probability_BIJK = torch.softmax(logits_BCIJK.float(), dim=1)[:, LESION]
    lesion_BIJK = (label_BIJK == LESION).float()
    own = torch.stack([(probability_BIJK * lesion_BIJK).sum(), probability_BIJK.sum() + lesion_BIJK.sum()])
    everyones = own.new_tensor(worker.gather(own.tolist())).sum(dim=0)
    # Everyone's value with the gradient of one's own share. The workers' gradients are averaged, these must add up.
    shared = everyones + worker.world_size * (own - own.detach())
    overlap, size = shared.unbind()
    dice_loss: Tensor = 1 - (2 * overlap + SMOOTH) / (size + SMOOTH)
    return dice_loss
