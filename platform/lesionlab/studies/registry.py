"""Registered models: a finished run in; a named, versioned model out. A bare name means its champion."""

from __future__ import annotations

from lesionlab.errors import InputError, MissingObject, TransferError
from lesionlab.store.documents import create_document, move_pointer, read_document, read_pointer
from lesionlab.store.objects import Store
from storage_schemas import keys
from storage_schemas.base import Digest, Slug
from storage_schemas.models import ModelCard


def register(store: Store, run_id: Digest) -> ModelCard:
    """Copy the model of a completed run under its card's name and make that version the champion.

    Raises MissingObject where the run left no model.
    """
    card = read_document(store, keys.RUN_CARD.build(run_id=run_id), ModelCard)
    names = {"name": card.name, "version": card.version}
    store.put(keys.MODEL_WEIGHTS.build(**names), store.get(keys.RUN_WEIGHTS.build(run_id=run_id)))
    store.put(keys.MODEL_RECEIPT.build(**names), store.get(keys.RUN_RECEIPT.build(run_id=run_id)))
    # The card comes last: a version that has a card is complete.
    create_document(store, keys.MODEL_CARD.build(**names), card)
    move_pointer(store, keys.CHAMPION.build(name=card.name), card.version)
    return card


def find_model(store: Store, model: str) -> ModelCard:
    """The card of `name` (its champion) or `name@version`. Raises InputError that lists what is registered."""
    name, _, version = model.partition("@")
    try:
        found = version or read_pointer(store, keys.CHAMPION.build(name=name))
        if found:
            return read_document(store, keys.MODEL_CARD.build(name=name, version=found), ModelCard)
    except (MissingObject, ValueError):
        pass
    known = ", ".join(f"{card.name}@{card.version}" for card in models(store)) or "none yet"
    raise InputError(f"model {model!r} is not registered in {store.uri}; registered: {known}")


def model_weights(store: Store, card: ModelCard) -> bytes:
    """The registered weights (safetensors), not yet held against the card: `model.transfer.adopt` does that.

    Raises TransferError where they are missing.
    """
    try:
        return store.get(keys.MODEL_WEIGHTS.build(name=card.name, version=card.version))
    except MissingObject as error:
        raise TransferError(f"model {card.name}@{card.version}: its weights are missing; register it again") from error


def models(store: Store) -> list[ModelCard]:
    """Every registered version, by name."""
    found = [key for key in store.list(keys.MODEL_CARD.prefix()) if keys.MODEL_CARD.parse(key)]
    return [read_document(store, key, ModelCard) for key in found]


def champion(store: Store, name: Slug) -> Digest | None:
    """The version that the bare name means, or None."""
    return read_pointer(store, keys.CHAMPION.build(name=name))
