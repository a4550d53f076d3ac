"""Compute the training loss of a batch from the logits and the reference labels.

Shapes: B batch (this worker's share), C class, I J K voxels of a patch.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, softplus

from lesionlab.model import devices
from lesionlab.model.unet import LESION
from storage_schemas.axes import Loss

SMOOTH = 1e-5
"""Smoothing term of soft Dice, as in nnU-Net: keeps Dice defined for a batch without lesions."""


class Sharing(Protocol):
    """One of the workers that split a batch."""

    @property
    def world_size(self) -> int: ...
    def gather(self, value: list[float]) -> list[list[float]]:
        """Return every worker's value, by rank."""
        ...


def loss_of(loss: Loss, logits_BCIJK: Tensor, label_BIJK: Tensor, worker: Sharing, batch: int | None = None) -> Tensor:
    """The scalar loss; its gradient, averaged over the workers, is the gradient for the whole batch.

    `batch` is the number of patches of all workers; None: each has as many. Averaged over the workers, the loss itself
    is that of the whole batch too.
    """
    own_form = _two_class_entropy if devices.on_gpu(logits_BCIJK.device) else cross_entropy
    entropy = own_form(logits_BCIJK, label_BIJK)
    if batch is not None and len(label_BIJK) * worker.world_size != batch:
        entropy = entropy * (len(label_BIJK) * worker.world_size / batch)
    if loss == "cross-entropy":
        return entropy
    return entropy + _soft_dice_loss(logits_BCIJK, label_BIJK, worker)


def _two_class_entropy(logits_BCIJK: Tensor, label_BIJK: Tensor) -> Tensor:
    """torch's `cross_entropy` of background and lesion, up to rounding, in float32.

    torch's own has no deterministic kernel on a GPU. Of two classes, −log p of the right one is softplus of how far
    the wrong logit lies above it.
    """
    background_BIJK, lesion_BIJK = logits_BCIJK.float().unbind(1)
    above_BIJK = lesion_BIJK - background_BIJK
    return softplus(torch.where(label_BIJK == LESION, -above_BIJK, above_BIJK)).mean()


def _soft_dice_loss(logits_BCIJK: Tensor, label_BIJK: Tensor, worker: Sharing) -> Tensor:
    """1 − soft Dice of the lesion class over the whole batch (Milletari et al. 2016).

    Isensee et al. 2021 (Nature Methods 18:203) add it to the cross-entropy. 2 Σ p·y / (Σ p + Σ y) is not a mean over
    patches, so the workers exchange their sums. As for the cross-entropy, the number of workers changes rounding only.
    """
    probability_BIJK = torch.softmax(logits_BCIJK.float(), dim=1)[:, LESION]
    lesion_BIJK = (label_BIJK == LESION).float()
    own = torch.stack([(probability_BIJK * lesion_BIJK).sum(), probability_BIJK.sum() + lesion_BIJK.sum()])
    # A worker alone needs no exchange, for which a GPU would have to stop.
    total = own.detach() if worker.world_size == 1 else own.new_tensor(worker.gather(own.tolist())).sum(dim=0)
    # The total of all workers, with the gradient of the own share, times the number of workers because their gradients
    # are averaged.
    shared = total + worker.world_size * (own - own.detach())
    overlap, size = shared.unbind()
    dice_loss: Tensor = 1 - (2 * overlap + SMOOTH) / (size + SMOOTH)
    return dice_loss
