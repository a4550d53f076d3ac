"""Refuse to test a model on studies that it was trained on, or say in every row which these are."""

from __future__ import annotations

from collections.abc import Mapping

from jobs.shared.console import notes
from lesionlab.errors import InputError
from lesionlab.experiments.patient_register import PatientRegister
from lesionlab.experiments.registry import source_model
from lesionlab.experiments.seen import Seen, seen_in_training
from lesionlab.store.objects import Store
from storage_schemas.base import StudyId
from storage_schemas.manifests import Manifest
from storage_schemas.models import ModelCard

UNSEEN, UNKNOWN = "no", "unknown"
"""Of a study that the model was not trained on; of one of which the store cannot tell."""


def seen_studies(
    store: Store, card: ModelCard, manifest: Manifest, *, allowed: bool, same_patients: bool
) -> dict[StudyId, str]:
    """For each study of the cohort `no`, `unknown`, or how it shows that the model was trained on it.

    Notes what cannot be told. Raises InputError, with each study, if the model was trained on some and `allowed` does
    not hold.
    """
    name = f"{card.name}@{card.version}"
    marked = PatientRegister(store).marked
    found = seen_in_training(manifest, source_model(store, card), same_people=same_patients, marked=marked)
    if found.reasons and not allowed:
        raise InputError(
            *(
                f"{study}: wanted a study that model {name} was not trained on, found the {reason}"
                for study, reason in found.reasons.items()
            ),
            f"cohort {manifest.cohort}: {len(found.reasons)} of {len(manifest.studies)} studies were trained on; test "
            "the model on a cohort without them, or accept them with --allow-seen, which says so in every row",
        )
    _say_what_is_unknown(found, name)
    otherwise = UNSEEN if found.whole else UNKNOWN
    return {entry.study: found.reasons.get(entry.study, otherwise) for entry in manifest.studies}


def _say_what_is_unknown(found: Seen, name: str) -> None:
    if not found.whole:
        notes.print(
            f"model {name}: the store does not have all runs that trained it, so leakage cannot be excluded",
            style="yellow",
        )
    for cohort, labels in _short(found.namesakes).items():
        notes.print(
            f"patient labels that are also in training cohort {cohort}: {labels}; if they mean the same people, say "
            "--same-patients",
            style="yellow",
        )


LISTED = 5
"""Labels that a message lists."""


def _short(namesakes: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
    return {
        cohort: ", ".join(labels[:LISTED]) + (f" and {len(labels) - LISTED} more" if len(labels) > LISTED else "")
        for cohort, labels in namesakes.items()
    }
