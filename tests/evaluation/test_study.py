"""A stored study with drawn lesions gets the right rows and a stored prediction."""

import nibabel as nib
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lesionlab.errors import MissingObject
from lesionlab.evaluation.study import (
    evaluate_mask,
    evaluate_study,
    export_prediction,
    read_prediction,
    store_prediction,
    worker_share,
)
from lesionlab.experiments.caches.volumes import open_cached
from lesionlab.imaging.resample import model_grid, resample_linear, resample_mask
from lesionlab.imaging.volume import read_mask
from lesionlab.store.arrays import write_group
from lesionlab.store.objects import open_store
from storage_schemas.definitions import DEFINITIONS, MetricDefinition
from storage_schemas.manifests import ManifestEntry
from storage_schemas.models import Architecture, InferenceConfig
from storage_schemas.runs import Cell, RunSpec, TrainingConfig
from storage_schemas.tasks import TASKS
from storage_schemas.versions import CURRENT
from storage_schemas.volumes import ATTRIBUTE, Normalisation, SourceImage, StudyVolumeCard

CPU = torch.device("cpu")
DIGEST, SHA256 = "0" * 16, "0" * 64
BRIGHT, DIM = 1.0, 0.3
FOUND, MISSED, SPURIOUS = np.s_[5:9, 6:11, 2:4], np.s_[20:26, 30:34, 5:8], np.s_[36:41, 12:18, 8:10]

ENTRY = ManifestEntry(
    study="sub-07_ses-01",
    patient="07",
    site="ljubljana",
    volume=DIGEST,
    image_sha256=SHA256,
    lesions=2,
    lesion_volume_ml=0.36,
)

RUN = RunSpec.named(
    experiment="drawn",
    task=TASKS["flair-single"],
    channels=("flair",),
    spacing_mm=1.0,
    cell=Cell(arm="fine-tuned", source="glioma", training_size=10, fold=2, seed=0),
    cohort="ms",
    manifest="0" * 16,
    train=(),
    test=(ENTRY,),
    parent=None,
    architecture=Architecture(depth=3),
    training=TrainingConfig(patch_voxels=16),
    inference=InferenceConfig(step_voxels=16),
    metric=MetricDefinition(),
    seed=0,
    versions=CURRENT,
)


@pytest.fixture
def store():
    return open_store("memory://")


@pytest.fixture
def volume(store, tmp_path, oblique_thick_slices):
    """Two reference lesions, one of them too dim for the network, and a bright spot that is not a lesion."""
    native = oblique_thick_slices
    image_ijk, reference_ijk = np.zeros(native.shape, np.float32), np.zeros(native.shape, np.uint8)
    image_ijk[FOUND], image_ijk[MISSED], image_ijk[SPURIOUS] = BRIGHT, DIM, BRIGHT
    reference_ijk[FOUND] = reference_ijk[MISSED] = 1
    study = model_grid(native, RUN.spacing_mm)
    card = StudyVolumeCard(
        study=ENTRY.study,
        patient=ENTRY.patient,
        site=ENTRY.site,
        task=RUN.task,
        channels=RUN.channels,
        spacing_mm=RUN.spacing_mm,
        model_grid=study,
        native_grid=native,
        normalisation=(Normalisation(image="flair", mean=0.0, sd=1.0),),
        sources=(SourceImage(role="flair", sha256=SHA256),),
        version=1,
    )
    write_group(
        store,
        ENTRY.volume_key,
        {
            "image": resample_linear(image_ijk, native, study)[np.newaxis].astype(np.float16),
            "label": resample_mask(reference_ijk, native, study),
            "native_label": reference_ijk,
        },
        {ATTRIBUTE: card.stored_form()},
    )
    return open_cached(store, ENTRY, tmp_path / "cache")


@pytest.fixture
def evaluation(volume, brighter_than_half):
    return evaluate_study(RUN, brighter_than_half, volume, ENTRY, position=4, device=CPU)


def test_the_study_row_counts_what_was_drawn(evaluation):
    row = evaluation.row
    assert (row.reference_lesions, row.predicted_lesions, row.true_positives, row.false_positives) == (2, 2, 1, 1)
    assert (row.sensitivity, row.ppv) == (0.5, 0.5)
    assert 0 < row.dice < 1
    assert row.reference_ml == pytest.approx((4 * 5 * 2 + 6 * 4 * 3) * 0.9 * 0.9 * 4 / 1000)
    assert row.predicted_ml == pytest.approx(np.count_nonzero(evaluation.mask_ijk) * 0.9 * 0.9 * 4 / 1000)


def test_every_row_names_its_cell_study_and_definition(evaluation):
    for row in (evaluation.row, *evaluation.lesions):
        assert RUN.columns().model_dump().items() <= row.model_dump().items()
        assert (row.study, row.patient, row.site, row.position) == ("sub-07_ses-01", "07", "ljubljana", 4)
        assert row.definition == RUN.metric.label()


