"""Several networks as one: an ensemble predicts the mean of its members' probabilities.

Shapes: B batch, C channel or class, I J K voxel axes.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lesionlab.model.transfer import check_bytes, load_pretrained
from lesionlab.model.unet import UNet, build_unet
from lesionlab.model.weights import load_weights
from storage_schemas.models import ModelCard


class Ensemble(nn.Module):
    """Map image patches to log-probabilities, so that softmax gives the mean of the members' probabilities."""

    def __init__(self, networks: Sequence[UNet]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)

    def forward(self, image_BCIJK: Tensor) -> Tensor:
        """Log-probabilities (B, 2, I, J, K). Raises ValueError as UNet does."""
        first, *others = self.networks
        total_BCIJK = torch.softmax(first(image_BCIJK), dim=1)
        for network in others:
            total_BCIJK = total_BCIJK + torch.softmax(network(image_BCIJK), dim=1)
        return torch.log(total_BCIJK / len(self.networks))


def network_of(card: ModelCard, weights: bytes) -> UNet | Ensemble:
    """The network or the ensemble of a registered model, on the CPU.

    Raises TransferError if the weights are missing, or do not match the card.
    """
    networks = [build_unet(card.architecture, channels=len(card.channels), seed=0) for _ in range(card.networks)]
    if not card.members:
        load_pretrained(networks[0], card, weights, card.channels)
        return networks[0]
    check_bytes(card, weights)
    ensemble = Ensemble(networks)
    load_weights(ensemble, weights)
    return ensemble
