"""Grade a registered model by itself: insert lesions into studies that it has not seen, and count which it detects.

Here simulation and evaluation meet.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import nn

from lesionlab.errors import InputError
from lesionlab.evaluation.lesionwise import score
from lesionlab.evaluation.predict import predict_native
from lesionlab.evaluation.registered_network import registered_network
from lesionlab.experiments.benchmarks import Frozen, refuse_looks, volume_place
from lesionlab.experiments.caches.volumes import CachedVolume, open_cached
from lesionlab.experiments.planning import testing_run
from lesionlab.experiments.registry import source_model
from lesionlab.experiments.seen import seen_in_training
from lesionlab.imaging.resample import resample_mask
from lesionlab.imaging.volume import Mask
from lesionlab.model.devices import best_device
from lesionlab.simulation.insertion import Inserted, insert_lesions
from lesionlab.store.objects import Store
from lesionlab.store.tables import read_rows, write_rows
from storage_schemas import keys
from storage_schemas.base import StudyId
from storage_schemas.definitions import MetricDefinition
from storage_schemas.grading import InsertedLesion
from storage_schemas.manifests import Manifest, ManifestEntry
from storage_schemas.models import ModelCard
from storage_schemas.tasks import TASKS, Task, same_task

NO_ROOM = "no lesion-free room for an inserted lesion"


@dataclass(frozen=True)
class Graded:
    """The rows of a self-grading, and why studies are not in it."""

    rows: tuple[InsertedLesion, ...]
    refused: Mapping[StudyId, str]


def grade(store: Store, card: ModelCard, manifest: Manifest, cache: Path) -> Graded:
    """Grade a model on the studies of a cohort; what was graded before is read.

    Studies that it, or a model that it was fine-tuned from, was trained on are refused, and studies without room.
    Raises InputError if no study is left, or if the cohort holds studies of a benchmark.
    """
    refuse_looks(store, manifest)
    seen = seen_in_training(manifest, source_model(store, card)).reasons
    refused = {study: f"it was trained on: {reason}" for study, reason in seen.items()}
    left = [entry for entry in manifest.studies if entry.study not in refused]
    key = keys.SELF_GRADE.build(name=card.name, version=card.version, manifest=manifest.id)
    rows = _rows(store, key, card, manifest, left, cache, MetricDefinition()) if left else ()
    graded = {row.study for row in rows}
    refused |= {entry.study: NO_ROOM for entry in left if entry.study not in graded}
    if not rows:
        told = "; ".join(f"{study}: {why}" for study, why in sorted(refused.items()))
        raise InputError(
            f"model {card.full_name}: wanted a study of cohort {manifest.cohort} that it can be graded on, found none: "
            f"{told}"
        )
    return Graded(rows, refused)


def benchmark_grades(store: Store, frozen: Frozen, card: ModelCard, cache: Path) -> tuple[InsertedLesion, ...]:
    """A model's self-grading on a benchmark, for the gate: the stored one, or a new one."""
    key = keys.GATE_GRADES.build(benchmark=frozen.benchmark.id, version=card.version)
    return _rows(
        store, key, card, frozen.manifest, frozen.manifest.studies, cache, frozen.benchmark.metric, frozen=True
    )


def _rows(
    store: Store,
    key: str,
    card: ModelCard,
    manifest: Manifest,
    entries: Sequence[ManifestEntry],
    cache: Path,
    definition: MetricDefinition,
    *,
    frozen: bool = False,
) -> tuple[InsertedLesion, ...]:
    def opened(entry: ManifestEntry) -> CachedVolume:
        return open_cached(store, entry, cache, volume_place(store, entry) if frozen else "")

    if not store.exists(key):
        testing_run(card, manifest)  # refuses a model of another task, spacing or stripping
        network, _ = registered_network(store, card.full_name)
        found = [
            row for entry in entries for row in grade_study(network, card, manifest, opened(entry), entry, definition)
        ]
        write_rows(store, key, found, InsertedLesion)
    return tuple(read_rows(store, [key], InsertedLesion))


def grade_study(
    network: nn.Module,
    card: ModelCard,
    manifest: Manifest,
    volume: CachedVolume,
    entry: ManifestEntry,
    definition: MetricDefinition,
) -> Iterator[InsertedLesion]:
    """Predict a study as it is and with inserted lesions; one row for each lesion. None if there is no room.

    A lesion that the definition does not count, because it is too small on this grid, is left out.
    """
    channel = lesion_channel(card.task)
    place = card.channels.index(channel)
    grid, native = volume.card.model_grid, volume.card.native_grid
    rng = np.random.default_rng(int(entry.image_sha256, 16))  # the same lesions for every model
    insertion = insert_lesions(volume.image_CIJK[place], volume.label_IJK, np.array(grid.affine), rng)
    if not insertion.lesions:
        return
    image_CIJK = np.array(volume.image_CIJK, dtype=np.float16)
    image_CIJK[place] = insertion.image_IJK.astype(np.float16)
    before, after = (
        predict_native(network, image, grid, native, card.inference, card.patch_voxels, best_device()).mask_ijk
        for image in (np.asarray(volume.image_CIJK), image_CIJK)
    )
    inserted_ijk = resample_mask(insertion.mask_IJK.astype(np.uint8), grid, native)
    hits = [_hits(inserted_ijk, mask_ijk, np.array(native.affine), definition) for mask_ijk in (before, after)]
    for lesion in insertion.lesions:
        number = _nearest(lesion, hits[1])
        if number is None:
            continue
        x, y, z = lesion.centre_mm
        yield InsertedLesion(
            model=card.name,
            version=card.version,
            cohort=manifest.cohort,
            manifest=manifest.id,
            study=entry.study,
            patient=entry.patient,
            site=entry.site,
            channel=channel,
            definition=definition.label(),
            diameter_mm=lesion.diameter_mm,
            contrast=lesion.contrast,
            height=lesion.height,
            region=lesion.region,
            x_mm=x,
            y_mm=y,
            z_mm=z,
            detected=hits[1][number][1],
            marked_before=hits[0][number][1],
        )


Hit = tuple[tuple[float, float, float], bool]
"""Centroid of an inserted lesion, and whether a prediction hits it."""


def _hits(inserted_ijk: Mask, mask_ijk: Mask, affine: np.ndarray, definition: MetricDefinition) -> list[Hit]:
    """Of each inserted lesion, in one order for every prediction."""
    reference = score(inserted_ijk, mask_ijk, affine, definition).reference
    return [(lesion.centroid_mm, lesion.outcome == "true-positive") for lesion in reference]


def _nearest(lesion: Inserted, hits: Sequence[Hit]) -> int | None:
    """The lesion of the native mask that is this one: its centre lies within it."""
    apart = [float(np.linalg.norm(np.subtract(centre, lesion.centre_mm))) for centre, _ in hits]
    if not apart or min(apart) > lesion.diameter_mm / 2 + 4.0:  # GAP_MM keeps all others further away
        return None
    return int(np.argmin(apart))


def lesion_channel(task: Task) -> str:
    """The channel in which a lesion is bright: the only one or, of the built-in tasks of two images, the later image.

    Raises InputError for another task of several channels.
    """
    names = task.channel_names
    if len(names) > 1 and not (task.name in TASKS and same_task(TASKS[task.name], task)):
        raise InputError(
            f"task {task.name}: wanted one channel to insert lesions into, found {', '.join(names)}: nobody says how a "
            "lesion looks in each"
        )
    return names[-1]
