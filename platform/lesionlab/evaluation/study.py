"""Test one study with the network of one run: predict, score, store the prediction."""

# i j k voxels of the native grid

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Literal

import torch
from torch import nn

from lesionlab.errors import MissingObject
from lesionlab.evaluation.lesionwise import Score, ScoredLesion, score
from lesionlab.evaluation.levels import Levels, levels_of
from lesionlab.evaluation.operating import operating_points
from lesionlab.evaluation.predict import model_probability, to_native
from lesionlab.experiments.caches.volumes import CachedVolume
from lesionlab.experiments.ledger import attempt_of
from lesionlab.imaging.volume import Mask, Volume, matrix_of, write_volume
from lesionlab.store.arrays import group_exists, read_array, write_group
from lesionlab.store.documents import read_card
from lesionlab.store.objects import Store
from storage_schemas.base import Digest, Slug, StudyId
from storage_schemas.definitions import MetricDefinition
from storage_schemas.keys import prediction_key
from storage_schemas.manifests import ManifestEntry
from storage_schemas.ome import OME_ATTRIBUTE, ome_image
from storage_schemas.probabilities import SCALE
from storage_schemas.results import LesionRow, OperatingRow, StudyColumns, StudyRow
from storage_schemas.runs import RunSpec
from storage_schemas.volumes import PREDICTION_ATTRIBUTE, Grid, PredictionCard


@dataclass(frozen=True)
class StudyEvaluation:
    """The result of one run on one study: the study row, one row per lesion of both masks, and the native mask.

    A network's also has the probabilities of all voxels and the counts at every threshold.
    """

    row: StudyRow
    lesions: tuple[LesionRow, ...]
    mask_ijk: Mask
    native_grid: Grid
    levels_ijk: Levels | None = None
    operating: tuple[OperatingRow, ...] = ()


@dataclass(frozen=True)
class StoredPrediction:
    """A stored prediction: its card (run, study, native grid), the native mask and, if stored, the probabilities."""

    card: PredictionCard
    mask_ijk: Mask
    levels_ijk: Levels | None = None


def evaluate_study(
    run: RunSpec,
    network: nn.Module,
    volume: CachedVolume,
    entry: ManifestEntry,
    position: int,
    device: torch.device,
) -> StudyEvaluation:
    """Predict one study and score it in native space; `position` is its place in the test subset, from 1.

    Raises ValueError for a pretraining run, which tests no studies.
    """
    return predict_study(run, network, volume, entry, position, device)()


def predict_study(
    run: RunSpec,
    network: nn.Module,
    volume: CachedVolume,
    entry: ManifestEntry,
    position: int,
    device: torch.device,
) -> Callable[[], StudyEvaluation]:
    """Pass one study through the network; return what is left to do: to native space, and score.

    That needs neither network nor device, so a thread can do it while the network has the next study.
    """
    card, started = volume.card, perf_counter()
    probability_IJK = model_probability(network, volume.image_CIJK, run.inference, run.training.patch_voxels, device)
    network_s = perf_counter() - started

    def rest() -> StudyEvaluation:
        began = perf_counter()
        prediction = to_native(probability_IJK, card.model_grid, card.native_grid, run.inference)
        inference_s = network_s + perf_counter() - began
        levels_ijk = levels_of(prediction.probability_ijk)
        return evaluate_mask(run, prediction.mask_ijk, volume, entry, position, inference_s, levels_ijk)

    return rest


def evaluate_mask(
    run: RunSpec,
    mask_ijk: Mask,
    volume: CachedVolume,
    entry: ManifestEntry,
    position: int,
    inference_s: float,
    levels_ijk: Levels | None = None,
) -> StudyEvaluation:
    """Score a mask on the study's native grid, drawn by a network or by another rater; a network has probabilities too.

    Raises ValueError for a pretraining run, ImageError if mask and reference differ in shape.
    """
    columns = StudyColumns(
        **run.columns().model_dump(),
        study=entry.study,
        patient=entry.patient,
        site=entry.site,
        position=position,
        definition=run.metric.label(),
    )
    grid = volume.card.native_grid
    reference_ijk = volume.native_label_ijk
    row, lesions = rows_of(columns, reference_ijk, mask_ijk, grid, run.metric, inference_s, levels_ijk)
    operating = operating_rows(columns, reference_ijk, levels_ijk, grid, run.metric) if levels_ijk is not None else ()
    return StudyEvaluation(row, lesions, mask_ijk, grid, levels_ijk, operating)


