"""Find the studies that a model, or a model that it was fine-tuned from, was trained on."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from lesionlab.experiments.patient_register import Marked, unmarked
from lesionlab.experiments.randomisation import likely_copies
from lesionlab.experiments.registry import SourceModel
from storage_schemas.base import Slug, StudyId
from storage_schemas.manifests import Manifest, ManifestEntry
from storage_schemas.models import ModelCard


@dataclass(frozen=True)
class Seen:
    """What is known about a model's training studies among those of a cohort."""

    reasons: Mapping[StudyId, str]
    """Each study that it was trained on, and how that shows: `same image as sub-01 in cohort glioma`."""
    namesakes: Mapping[Slug, tuple[str, ...]]
    """By training cohort, the patient labels that are also in this cohort and may mean other people."""
    whole: bool
    """Whether the store has the training runs of the model and of all its ancestors."""


def seen_in_training(
    manifest: Manifest, model: SourceModel, *, same_people: bool = False, marked: Marked = unmarked
) -> Seen:
    """Compare a cohort with the training studies of a model and of its ancestors, by image, likely copy and patient.

    Patient labels are compared within a cohort, between cohorts that share an image of a patient under one label, and
    everywhere if `same_people`: otherwise every dataset has a sub-01. `marked` studies of one register entry are of
    one patient.
    """
    held = marked(manifest.studies, manifest.cohort)
    reasons: dict[StudyId, str] = {}
    namesakes: dict[Slug, tuple[str, ...]] = {}
    for run in model.made_by:
        one_register = same_people or run.cohort == manifest.cohort or _share_a_patient(manifest.studies, run.train)
        for study, reason in overlaps(held, marked(run.train, run.cohort), same_people=one_register):
            reasons.setdefault(study, f"{reason} in cohort {run.cohort}")
        if not one_register:
            labels = {entry.patient for entry in manifest.studies} & {seen.patient for seen in run.train}
            namesakes |= {run.cohort: tuple(sorted(labels))} if labels else {}
    for card in model.imported:
        one_register = same_people or card.cohort == manifest.cohort
        for study, reason in declared_overlaps(manifest.studies, card) if one_register else ():
            reasons.setdefault(study, reason)
    whole = bool(model.made_by) and model.made_by[-1].parent is None and not model.missing
    return Seen(reasons, namesakes, whole)


def trained_on(entry: ManifestEntry, seen: Iterable[ManifestEntry], *, same_people: bool) -> str | None:
    """How it shows that a study is among the training studies, or that its patient is; None if it does not.

    Images are compared by their voxels, in any storage order and scale.
    """
    for other in seen:
        if entry.images & other.images:
            return f"same image as {other.study}"
        if same_people and entry.study == other.study:
            return f"same study as {other.study}"
        if same_people and entry.patient == other.patient:
            return f"same patient as {other.study}"
        if entry.register_token and entry.register_token == other.register_token:
            return f"same patient of the register as {other.study}"
    return None


def overlaps(
    studies: Collection[ManifestEntry], others: Collection[ManifestEntry], *, same_people: bool
) -> Iterable[tuple[StudyId, str]]:
    """Each study that is among the others, and how that shows; one may come twice."""
    for entry in studies:
        if reason := trained_on(entry, others, same_people=same_people):
            yield entry.study, reason
    for entry, seen, of in likely_copies(tuple(studies), tuple(others)):
        yield entry.study, f"{of} likely copied from {seen.study}"


def declared_overlaps(studies: Iterable[ManifestEntry], card: ModelCard) -> Iterable[tuple[StudyId, str]]:
    """Each study of a patient on whom an imported model was trained, as declared; labels must mean the same people."""
    patients = {*card.declared.patients} if card.declared else set()
    for entry in studies:
        if {entry.patient, entry.patient.rpartition("/")[2]} & patients:
            yield entry.study, f"same patient as declared for the imported {card.full_name} in cohort {card.cohort}"


def _share_a_patient(studies: Iterable[ManifestEntry], seen: Iterable[ManifestEntry]) -> bool:
    images = {(image, other.patient) for other in seen for image in other.images}
    return any((image, entry.patient) in images for entry in studies for image in entry.images)
