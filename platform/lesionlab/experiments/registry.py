"""Register models of finished runs under a name and a version: candidates, until one is promoted (`champions`).

The networks of several runs can be registered as one model, an ensemble: prediction averages their probabilities.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

from lesionlab.errors import DamagedObject, InputError, MissingObject, ObjectExists, TransferError
from lesionlab.experiments.ledger import attempt_of
from lesionlab.store.documents import create_document, read_document
from lesionlab.store.objects import Store
from lesionlab.store.tables import is_altered, read_rows, write_rows
from storage_schemas import keys
from storage_schemas.base import Digest, Sha256, Slug, digest_of
from storage_schemas.decisions import Champion
from storage_schemas.manifests import Manifest
from storage_schemas.models import ModelCard, TensorTransfer
from storage_schemas.runs import RunSpec

MEMBER = "networks.{}."
"""Prefix of the tensors of one member in an ensemble's weights and weight-transfer report, counted from 0."""


@dataclass(frozen=True)
class SourceModel:
    """A registered model and the runs that trained it: its own run (an ensemble's: its members'), its parent's run, and
    so on."""

    card: ModelCard
    made_by: tuple[RunSpec, ...]
    missing: tuple[Digest, ...] = ()
    """Versions whose training runs the store lacks."""
    imported: tuple[ModelCard, ...] = ()
    """Of these, the cards of models that were imported: the model itself, or one that it was fine-tuned from."""


def card_of_run(run: RunSpec, weights_sha256: Sha256) -> ModelCard:
    """The card of the model that a run trains, under the run's own names."""
    return ModelCard(
        name=run.experiment,
        version=run.run_id,
        task=run.task,
        architecture=run.architecture,
        channels=run.channels,
        spacing_mm=run.spacing_mm,
        patch_voxels=run.training.patch_voxels,
        inference=run.inference,
        weights_sha256=weights_sha256,
        parent=run.parent.model if run.parent else None,
        cohort=run.cohort,
        training_studies=len(run.train),
    )


def register(store: Store, run_id: Digest, name: Slug | None = None) -> ModelCard:
    """Register the model of a completed run as a candidate under a name (default: the card's name).

    What is registered and whole stays; what is damaged is replaced. Raises MissingObject if the run stored no model,
    ObjectExists if other weights are registered under this name and version, DamagedObject if neither the run's copy
    nor the registered one is whole.
    """
    card = _card_of(store, run_id)
    return _register(
        store,
        card.model_copy(update={"name": name or card.name}),
        lambda: _weights_of(store, run_id, card.weights_sha256),
        lambda: _transfer_of(store, run_id),
    )


def register_ensemble(store: Store, run_ids: Sequence[Digest], name: Slug) -> ModelCard:
    """Register the networks of several completed runs as one model whose probabilities are averaged.

    The order of the runs does not matter. Raises InputError if their networks are not of one kind, and as `register`.
    """
    members = tuple(sorted({*run_ids}))
    cards = [_card_of(store, member) for member in members]
    if len({card.model_copy(update=_OWN_OF_EACH).canonical_json() for card in cards}) > 1:
        raise InputError(
            f"{name}: wanted networks of one task, architecture, patch size and parent; found different ones among "
            f"{', '.join(members)}; register them one by one"
        )
    weights: dict[str, NDArray[np.generic]] = {}
    transfer: list[TensorTransfer] = []
    for place, member in enumerate(members):
        prefix = MEMBER.format(place)
        own = _weights_of(store, member, cards[place].weights_sha256)
        weights |= {prefix + tensor: values for tensor, values in safetensors.numpy.load(own).items()}
        rows = _transfer_of(store, member)
        transfer += [row.model_copy(update={"tensor": prefix + row.tensor}) for row in rows]
    joined = safetensors.numpy.save(weights)
    trained_on = sorted({study for card in cards for study in card.trained_on})
    card = cards[0].model_copy(
        update={
            "name": name,
            "version": digest_of({"ensemble": members}),
            "weights_sha256": sha256(joined).hexdigest(),
            "training_studies": len(trained_on),
            "trained_on": tuple(trained_on),
            "members": members,
        }
    )
    return _register(store, card, lambda: joined, lambda: transfer)


def register_imported(store: Store, card: ModelCard, weights: bytes, transfer: Sequence[TensorTransfer]) -> ModelCard:
    """Register a model that was trained elsewhere as a candidate; its version follows from card and weights.

    Raises ObjectExists if other weights are registered under this name and version.
    """
    form = card.model_dump(mode="json", exclude={"version": True, "declared": {"largest_difference"}})
    named = card.model_copy(update={"version": digest_of({"imported": form})})
    return _register(store, named, lambda: weights, lambda: transfer)


_OWN_OF_EACH = {"version": "", "weights_sha256": "", "training_studies": 1, "trained_on": ()}
"""What the cards of an ensemble's members need not share."""


def _card_of(store: Store, run_id: Digest) -> ModelCard:
    """The card of a completed run's model, with its training studies and how their images became skull-stripped."""
    card = read_document(store, keys.RUN_CARD.of(attempt_of(store, run_id)).build(run_id=run_id), ModelCard)
    run = read_document(store, keys.RUN_SPEC.build(run_id=run_id), RunSpec)
    key = keys.MANIFEST.build(cohort=run.cohort, digest=run.manifest)
    strip = read_document(store, key, Manifest).strip if store.exists(key) else None
    return card.model_copy(update={"trained_on": tuple(sorted(entry.study for entry in run.train)), "strip": strip})


