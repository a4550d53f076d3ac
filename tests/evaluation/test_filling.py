"""Results of before surfaces were measured get surface distances from stored predictions; no other number moves."""

from __future__ import annotations

import io

import fastparquet
import numpy as np
import pytest

from lesionlab.errors import MissingObject, StoreError
from lesionlab.evaluation.rescoring import Scoring, fill_run, own_rows, rescore_run, rescored_rows
from lesionlab.evaluation.study import rows_of
from lesionlab.experiments.publishing import publish
from lesionlab.store.arrays import write_group
from lesionlab.store.objects import Store, open_store
from lesionlab.store.tables import read_rows, write_rows
from storage_schemas import keys
from storage_schemas.definitions import DEFINITIONS
from storage_schemas.results import LesionRow, StudyColumns, StudyRow
from storage_schemas.runs import Cell, RunSpec
from storage_schemas.volumes import ATTRIBUTE, PREDICTION_ATTRIBUTE, PredictionCard
from tests.training.drawn import draw_study, make_run

ADDED = {"f1", "assd_mm", "hd95_mm"}


@pytest.fixture
def store() -> Store:
    return open_store("memory://")


@pytest.fixture
def run(store: Store) -> RunSpec:
    """A tested run of this version, with its prediction: the reference, shifted by a voxel."""
    study = draw_study(1)
    reference_ijk = study.label_IJK
    run = make_run([study]).changed(
        train=(), test=(study.entry,), cell=Cell(arm="default", source="glioma", training_size=0, fold=1, seed=0)
    )
    volume = study.entry.volume_key
    write_group(store, volume, {"native_label": reference_ijk}, {ATTRIBUTE: study.card.stored_form()})
    mask_ijk = np.roll(reference_ijk, 1, axis=0)
    columns = StudyColumns(
        **run.columns().model_dump(),
        **{name: getattr(study.entry, name) for name in ("study", "patient", "site")},
        position=1,
        definition=run.metric.label(),
    )
    row, lesions = rows_of(columns, reference_ijk, mask_ijk, study.card.native_grid, run.metric, inference_s=3.5)
    write_rows(store, keys.RUN_STUDY_ROWS.build(run_id=run.run_id), [row], StudyRow)
    write_rows(store, keys.RUN_LESION_ROWS.build(run_id=run.run_id), lesions, LesionRow)
    store_mask(store, run, mask_ijk)
    publish(store, run)
    return run


def store_mask(store: Store, run: RunSpec, mask_ijk: np.ndarray) -> None:
    card = PredictionCard(run_id=run.run_id, study=run.test[0].study, native_grid=draw_study(1).card.native_grid)
    key = keys.PREDICTION.build(run_id=run.run_id, study=run.test[0].study)
    write_group(store, key, {"mask": mask_ijk}, {PREDICTION_ATTRIBUTE: card.stored_form()})


def make_older(store: Store, key: str) -> None:
    """Write a table as before the columns were there: they are absent from the file."""
    frame = fastparquet.ParquetFile(io.BytesIO(store.get(key))).to_pandas().drop(columns=list(ADDED))
    kept = io.BytesIO()
    kept.close = lambda: None  # type: ignore[method-assign]
    fastparquet.write(key, frame, open_with=lambda *_: kept, write_index=False)
    store.put(key, kept.getvalue())


@pytest.fixture
def older(store: Store, run: RunSpec) -> RunSpec:
    place = {"experiment": run.experiment, "run_id": run.run_id}
    for key in (keys.RUN_STUDY_ROWS.build(run_id=run.run_id), keys.STUDY_ROWS.build(**place)):
        make_older(store, key)
    return run


def test_rows_without_the_columns_are_read_and_their_f1_follows_from_sensitivity_and_ppv(store, run):
    (before,) = own_rows(store, [run])
    make_older(store, keys.STUDY_ROWS.build(experiment=run.experiment, run_id=run.run_id))
    (row,) = own_rows(store, [run])
    assert (row.f1, row.assd_mm, row.hd95_mm) == (None, None, None)
    assert row.lacks_surface
    assert row.measured("f1") == before.f1 == before.measured("f1")
    assert row.measured("assd_mm") is None


def test_filling_gives_the_row_that_this_version_writes(store, run):
    (wanted,) = own_rows(store, [run])
    lesions = store.get(keys.RUN_LESION_ROWS.build(run_id=run.run_id))
    for key in (
        keys.RUN_STUDY_ROWS.build(run_id=run.run_id),
        keys.STUDY_ROWS.build(experiment=run.experiment, run_id=run.run_id),
    ):
        make_older(store, key)
    assert fill_run(store, run)
    assert own_rows(store, [run]) == [wanted]
    assert read_rows(store, [keys.RUN_STUDY_ROWS.build(run_id=run.run_id)], StudyRow) == [wanted]
    assert wanted.assd_mm > 0
    assert store.get(keys.RUN_LESION_ROWS.build(run_id=run.run_id)) == lesions
    assert not fill_run(store, run)


def test_another_experiment_that_shares_the_run_is_filled_without_scoring_again(store, older):
    shared = older.model_copy(update={"experiment": "other"})
    publish(store, shared)
    fill_run(store, older)
    (entry,) = older.test
    store.delete_prefix(keys.PREDICTION.build(run_id=older.run_id, study=entry.study))
    assert fill_run(store, shared)
    assert own_rows(store, [shared])[0].experiment == "other"
    assert own_rows(store, [shared])[0].assd_mm == own_rows(store, [older])[0].assd_mm > 0


def test_a_prediction_that_does_not_give_the_stored_numbers_adds_nothing(store, older):
    before = {key: store.get(key) for key in store.list("") if key.endswith(".parquet")}
    store_mask(store, older, draw_study(1).label_IJK)
    with pytest.raises(StoreError, match=r"gives other numbers than its row \(.*dice: wanted .*nothing was added"):
        fill_run(store, older)
    assert {key: store.get(key) for key in before} == before


def test_without_the_prediction_nothing_is_lost(store, older):
    before = own_rows(store, [older])
    store.delete_prefix(keys.PREDICTION.build(run_id=older.run_id, study=older.test[0].study))
    with pytest.raises(MissingObject, match="stored no prediction"):
        fill_run(store, older)
    assert own_rows(store, [older]) == before


def test_rows_by_another_definition_are_scored_again_if_they_lack_the_columns(store, run):
    by = Scoring(DEFINITIONS["msseg-2"])
    rescore_run(store, run, [by])
    wanted = rescored_rows(store, [run], by)
    (key,) = (key for key in store.list("rescored/") if "/studies/" in key)
    make_older(store, key)
    rescore_run(store, run, [by])
    assert rescored_rows(store, [run], by) == wanted
