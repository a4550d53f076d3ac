"""Score the stored predictions of finished runs again: by other metric definitions, at another threshold, or to fill
columns of older rows.

This trains and predicts nothing. Rows of another scoring are stored under the digest of its definition, its threshold
and the result version of evaluation; the run's own rows keep every number that they have.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import isclose

from lesionlab.errors import InputError, StoreError
from lesionlab.evaluation.levels import mask_at
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


@dataclass(frozen=True)
class Scoring:
    """How predictions are scored: by which definition, and at which threshold of their probabilities."""

    definition: MetricDefinition
    threshold: float | None = None
    """An edge of the stored scale. None: the masks as they were predicted; a rater's masks have no other."""

    @property
    def name(self) -> str:
        """`paper`, `paper at 0.3`."""
        return self.definition.name + self._at(" at ")

    @property
    def label(self) -> str:
        """The definition in rows: `paper@58d0…`, `paper@58d0… at 0.3`."""
        return self.definition.label() + self._at(" at ")

    @property
    def key(self) -> str:
        """Names the scoring in object keys and file names: `58d0…`, `58d0…-at-0.3`."""
        return self.definition.version() + self._at("-at-")

    def _at(self, joint: str) -> str:
        return "" if self.threshold is None else f"{joint}{self.threshold:g}"


def rescore_run(store: Store, run: RunSpec, scorings: Iterable[Scoring]) -> None:
    """Score the predictions of a finished run in every way that it was not yet scored in.

    Raises MissingObject if the run's rows, a prediction or a study volume is missing, and InputError if a prediction
    without probabilities is to be scored at another threshold.
    """
    left = [by for by in scorings if not _is_scored(store, run, by)]
    if not left:
        return
    studies: dict[Scoring, list[StudyRow]] = {by: [] for by in left}
    lesions: dict[Scoring, list[LesionRow]] = {by: [] for by in left}
    volumes, attempt = {entry.study: entry.volume for entry in run.test}, attempt_of(store, run.run_id)
    for row in own_rows(store, [run]):
        masks = _read_masks(store, run, row, volumes[row.study], attempt)
        for by in left:
            counted = _scored(masks, row, by)
            studies[by].append(counted[0])
            lesions[by].extend(counted[1])
    for by in left:
        write_rows(store, _key(keys.RESCORED_LESION_ROWS, run, by), lesions[by], LesionRow)
        # Written last: the study rows mark a run as scored.
        write_rows(store, _key(keys.RESCORED_STUDY_ROWS, run, by), studies[by], StudyRow)


def fill_run(store: Store, run: RunSpec) -> bool:
    """Add surface distances to the rows of a finished run that was tested before they were measured.

    No other number of a row changes. Returns whether something was added. Raises MissingObject if a prediction or a
    study volume is missing, StoreError if a stored prediction does not give the numbers of its row: then nothing is
    written.
    """
    if run.cell is None or not any(row.lacks_surface for row in own_rows(store, [run])):
        return False
    attempt = attempt_of(store, run.run_id)
    key = keys.RUN_STUDY_ROWS.of(attempt).build(run_id=run.run_id)
    volumes = {entry.study: entry.volume for entry in run.test}
    filled = [_filled(store, run, row, volumes[row.study], attempt) for row in read_rows(store, [key], StudyRow)]
    write_rows(store, key, filled, StudyRow)
    publish(store, run)
    return True


def _filled(store: Store, run: RunSpec, row: StudyRow, volume: Digest, attempt: str) -> StudyRow:
    if not row.lacks_surface:
        return row
    found, _ = _scored(_read_masks(store, run, row, volume, attempt), row, Scoring(run.metric))
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


def _read_masks(store: Store, run: RunSpec, row: StudyRow, volume: Digest, attempt: str) -> Masks:
    key = keys.volume_key(row.site, row.study, volume)
    return read_array(store, key, "native_label"), read_prediction(store, run.run_id, row.study, attempt)


def _scored(masks: Masks, row: StudyRow, by: Scoring) -> tuple[StudyRow, tuple[LesionRow, ...]]:
    reference_ijk, prediction = masks
    grid, mask_ijk = prediction.card.native_grid, _mask(prediction, by, row)
    columns, definition = _columns(row, by), by.definition
    return rows_of(columns, reference_ijk, mask_ijk, grid, definition, row.inference_s, prediction.levels_ijk)


def _is_scored(store: Store, run: RunSpec, by: Scoring) -> bool:
    """Whether it has rows of this scoring, with all columns of today."""
    key = _key(keys.RESCORED_STUDY_ROWS, run, by)
    return store.exists(key) and not any(row.lacks_surface for row in read_rows(store, [key], StudyRow))


def own_rows(store: Store, runs: Sequence[RunSpec]) -> list[StudyRow]:
    """The study rows of the runs by their own definition."""
    parts = [keys.STUDY_ROWS.build(experiment=run.experiment, run_id=run.run_id) for run in runs]
    return read_rows(store, parts, StudyRow)


def rescored_rows(store: Store, runs: Sequence[RunSpec], by: Scoring) -> list[StudyRow]:
    """The study rows of the runs scored in another way; call `rescore_run` first."""
    return read_rows(store, [_key(keys.RESCORED_STUDY_ROWS, run, by) for run in runs], StudyRow)


def rescored_lesions(store: Store, run: RunSpec, by: Scoring) -> list[LesionRow]:
    """The lesion rows of a run scored in another way; call `rescore_run` first."""
    return read_rows(store, [_key(keys.RESCORED_LESION_ROWS, run, by)], LesionRow)


def _mask(prediction: StoredPrediction, by: Scoring, row: StudyRow) -> Mask:
    if by.threshold is None or row.arm == "rater":
        return prediction.mask_ijk
    if prediction.levels_ijk is None:
        raise InputError(
            f"{row.study}: run {row.run_id} stored its mask without probabilities (an earlier version made it), so it "
            f"cannot be thresholded at {by.threshold:g}; rescore it without --threshold, or train the cell again in "
            "another store"
        )
    return mask_at(prediction.levels_ijk, by.threshold)


def _key(pattern: KeyPattern, run: RunSpec, by: Scoring) -> str:
    return pattern.build(
        experiment=run.experiment, definition=by.key, version=str(CURRENT.evaluation), run_id=run.run_id
    )


def _columns(row: StudyRow, by: Scoring) -> StudyColumns:
    same = row.model_dump(include=set(StudyColumns.model_fields))
    return StudyColumns.model_validate(same | {"definition": by.label})