def rows_of(
    columns: StudyColumns,
    reference_ijk: Mask,
    mask_ijk: Mask,
    native_grid: Grid,
    definition: MetricDefinition,
    inference_s: float,
    levels_ijk: Levels | None = None,
) -> tuple[StudyRow, tuple[LesionRow, ...]]:
    """The study row and lesion rows of a mask by a metric definition. Raises ImageError if the shapes differ."""
    result = score(reference_ijk, mask_ijk, native_grid.affine, definition, levels_ijk)
    return _study_row(columns, result, inference_s), _lesion_rows(columns, result)


def operating_rows(
    columns: StudyColumns, reference_ijk: Mask, levels_ijk: Levels, native_grid: Grid, definition: MetricDefinition
) -> tuple[OperatingRow, ...]:
    """The counts of a prediction at every threshold of the fixed list, by a metric definition."""
    points = operating_points(reference_ijk, levels_ijk, native_grid.affine, definition)
    return tuple(OperatingRow(**columns.model_dump(), **asdict(point)) for point in points)


def worker_share(entries: Sequence[ManifestEntry], rank: int, world_size: int) -> tuple[ManifestEntry, ...]:
    """The studies that worker `rank` of `world_size` tests; each study belongs to exactly one worker.

    PyTorch's distributed sampler pads the shares to equal length and would test some studies twice.
    """
    return tuple(entries[rank::world_size])


def store_prediction(store: Store, evaluation: StudyEvaluation, attempt: Slug) -> None:
    """Write the predicted mask, its probabilities if there are any, and its PredictionCard as one Zarr group, in the
    folder of this attempt."""
    row, levels_ijk = evaluation.row, evaluation.levels_ijk
    card = PredictionCard(
        run_id=row.run_id,
        study=row.study,
        native_grid=evaluation.native_grid,
        scale=None if levels_ijk is None else SCALE,
    )
    write_group(
        store,
        prediction_key(row.run_id, row.study, attempt),
        {"mask": evaluation.mask_ijk} | ({} if levels_ijk is None else {"level": levels_ijk}),
        {
            PREDICTION_ATTRIBUTE: card.stored_form(),
            OME_ATTRIBUTE: ome_image(row.study, "mask", 3, card.native_grid),
        },
    )


def read_prediction(store: Store, run_id: Digest, study: StudyId, attempt: str | None = None) -> StoredPrediction:
    """The stored prediction of a run for a study. Raises MissingObject if there is none.

    `attempt` is the one that counts; by default the ledger is asked for it. Probabilities on a scale that this code
    does not know are left out.
    """
    counts = attempt_of(store, run_id) if attempt is None else attempt
    key = prediction_key(run_id, study, counts)
    if not group_exists(store, key):
        raise MissingObject(f"{study}: run {run_id} stored no prediction under {key}; evaluate the run again")
    card = read_card(store, key, PREDICTION_ATTRIBUTE, PredictionCard)
    levels_ijk = read_array(store, key, "level") if card.scale == SCALE else None
    return StoredPrediction(card, read_array(store, key, "mask"), levels_ijk)


def export_prediction(path: Path, mask_ijk: Mask, native_grid: Grid) -> None:
    """Write a predicted mask as NIfTI on the native grid."""
    write_volume(path, Volume(mask_ijk, matrix_of(native_grid)))


def _study_row(columns: StudyColumns, result: Score, inference_s: float) -> StudyRow:
    return StudyRow(
        **columns.model_dump(),
        reference_lesions=len(result.reference),
        predicted_lesions=len(result.prediction),
        true_positives=result.true_positives,
        false_positives=result.false_positives,
        sensitivity=result.sensitivity,
        ppv=result.ppv,
        f1=result.f1,
        dice=result.dice,
        assd_mm=None if result.surface is None else result.surface.average_mm,
        hd95_mm=None if result.surface is None else result.surface.hausdorff95_mm,
        reference_ml=result.reference_ml,
        predicted_ml=result.predicted_ml,
        inference_s=inference_s,
    )


def _lesion_rows(columns: StudyColumns, result: Score) -> tuple[LesionRow, ...]:
    reference = [_lesion_row(columns, "reference", lesion) for lesion in result.reference]
    prediction = [_lesion_row(columns, "prediction", lesion) for lesion in result.prediction]
    return (*reference, *prediction)


def _lesion_row(columns: StudyColumns, side: Literal["reference", "prediction"], lesion: ScoredLesion) -> LesionRow:
    x_mm, y_mm, z_mm = lesion.centroid_mm
    return LesionRow(
        **columns.model_dump(),
        side=side,
        lesion=lesion.lesion,
        outcome=lesion.outcome,
        volume_mm3=lesion.volume_mm3,
        x_mm=x_mm,
        y_mm=y_mm,
        z_mm=z_mm,
        overlap=lesion.overlap,
        matched=lesion.matched,
        peak=lesion.peak,
    )