def _weights_of(store: Store, run_id: Digest, sum_: Sha256) -> bytes:
    key = keys.RUN_WEIGHTS.of(attempt_of(store, run_id)).build(run_id=run_id)
    data = store.get(key)
    if sha256(data).hexdigest() != sum_:
        raise DamagedObject(f"{store.uri}: {key}", "it does not match its checksum")
    return data


def _transfer_of(store: Store, run_id: Digest) -> list[TensorTransfer]:
    key = keys.RUN_TRANSFER.of(attempt_of(store, run_id)).build(run_id=run_id)
    return read_rows(store, [key], TensorTransfer)


def _register(
    store: Store,
    card: ModelCard,
    weights: Callable[[], bytes],
    transfer: Callable[[], Sequence[TensorTransfer]],
) -> ModelCard:
    place = {"name": card.name, "version": card.version}
    key = keys.MODEL_CARD.build(**place)
    known = None
    with suppress(MissingObject, DamagedObject):  # a damaged card is replaced
        known = read_document(store, key, ModelCard)
    if known is not None:
        if known.weights_sha256 != card.weights_sha256:
            raise ObjectExists(
                f"model {card.full_name} is registered with other weights (sha256 {known.weights_sha256[:16]}…, now "
                f"{card.weights_sha256[:16]}…); a version never changes: register it under another name"
            )
        card = known
    own, report = keys.MODEL_WEIGHTS.build(**place), keys.MODEL_TRANSFER.build(**place)
    if not _is_whole(store, own, lambda data: sha256(data).hexdigest() == card.weights_sha256):
        store.put(own, weights())
    if not _is_whole(store, report, lambda data: not is_altered(data)):
        write_rows(store, report, transfer(), TensorTransfer)
    if known is None:  # written last: a version with a card is complete
        create_document(store, key, card)
    return card


def _is_whole(store: Store, key: str, whole: Callable[[bytes], bool]) -> bool:
    """Whether the object is there, and unaltered."""
    with suppress(MissingObject):
        return whole(store.get(key))
    return False


def source_model(store: Store, card: ModelCard) -> SourceModel:
    """A registered model with its training history, as far as the store has it; an imported model has none."""
    made_by: dict[Digest, RunSpec] = {}
    missing: list[Digest] = []
    imported: list[ModelCard] = []
    left = [(card.name, version) for version in card.members or (card.version,)]
    while left:
        name, version = left.pop(0)
        if version in made_by or version in missing:
            continue
        if not store.exists(key := keys.RUN_SPEC.build(run_id=version)):
            missing.append(version)
            own = card if (name, version) == (card.name, card.version) else _stored_card(store, name, version)
            imported += [own] if own and own.declared else []
            continue
        run = made_by[version] = read_document(store, key, RunSpec)
        left += [(run.parent.model.name, run.parent.model.version)] if run.parent else []
    return SourceModel(card, tuple(made_by.values()), tuple(missing), tuple(imported))


def _stored_card(store: Store, name: Slug, version: Digest) -> ModelCard | None:
    with suppress(MissingObject):
        return read_document(store, keys.MODEL_CARD.build(name=name, version=version), ModelCard)
    return None


def find_model(store: Store, model: str) -> ModelCard:
    """The card of `name@version`, or of `name`: its champion or, while no version was promoted, its only one.

    Raises InputError that lists the registered models.
    """
    name, _, version = model.partition("@")
    registered: list[ModelCard] | None = None
    try:
        found = version or champion(store, name)
        if not found:
            registered = models(store)
            own = [card for card in registered if card.name == name]
            if len(own) > 1:
                raise InputError(
                    f"model {name!r}: no version was promoted yet, and there are {len(own)}; name one of them: "
                    f"{', '.join(card.full_name for card in own)}"
                )
            found = own[0].version if own else ""
        if found:
            return read_document(store, keys.MODEL_CARD.build(name=name, version=found), ModelCard)
    except (MissingObject, ValueError):
        pass
    known = ", ".join(card.full_name for card in registered or models(store)) or "none yet"
    raise InputError(f"model {model!r} is not registered in {store.uri}; registered: {known}")


def model_weights(store: Store, card: ModelCard) -> bytes:
    """The registered weights (safetensors), not yet checked: `model.transfer.load_pretrained` compares the sha256.

    Raises TransferError if they are missing.
    """
    try:
        return store.get(keys.MODEL_WEIGHTS.build(name=card.name, version=card.version))
    except MissingObject as error:
        raise TransferError(f"model {card.full_name}: its weights are missing; register it again") from error


def models(store: Store) -> list[ModelCard]:
    """The cards of all registered versions, sorted by name."""
    found = [key for key in store.list(keys.MODEL_CARD.prefix()) if keys.MODEL_CARD.parse(key)]
    return [read_document(store, key, ModelCard) for key in found]


def champion(store: Store, name: Slug) -> Digest | None:
    """The champion version of a name, or None."""
    pointer = champion_pointer(store, name)
    return pointer.target if pointer else None


def champion_pointer(store: Store, name: Slug) -> Champion | None:
    """The version in use under a name with the decision that put it there, or None."""
    try:
        return read_document(store, keys.CHAMPION.build(name=name), Champion)
    except MissingObject:
        return None
