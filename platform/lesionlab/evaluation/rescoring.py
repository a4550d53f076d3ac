"""Score the stored predictions of finished runs by other metric definitions.

This trains and predicts nothing, and keeps the run's own rows. The new rows are stored under the digest of their
definition and the result version of evaluation.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lesionlab.evaluation.study import read_prediction, rows_of
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
    left = [by for by in definitions if not store.exists(_key(keys.RESCORED_STUDY_ROWS, run, by))]
    if not left:
        return
    studies: dict[Digest, list[StudyRow]] = {by.version(): [] for by in left}
    lesions: dict[Digest, list[LesionRow]] = {by.version(): [] for by in left}
    volumes = {entry.study: entry.volume for entry in run.test}
    for row in own_rows(store, [run]):
        volume = keys.STUDY_VOLUME.build(site=row.site, study=row.study, digest=volumes[row.study])
        reference_ijk = read_array(store, volume, "native_label")
        prediction = read_prediction(store, run.run_id, row.study)
        for by in left:
            columns = _columns(row, by)
            grid = prediction.card.native_grid
            counted = rows_of(columns, reference_ijk, prediction.mask_ijk, grid, by, row.inference_s)
            studies[by.version()].append(counted[0])
            lesions[by.version()].extend(counted[1])
    for by in left:
        write_rows(store, _key(keys.RESCORED_LESION_ROWS, run, by), lesions[by.version()], LesionRow)
        # Written last: the study rows mark a run as scored.
        write_rows(store, _key(keys.RESCORED_STUDY_ROWS, run, by), studies[by.version()], StudyRow)


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
