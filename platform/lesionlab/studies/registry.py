"""Registered models: a finished run in; a named, versioned, checked model out. A bare name means its champion."""

from __future__ import annotations

import hashlib

from lesionlab.errors import InputError, MissingObject, TransferError
from lesionlab.store.documents import create_document, move_pointer, read_document, read_pointer
from lesionlab.store.objects import Store
from storage_schemas import keys
from storage_schemas.base import Digest, Slug
from storage_schemas.models import ModelCard


def register(store: Store, run_id: Digest) -> ModelCard:
    """Copy the model of a completed run under its card's name and make that version the champion.

    Raises MissingObject where the run left no model, TransferError where its weights are not the ones of its card.
    """
    card = read_document(store, keys.RUN_CARD.build(run_id=run_id), ModelCard)
    names = {"name": card.name, "version": card.version}
    weights = checked(card, store.get(keys.RUN_WEIGHTS.build(run_id=run_id)))
    store.put(keys.MODEL_WEIGHTS.build(**names), weights)
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
    """The registered weights (safetensors). Raises TransferError where they are missing or not the card's."""
    try:
        data = store.get(keys.MODEL_WEIGHTS.build(name=card.name, version=card.version))
    except MissingObject as error:
        raise TransferError(f"model {card.name}@{card.version}: its weights are missing; register it again") from error
    return checked(card, data)


def models(store: Store) -> list[ModelCard]:
    """Every registered version, by name."""
    found = [key for key in store.list(keys.MODEL_CARD.prefix()) if keys.MODEL_CARD.parse(key)]
    return [read_document(store, key, ModelCard) for key in found]


def champion(store: Store, name: Slug) -> Digest | None:
    """The version that the bare name means, or None."""
    return read_pointer(store, keys.CHAMPION.build(name=name))


def checked(card: ModelCard, weights: bytes) -> bytes:
    """These bytes, if they are the card's. Raises TransferError where they are not."""
    found = hashlib.sha256(weights).hexdigest()
    if found != card.weights_sha256:
        raise TransferError(
            f"model {card.name}@{card.version}: wanted weights with sha256 {card.weights_sha256}, found {found}; "
            "the object was altered or cut short: restore it or pretrain the model again"
        )
    return weights
