"""Turn a card file and a weights file into a registered model."""

from __future__ import annotations

import hashlib
from pathlib import Path

from lesionlab.errors import TransferError
from lesionlab.experiments.registry import register_imported
from lesionlab.experiments.spec_files import read_yaml, validated
from lesionlab.model.foreign_weights import difference_from, load_foreign, read_foreign, weights_file
from lesionlab.model.unet import build_unet
from lesionlab.model.weights import sha256_of, weights_bytes
from lesionlab.store.objects import Store
from storage_schemas.imports import ImportCard
from storage_schemas.models import ModelCard


def import_model(store: Store, weights: Path, card_file: Path, probe: Path | None) -> tuple[ModelCard, int]:
    """Register the model; return its card and its number of tensors. Nothing is written before all of it fits.

    Raises SpecError with every fault of the card, InputError if a file cannot be read, TransferError with every fault
    of the weights.
    """
    what = f"card {card_file}"
    card = validated(read_yaml(card_file, what), ImportCard, what)
    path = weights_file(weights)
    data, tensors = read_foreign(path)
    network = build_unet(card.architecture, channels=len(card.task.channel_names), seed=0)
    try:
        transfer = load_foreign(network, tensors, card.tensors)
    except TransferError as error:
        raise TransferError(f"{path}: {error}") from error
    found = {
        "file_sha256": hashlib.sha256(data).hexdigest(),
        "largest_difference": difference_from(network, probe) if probe else None,
    }
    own = weights_bytes(network)
    return register_imported(
        store,
        ModelCard(
            name=card.name,
            version="0" * 16,
            task=card.task,
            architecture=card.architecture,
            channels=card.task.channel_names,
            spacing_mm=card.spacing_mm,
            patch_voxels=card.patch_voxels,
            inference=card.inference,
            weights_sha256=sha256_of(own),
            cohort=card.cohort,
            training_studies=card.training_studies,
            strip=card.strip,
            declared=card.declared.model_copy(update=found),
        ),
        own,
        transfer,
    ), len(transfer)
