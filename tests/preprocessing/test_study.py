"""One drawn study becomes a study volume, in memory and in the store."""

import gzip
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import zarr

from lesionlab.errors import StudyRefused
from lesionlab.experiments.caches.volumes import open_cached
from lesionlab.imaging.intensity import head_mask
from lesionlab.imaging.lesions import label_lesions
from lesionlab.imaging.resample import resample_linear
from lesionlab.imaging.volume import Volume, read_volume
from lesionlab.preprocessing.channels import prepare_images
from lesionlab.preprocessing.layouts.bids import StudyFiles, find_studies
from lesionlab.preprocessing.study import (
    StudyVolume,
    preprocess_study,
    store_study,
    stored_entry,
    study_digest,
)
from lesionlab.store.objects import open_store
from storage_schemas.keys import STUDY_VOLUME
from storage_schemas.tasks import TASKS
from tests.preprocessing.drawn import LESIONS, SHAPE, draw_dataset, head, image_path, lesions, mask_path, save

TASK = TASKS["flair-single"]


@pytest.fixture
def files(tmp_path: Path) -> StudyFiles:
    return find_studies(draw_dataset(tmp_path / "bids", "sub-01_ses-a"), TASK, site="clinic").studies[0]


@pytest.fixture
def volume(files: StudyFiles) -> StudyVolume:
    return preprocess_study(files, TASK, 2.0)


def test_the_image_is_standardised_over_the_head_on_the_isotropic_grid(volume):
    image_IJK = volume.image_CIJK[0].astype(np.float32)
    assert volume.image_CIJK.dtype == np.float16
    assert volume.card.whole_grid.shape == (24, 28, 24)
    assert volume.image_CIJK.shape == (1, *volume.card.model_grid.shape)
    scale = volume.card.normalisation[0]
    inside_IJK = head_mask(image_IJK * scale.sd + scale.mean)
    assert image_IJK[inside_IJK].mean(dtype=np.float64) == pytest.approx(0, abs=0.01)
    assert image_IJK[inside_IJK].std(dtype=np.float64) == pytest.approx(1, abs=0.01)
    assert scale.image == "flair"


def test_the_card_maps_back_to_native_space(volume):
    scale = volume.card.normalisation[0]
    image_IJK = volume.image_CIJK[0].astype(np.float32) * np.float32(scale.sd) + np.float32(scale.mean)
    again_ijk = resample_linear(image_IJK, volume.card.model_grid, volume.card.native_grid)
    assert volume.card.native_grid.shape == SHAPE
    # Model-grid slices are a quarter slice off the native ones, so the round trip smooths slightly without a shift.
    assert np.corrcoef(again_ijk.ravel(), head(0).ravel())[0, 1] > 0.97
    assert np.abs(np.corrcoef(np.roll(again_ijk, 1, 0).ravel(), head(0).ravel())[0, 1]) < 0.9


def test_every_lesion_is_on_the_model_grid_and_the_native_mask_is_kept(volume):
    assert label_lesions(volume.label_IJK).count == len(LESIONS)
    assert np.array_equal(volume.native_label_ijk, lesions())
    assert volume.entry.lesions == len(LESIONS)
    assert volume.entry.lesion_volume_ml == pytest.approx(10 * 16 / 1000)


def test_labelled_lesions_are_brighter_than_the_head(volume):
    assert volume.image_CIJK[0][volume.label_IJK > 0].min() > 1


def test_the_same_files_give_the_same_bytes(files, volume):
    again = preprocess_study(files, TASK, 2.0)
    assert again.card == volume.card
    assert again.entry == volume.entry
    assert again.image_CIJK.tobytes() == volume.image_CIJK.tobytes()
    assert again.label_IJK.tobytes() == volume.label_IJK.tobytes()


def test_everything_that_decides_the_volume_changes_its_digest(files):
    digests = {
        study_digest(files, TASK, 2.0),
        study_digest(files, TASK, 1.0),
        study_digest(replace(files, site="other"), TASK, 2.0),
        study_digest(replace(files, study="sub-02"), TASK, 2.0),
    }
    save(files.reference.mask, lesions() * 0)
    digests.add(study_digest(files, TASK, 2.0))
    assert len(digests) == 5


def test_a_recompressed_image_is_the_same_image_in_another_file(files, volume):
    data = gzip.decompress(files.images["flair"].read_bytes())
    files.images["flair"].write_bytes(gzip.compress(data, compresslevel=1, mtime=1))
    again = preprocess_study(files, TASK, 2.0)
    assert again.entry.image_sha256 == volume.entry.image_sha256
    assert again.card.sources[0] != volume.card.sources[0]
    assert again.card.sources[1] == volume.card.sources[1]
    assert [source.role for source in again.card.sources] == ["flair", "reference"]


def test_the_stored_volume_is_read_back_by_training_and_by_plain_zarr(tmp_path, files, volume):
    store = open_store((tmp_path / "store").as_uri())
    assert stored_entry(store, files, volume.entry.volume) is None
    assert store_study(store, volume) == volume.entry
    assert stored_entry(store, files, volume.entry.volume) == volume.entry
    cached = open_cached(store, volume.entry, tmp_path / "cache")
    assert cached.card == volume.card
    assert np.array_equal(cached.image_CIJK, volume.image_CIJK)
    assert np.array_equal(cached.label_IJK, volume.label_IJK)
    assert np.array_equal(cached.native_label_ijk, volume.native_label_ijk)
    key = STUDY_VOLUME.build(site="clinic", study="sub-01_ses-a", digest=volume.entry.volume)
    group = zarr.open_group(tmp_path / "store" / key, mode="r")
    assert np.array_equal(group["image"][:], volume.image_CIJK)


def test_the_store_contains_no_paths_of_the_source_files(tmp_path, files, volume):
    store_study(open_store((tmp_path / "store").as_uri()), volume)
    stored = b"".join(path.read_bytes() for path in (tmp_path / "store").rglob("*") if path.is_file())
    assert b"_FLAIR" not in stored  # the suffix alone is in the task
    assert str(tmp_path).encode() not in stored


def test_a_faulty_study_is_refused_with_all_its_faults(tmp_path, files):
    save(mask_path(tmp_path / "bids", "sub-01_ses-a"), lesions() * 2)
    save(image_path(tmp_path / "bids", "sub-01_ses-a"), np.zeros(SHAPE, dtype=np.int16))
    with pytest.raises(StudyRefused) as refusal:
        preprocess_study(files, TASK, 2.0)
    assert len(refusal.value.args) == 2
    assert str(refusal.value) == "\n".join(refusal.value.args)


def test_an_image_for_prediction_is_prepared_like_a_studys_image(files, volume):
    prepared = prepare_images({"flair": read_volume(files.images["flair"])}, TASK, 2.0)
    assert np.array_equal(prepared.image_CIJK, volume.image_CIJK)
    assert prepared.model_grid == volume.card.model_grid


def test_an_image_without_contrast_cannot_be_prepared():
    with pytest.raises(StudyRefused, match="no voxel above the value of air"):
        prepare_images({"flair": Volume(np.full(SHAPE, 5, dtype=np.float32), np.eye(4))}, TASK, 2.0)
