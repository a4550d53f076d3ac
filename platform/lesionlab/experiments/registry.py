"""Register models of finished runs under a name and a version; a name without a version means its champion."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from lesionlab.errors import DamagedObject, InputError, MissingObject, TransferError
from lesionlab.experiments.ledger import attempt_of
from lesionlab.store.documents import create_document, move_pointer, read_document, read_pointer
from lesionlab.store.objects import Store
from lesionlab.store.tables import is_altered
from storage_schemas import keys
from storage_schemas.base import Digest, Sha256, Slug
from storage_schemas.models import ModelCard
from storage_schemas.runs import RunSpec


@dataclass(frozen=True)
class SourceModel:
    """A registered model and the runs that trained it: its own run, its parent's run, and so on."""

    card: ModelCard
    made_by: tuple[RunSpec, ...]


def register(store: Store, run_id: Digest, name: Slug | None = None, *, champion: bool = True) -> ModelCard:
    """Copy the model of a completed run to a registered name (default: the card's name) and make it the champion.

    What is registered and whole stays; what is damaged is replaced. Raises MissingObject if the run stored no model,
    DamagedObject if neither the run's copy nor the registered one is whole.
    """
    attempt = attempt_of(store, run_id)
    card = read_document(store, keys.RUN_CARD.of(attempt).build(run_id=run_id), ModelCard)
    card = card.model_copy(update={"name": name or card.name})
    names = {"name": card.name, "version": card.version}
    for registered, own, whole in (
        (keys.MODEL_WEIGHTS, keys.RUN_WEIGHTS, partial(_has_sum, card.weights_sha256)),
        (keys.MODEL_TRANSFER, keys.RUN_TRANSFER, _is_unaltered),
    ):
        _copy_whole(store, own.of(attempt).build(run_id=run_id), registered.build(**names), whole)
    # Written last: a version with a card is complete.
    create_document(store, keys.MODEL_CARD.build(**names), card)
    if champion:
        move_pointer(store, keys.CHAMPION.build(name=card.name), card.version)
    return card


def _copy_whole(store: Store, source: str, target: str, whole: Callable[[bytes], bool]) -> None:
    """Copy an object unless a whole one is there already. Raises DamagedObject if the source is not whole."""
    with suppress(MissingObject):
        if whole(store.get(target)):
            return
    data = store.get(source)
    if not whole(data):
        raise DamagedObject(f"{store.uri}: {source}", "it does not match its checksum")
    store.put(target, data)


def _has_sum(sum_: Sha256, data: bytes) -> bool:
    return hashlib.sha256(data).hexdigest() == sum_


def _is_unaltered(table: bytes) -> bool:
    return not is_altered(table)


def source_model(store: Store, card: ModelCard) -> SourceModel:
    """A registered model with its training history, as far as the store has it; an imported model may have none."""
    made_by = []
    version: Digest | None = card.version
    while version is not None and store.exists(key := keys.RUN_SPEC.build(run_id=version)):
        run = read_document(store, key, RunSpec)
        made_by.append(run)
        version = run.parent.model.version if run.parent else None
    return SourceModel(card, tuple(made_by))


def find_model(store: Store, model: str) -> ModelCard:
    """The card of `name` (its champion) or `name@version`. Raises InputError that lists the registered models."""
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
    """The registered weights (safetensors), not yet checked: `model.transfer.load_pretrained` compares the sha256.

    Raises TransferError if they are missing.
    """
    try:
        return store.get(keys.MODEL_WEIGHTS.build(name=card.name, version=card.version))
    except MissingObject as error:
        raise TransferError(f"model {card.name}@{card.version}: its weights are missing; register it again") from error


def models(store: Store) -> list[ModelCard]:
    """The cards of all registered versions, sorted by name."""
    found = [key for key in store.list(keys.MODEL_CARD.prefix()) if keys.MODEL_CARD.parse(key)]
    return [read_document(store, key, ModelCard) for key in found]


def champion(store: Store, name: Slug) -> Digest | None:
    """The champion version of a name, or None."""
    return read_pointer(store, keys.CHAMPION.build(name=name))
