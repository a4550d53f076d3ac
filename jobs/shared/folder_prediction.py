"""Segment every scan of a folder or a BIDS dataset into a BIDS-derivatives dataset; what is done is not done again."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from jobs.shared.console import console, notes
from jobs.shared.image_arguments import read_images
from jobs.shared.progress import steps
from lesionlab.atomic import write_atomically
from lesionlab.errors import InputError, LesionlabError, StudyRefused
from lesionlab.evaluation.derivatives import Maker, Prediction, PredictionDataset, bids_label
from lesionlab.imaging.volume import Matrix, Volume
from lesionlab.orchestration.segmentation import Segmented, segment
from lesionlab.preprocessing.layouts.unlabelled import Scan, find_scans
from lesionlab.preprocessing.unlike import unlike_notes
from storage_schemas.cohorts import Stripper
from storage_schemas.models import ModelCard


@dataclass(frozen=True)
class PredictOptions:
    """What the user chose for all scans."""

    threshold: float | None
    registered: bool
    accepted: bool
    probability: bool
    force: bool
    strip: Stripper | None
    transforms: Mapping[str, Matrix] = field(default_factory=dict)
    """The user's own registrations of one study, by the role of the moving image."""

    def segment(self, images: Mapping[str, Volume], network: nn.Module, card: ModelCard) -> Segmented:
        """Segment the images of one scan. Raises StudyRefused."""
        return segment(
            images,
            network,
            card,
            threshold=self.threshold,
            registered=self.registered,
            transforms=self.transforms,
            accepted=self.accepted,
            strip=self.strip,
        )


def predict_folder(root: Path, out: Path, network: nn.Module, card: ModelCard, options: PredictOptions) -> None:
    """Predict the scans that are not done; write the tables; raise InputError at the end that names every bad scan."""
    found = find_scans(root, card.task, outputs=out)
    for note in found.notes:
        notes.print(note, style="yellow")
    dataset = PredictionDataset(out, f"Predicted lesions of {root.resolve().name}", os.path.relpath(root, out))
    maker = Maker(card.full_name, bids_label(card.name), {"model": card.name, "version": card.version})
    faults, done = dict(found.faults), 0
    try:
        with steps("predicting") as step:
            step(0, len(found.scans), "")
            for place, scan in enumerate(found.scans, start=1):
                try:
                    done += _predict_scan(scan, root, dataset, maker, network, card, options)
                except LesionlabError as error:
                    faults[scan.study] = tuple(map(str, error.args))
                except Exception as error:  # one bad scan does not stop the others, whatever it is
                    faults[scan.study] = (f"could not be predicted ({type(error).__name__}: {error})",)
                step(place, len(found.scans), scan.study)
    finally:
        dataset.write_tables([maker])
    before = len([scan for scan in found.scans if scan.study not in faults]) - done
    console.print(f"{out}: {done} scans predicted by {card.full_name}, {before} done before, {len(faults)} failed")
    if faults:
        listed = [f"{study}: {fault}" for study, own in sorted(faults.items()) for fault in own]
        raise InputError(*listed, f"{len(faults)} scans failed; correct them and run it again, the others are done")


def _predict_scan(
    scan: Scan,
    root: Path,
    dataset: PredictionDataset,
    maker: Maker,
    network: nn.Module,
    card: ModelCard,
    options: PredictOptions,
) -> bool:
    """Predict one scan and write all its files; False if that was done before. Raises InputError."""
    task = card.task
    settings = _settings(scan, card, options)
    if not options.force and _is_done(scan, dataset, maker, task.label, settings, options):
        return False
    images = dict(read_images([*scan.images.items()]))
    try:
        result = options.segment(images, network, card)
    except StudyRefused as refusal:
        _save_pictures(dataset, scan, refusal.pictures)
        raise
    _save_pictures(dataset, scan, dict(result.prepared.pictures) | {f"desc-{maker.desc}": result.picture()})
    unlike = [
        f"{role}: {note}"
        for role, image in images.items()
        for note in unlike_notes(
            scan.images[role].name, image, task.scan(role), card.strip, stripping=options.strip is not None
        )
    ]
    prediction = _prediction(scan, root, card, result, settings, unlike)
    dataset.write(maker, prediction, probability=options.probability)
    return True


def _prediction(
    scan: Scan, root: Path, card: ModelCard, result: Segmented, settings: Mapping[str, Any], unlike: Sequence[str]
) -> Prediction:
    task = card.task
    return Prediction(
        stem=scan.stem,
        study=scan.study,
        label=task.label,
        threshold=settings["threshold"],
        native=result.native,
        mask_ijk=result.prediction.mask_ijk,
        probability_ijk=result.prediction.probability_ijk,
        sources={role: path.relative_to(root).as_posix() for role, path in scan.images.items()},
        reference=task.native,
        settings=settings,
        notes=(*unlike, *(finding.text() for finding in result.prepared.findings)),
    )


def _settings(scan: Scan, card: ModelCard, options: PredictOptions) -> dict[str, Any]:
    """Everything that decides the prediction: a scan is done if it was predicted with the same."""
    return {
        "model": card.full_name,
        "weights_sha256": card.weights_sha256,
        "threshold": card.inference.threshold if options.threshold is None else options.threshold,
        "registered": options.registered,
        "strip": options.strip,
        "images_sha256": {role: _sha256(path) for role, path in scan.images.items()},
    }


def _is_done(
    scan: Scan,
    dataset: PredictionDataset,
    maker: Maker,
    label: str,
    settings: Mapping[str, Any],
    options: PredictOptions,
) -> bool:
    """Whether this very prediction is there. Raises InputError if one by other settings is."""
    known = dataset.sidecar(scan.stem, label, maker)
    if known is None:
        return False
    before = known.get("Settings", {})
    chosen = [key for key in settings if key != "images_sha256"]
    if differing := [key for key in chosen if before.get(key) != settings[key]]:
        found = ", ".join(f"{key} {before.get(key)}" for key in differing)
        raise InputError(f"predicted before with {found}; choose another folder, or predict it again with --force")
    complete = not options.probability or dataset.probability_path(scan.stem, label, maker).is_file()
    return complete and before.get("images_sha256") == settings["images_sha256"]


def _save_pictures(dataset: PredictionDataset, scan: Scan, pictures: Mapping[str, bytes]) -> None:
    for what, png in pictures.items():
        path = dataset.picture_path(scan.stem, what)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, png)


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); give read permission") from error