def test_every_lesion_of_both_masks_has_a_row_with_its_world_coordinates(evaluation, oblique_thick_slices):
    assert [(row.side, row.lesion, row.outcome) for row in evaluation.lesions] == [
        ("reference", 1, "true-positive"),
        ("reference", 2, "missed"),
        ("prediction", 1, "true-positive"),
        ("prediction", 2, "false-positive"),
    ]
    drawn = [FOUND, MISSED, FOUND, SPURIOUS]
    for row, box in zip(evaluation.lesions, drawn, strict=True):
        centre_ijk = [(side.start + side.stop - 1) / 2 for side in box]
        centre_mm = nib.affines.apply_affine(oblique_thick_slices.affine, centre_ijk)
        assert (row.x_mm, row.y_mm, row.z_mm) == pytest.approx(tuple(centre_mm), abs=0.5)


def test_a_study_is_scored_by_the_runs_definition(volume, brighter_than_half):
    strict = RUN.model_copy(update={"metric": MetricDefinition(name="strict", minimum_volume_mm3=200.0)})
    row = evaluate_study(strict, brighter_than_half, volume, ENTRY, position=1, device=CPU).row
    assert row.reference_lesions == 1
    assert row.definition.startswith("strict@")


def test_another_raters_mask_is_scored_like_a_models(volume):
    mask_ijk = np.zeros_like(volume.native_label_ijk)
    mask_ijk[MISSED] = 1
    evaluation = evaluate_mask(RUN, mask_ijk, volume, ENTRY, position=2, inference_s=0.0)
    row = evaluation.row
    assert (row.true_positives, row.false_positives, row.reference_lesions, row.predicted_lesions) == (1, 0, 2, 1)
    assert (row.position, row.inference_s) == (2, 0.0)
    assert [lesion.outcome for lesion in evaluation.lesions] == ["missed", "true-positive", "true-positive"]
    assert evaluation.mask_ijk is mask_ijk


def test_matches_of_a_one_to_one_definition_are_in_the_rows(volume, brighter_than_half):
    one_to_one = RUN.model_copy(update={"metric": DEFINITIONS["one-to-one-dice"]})
    lesions = evaluate_study(one_to_one, brighter_than_half, volume, ENTRY, position=1, device=CPU).lesions
    assert [(row.side, row.lesion, row.matched) for row in lesions] == [
        ("reference", 1, 1),
        ("reference", 2, None),
        ("prediction", 1, 1),
        ("prediction", 2, None),
    ]


def test_a_pretraining_run_has_no_rows(volume, brighter_than_half):
    with pytest.raises(ValueError, match=RUN.run_id):
        evaluate_study(RUN.model_copy(update={"cell": None}), brighter_than_half, volume, ENTRY, 1, CPU)


def test_a_stored_prediction_is_read_back_unchanged(store, evaluation, oblique_thick_slices):
    store_prediction(store, evaluation, "")
    back = read_prediction(store, RUN.run_id, ENTRY.study)
    np.testing.assert_array_equal(back.mask_ijk, evaluation.mask_ijk)
    assert back.mask_ijk.dtype == np.uint8
    assert (back.card.run_id, back.card.study, back.card.native_grid) == (RUN.run_id, ENTRY.study, oblique_thick_slices)


def test_a_resumed_run_may_store_its_prediction_again(store, evaluation):
    store_prediction(store, evaluation, "")
    store_prediction(store, evaluation, "")
    np.testing.assert_array_equal(read_prediction(store, RUN.run_id, ENTRY.study).mask_ijk, evaluation.mask_ijk)


def test_a_missing_prediction_is_named(store):
    with pytest.raises(MissingObject, match=f"sub-07_ses-01: run {RUN.run_id}"):
        read_prediction(store, RUN.run_id, "sub-07_ses-01")


def test_an_exported_prediction_is_on_the_grid_of_the_scan(evaluation, tmp_path, oblique_thick_slices):
    export_prediction(tmp_path / "mask.nii.gz", evaluation.mask_ijk, evaluation.native_grid)
    back = read_mask(tmp_path / "mask.nii.gz")
    np.testing.assert_array_equal(back.voxels, evaluation.mask_ijk)
    np.testing.assert_allclose(back.affine, oblique_thick_slices.affine, atol=1e-4)


@given(studies=st.integers(0, 40), world_size=st.integers(1, 9))
def test_every_study_is_tested_by_exactly_one_worker(studies, world_size):
    entries = [ENTRY.model_copy(update={"study": f"sub-{n}"}) for n in range(studies)]
    shares = [worker_share(entries, rank, world_size) for rank in range(world_size)]
    assert sorted(entry.study for part in shares for entry in part) == sorted(entry.study for entry in entries)
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
