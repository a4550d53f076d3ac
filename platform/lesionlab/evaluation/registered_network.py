"""Load the network of a registered model, ready to predict."""

from __future__ import annotations

from lesionlab.experiments.registry import find_model, model_weights
from lesionlab.model.devices import best_device
from lesionlab.model.transfer import load_pretrained
from lesionlab.model.unet import UNet, build_unet
from lesionlab.store.objects import Store
from storage_schemas.models import ModelCard


def registered_network(store: Store, model: str) -> tuple[UNet, ModelCard]:
    """The network and card of `name` or `name@version`; its weights are checked against the card, on the best device.

    Raises InputError if there is no such model, TransferError if its weights are missing or altered.
    """
    card = find_model(store, model)
    network = build_unet(card.architecture, channels=len(card.channels), seed=0)
    load_pretrained(network, card, model_weights(store, card), card.channels)
    return network.to(best_device()), card
