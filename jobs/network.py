"""A registered model's name in; its network, ready to predict, out."""

from __future__ import annotations

from lesionlab.model.transfer import adopt
from lesionlab.model.unet import UNet, build_unet
from lesionlab.store.objects import Store
from lesionlab.studies.registry import find_model, model_weights
from lesionlab.training.loop import best_device
from storage_schemas.models import ModelCard


def registered_network(store: Store, model: str) -> tuple[UNet, ModelCard]:
    """The network of `name` or `name@version`, with its weights checked against the card, on the best device.

    Raises InputError where there is no such model, TransferError where its weights are missing or altered.
    """
    card = find_model(store, model)
    network = build_unet(card.architecture, channels=len(card.channels), seed=0)
    adopt(network, card, model_weights(store, card), card.channels)
    return network.to(best_device()), card
