"""Score the stored predictions of finished runs again: by other metric definitions, or to fill columns of older rows.

This trains and predicts nothing. Rows by another definition are stored under its digest and the result version of
evaluation; the run's own rows keep every number that they have.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import isclose

from lesionlab.errors import StoreError
from lesionlab.evaluation.study import StoredPrediction, read_prediction, rows_of
from lesionlab.experiments.ledger import attempt_of
from lesionlab.experiments.publishing import publish
from lesionlab.imaging.volume import Mask
from lesionlab.store.arrays import read_array
from lesionlab.store.objects import Store
from lesionlab.store.tables import read_rows, write_rows
from storage_schemas import keys
from storage_schemas.base import Digest
from storage_schemas.definitions import MetricDefinition
from storage_schemas.keys import KeyPattern
from storage_schemas.results import LesionRow, StudyColumns, StudyRow
from storage_schemas.runs import RunSpec
from storage_schemas.versions import CURRENT


def rescore_run(store: Store, run: RunSpec, definitions: Iterable[MetricDefinition]) -> None:
    """Score the predictions of a finished run by every definition that it was not yet scored by.

    Raises MissingObject if the run's rows, a prediction or a study volume is missing.
    """
    left = [by for by in definitions if not _is_scored(store, run, by)]
    if not left:
        return
    studies: dict[Digest, list[StudyRow]] = {by.version(): [] for by in left}
    lesions: dict[Digest, list[LesionRow]] = {by.version(): [] for by in left}
    volumes = {entry.study: entry.volume for entry in run.test}
    for row in own_rows(store, [run]):
        masks = _read_masks(store, run, row, volumes[row.study])
        for by in left:
            counted = _scored(masks, row, by)
            studies[by.version()].append(counted[0])
            lesions[by.version()].extend(counted[1])
    for by in left:
        write_rows(store, _key(keys.RESCORED_LESION_ROWS, run, by), lesions[by.version()], LesionRow)
        # Written last: the study rows mark a run as scored.
        write_rows(store, _key(keys.RESCORED_STUDY_ROWS, run, by), studies[by.version()], StudyRow)


def fill_run(store: Store, run: RunSpec) -> bool:
    """Add surface distances to the rows of a finished run that was tested before they were measured.

    No other number of a row changes. Returns whether something was added. Raises MissingObject if a prediction or a
    study volume is missing, StoreError if a stored prediction does not give the numbers of its row: then nothing is
    written.
    """
    if run.cell is None or not any(row.lacks_surface for row in own_rows(store, [run])):
        return False
    key = keys.RUN_STUDY_ROWS.of(attempt_of(store, run.run_id)).build(run_id=run.run_id)
    volumes = {entry.study: entry.volume for entry in run.test}
    filled = [_filled(store, run, row, volumes[row.study]) for row in read_rows(store, [key], StudyRow)]
    write_rows(store, key, filled, StudyRow)
    publish(store, run)
    return True


def _filled(store: Store, run: RunSpec, row: StudyRow, volume: Digest) -> StudyRow:
    if not row.lacks_surface:
        return row
    found, _ = _scored(_read_masks(store, run, row, volume), row, run.metric)
    new = ("f1", "assd_mm", "hd95_mm")
    filled = row.model_copy(update={name: getattr(found, name) for name in new})
    changed = [name for name in _NUMBERS if not _is_close(getattr(found, name), getattr(row, name))]
    if changed:
        raise StoreError(
            f"{row.study}: the stored prediction of run {run.run_id} gives other numbers than its row "
            f"({', '.join(f'{name}: wanted {getattr(row, name)}, found {getattr(found, name)}' for name in changed)}); "
            "nothing was added to this run"
        )
    return filled


_NUMBERS = (
    *("reference_lesions", "predicted_lesions", "true_positives", "false_positives", "sensitivity", "ppv", "dice"),
    *("reference_ml", "predicted_ml"),
)


def _is_close(found: float | None, stored: float | None) -> bool:
    if found is None or stored is None:
        return found is stored
    return isclose(found, stored, rel_tol=1e-9)


Masks = tuple[Mask, StoredPrediction]


def _read_masks(store: Store, run: RunSpec, row: StudyRow, volume: Digest) -> Masks:
    key = keys.STUDY_VOLUME.build(site=row.site, study=row.study, digest=volume)
    return read_array(store, key, "native_label"), read_prediction(store, run.run_id, row.study)


def _scored(masks: Masks, row: StudyRow, by: MetricDefinition) -> tuple[StudyRow, tuple[LesionRow, ...]]:
    reference_ijk, prediction = masks
    grid = prediction.card.native_grid
    return rows_of(_columns(row, by), reference_ijk, prediction.mask_ijk, grid, by, row.inference_s)


def _is_scored(store: Store, run: RunSpec, by: MetricDefinition) -> bool:
    """Whether it has rows by this definition, with all columns of today."""
    key = _key(keys.RESCORED_STUDY_ROWS, run, by)
    return store.exists(key) and not any(row.lacks_surface for row in read_rows(store, [key], StudyRow))


def own_rows(store: Store, runs: Sequence[RunSpec]) -> list[StudyRow]:
    """The study rows of the runs by their own definition."""
    parts = [keys.STUDY_ROWS.build(experiment=run.experiment, run_id=run.run_id) for run in runs]
    return read_rows(store, parts, StudyRow)


def rescored_rows(store: Store, runs: Sequence[RunSpec], by: MetricDefinition) -> list[StudyRow]:
    """The study rows of the runs by another definition; call `rescore_run` first."""
    return read_rows(store, [_key(keys.RESCORED_STUDY_ROWS, run, by) for run in runs], StudyRow)


def _key(pattern: KeyPattern, run: RunSpec, by: MetricDefinition) -> str:
    return pattern.build(
        experiment=run.experiment, definition=by.version(), version=str(CURRENT.evaluation), run_id=run.run_id
    )


def _columns(row: StudyRow, by: MetricDefinition) -> StudyColumns:
    same = row.model_dump(include=set(StudyColumns.model_fields))
    return StudyColumns.model_validate(same | {"definition": by.label()})
