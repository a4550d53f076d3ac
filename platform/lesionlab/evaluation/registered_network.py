"""Load the network of a registered model, ready to predict."""

from __future__ import annotations

from lesionlab.experiments.registry import find_model, model_weights
from lesionlab.model.devices import best_device
from lesionlab.model.ensemble import Ensemble, network_of
from lesionlab.model.unet import UNet
from lesionlab.store.objects import Store
from storage_schemas.models import ModelCard


def registered_network(store: Store, model: str) -> tuple[UNet | Ensemble, ModelCard]:
    """The network (or ensemble) and card of `name` or `name@version`, on the best device; weights are checked.

    Raises InputError if there is no such model, TransferError if its weights are missing or altered.
    """
    card = find_model(store, model)
    return network_of(card, model_weights(store, card)).to(best_device()), card
