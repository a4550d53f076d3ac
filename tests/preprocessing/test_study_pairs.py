"""Two visits and two raters become one study volume, in memory, store and cache."""

from dataclasses import replace

import numpy as np
import pytest
import zarr

from lesionlab.errors import StudyRefused
from lesionlab.experiments.caches.volumes import open_cached
from lesionlab.imaging.boxes import bounding_box
from lesionlab.imaging.intensity import head_mask
from lesionlab.imaging.lesions import label_lesions
from lesionlab.imaging.volume import Volume, matrix_of, read_volume
from lesionlab.imaging.warp import warp
from lesionlab.preprocessing.files import Reference, StudyFiles
from lesionlab.preprocessing.study import StudyVolume, hash_sources, preprocess_study, store_study, study_digest
from lesionlab.store.objects import open_store
from storage_schemas.keys import STUDY_VOLUME
from storage_schemas.tasks import TASKS
from storage_schemas.volumes import ATTRIBUTE, StudyVolumeCard
from tests.imaging.heads import THREE_MM
from tests.preprocessing.pairs import MOVED, new_lesions, visits, write_study
from tests.preprocessing.test_reference import affine, itk_file

TASK = TASKS["flair-new"]


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> StudyFiles:
    """The second rater marked one of the two lesions."""
    mask = new_lesions()
    half_ijk = mask.voxels.copy()
    half_ijk[24:] = 0
    return write_study(tmp_path_factory.mktemp("study"), visits(), mask, Volume(half_ijk, mask.affine))


@pytest.fixture(scope="module")
def volume(files) -> StudyVolume:
    return preprocess_study(files, TASK, 3.0)


@pytest.fixture
def stored(tmp_path, volume) -> zarr.Group:
    store_study(open_store((tmp_path / "store").as_uri()), volume)
    key = STUDY_VOLUME.build(site="clinic", study="sub-01_ses-b", digest=volume.entry.volume)
    return zarr.open_group(tmp_path / "store" / key, mode="r")


def test_the_card_lists_registration_and_second_rater(volume):
    card = volume.card
    assert [(one.moving, one.fixed, one.kind) for one in card.registrations] == [("follow-up", "initial", "syn")]
    assert card.second_rater
    assert volume.entry.second_rater
    assert card.channels == ("subtraction",)
    assert [one.image for one in card.normalisation] == ["initial", "follow-up"]
    assert [source.role for source in card.sources] == ["initial", "follow-up", "reference", "second"]
    assert card.native_grid == THREE_MM


def test_the_registered_image_can_be_reproduced_from_the_store_and_the_follow_up(files, volume, stored):
    card = StudyVolumeCard.from_stored(stored.attrs[ATTRIBUTE])
    report = card.registrations[0]
    again_IJK = warp(
        read_volume(files.images["follow-up"]),
        card.whole_grid,
        np.array(report.matrix),
        stored[report.deformation.array][:],
    )
    initial, follow_up = card.normalisation
    native_IJK = read_volume(files.images["initial"]).voxels
    difference_IJK = (again_IJK - follow_up.mean) / follow_up.sd - (native_IJK - initial.mean) / initial.sd
    head_IJK = head_mask(native_IJK)
    shown_IJK = head_IJK & np.isfinite(again_IJK)
    box = bounding_box(head_IJK, 1)
    assert np.allclose(stored["image"][0], np.where(shown_IJK, difference_IJK, 0)[box], atol=0.01)


def test_both_raters_masks_reach_store_and_cache(tmp_path, volume, stored):
    assert [label_lesions(stored[name][:]).count for name in ("native_label", "second_label")] == [2, 1]
    cached = open_cached(open_store((tmp_path / "store").as_uri()), volume.entry, tmp_path / "cache")
    assert np.array_equal(cached.second_label_ijk, volume.second_label_ijk)
    assert np.array_equal(cached.native_label_ijk, volume.native_label_ijk)


def test_without_a_second_rater_there_is_no_second_mask(tmp_path, files):
    alone = preprocess_study(replace(files, second=None), TASK, 6.0)
    store = open_store((tmp_path / "store").as_uri())
    assert not store_study(store, alone).second_rater
    assert open_cached(store, alone.entry, tmp_path / "cache").second_label_ijk is None


def test_every_image_is_compared_in_the_search_for_duplicates(volume):
    assert len({volume.entry.image_sha256, *volume.entry.further_images_sha256}) == 2


def test_every_file_that_is_read_changes_the_digest(tmp_path, files):
    transform = itk_file(tmp_path / "a.txt", np.eye(4))
    both = replace(
        files,
        reference=replace(files.reference, transform=transform),
        second=Reference(files.reference.mask, itk_file(tmp_path / "b.txt", affine((1, 0, 0), (0, 0, 0)))),
    )
    assert [source.role for source in hash_sources(both)] == [
        "initial",
        "follow-up",
        "reference",
        "reference-transform",
        "second",
        "second-transform",
    ]
    swapped = {"initial": files.images["follow-up"], "follow-up": files.images["initial"]}
    digests = {
        study_digest(one, TASK, 3.0)
        for one in (
            files,
            both,
            replace(files, second=None),
            replace(files, images=swapped),
            replace(both, second=replace(both.second, transform=None)),
            replace(both, reference=replace(both.reference, transform=both.second.transform)),
        )
    }
    assert len(digests) == 6


def test_the_users_own_registration_is_read_and_part_of_the_volumes_identity(tmp_path, files):
    own = replace(files, transforms={"follow-up": itk_file(tmp_path / "own.txt", np.linalg.inv(MOVED))})
    volume = preprocess_study(own, TASK, 3.0)
    assert [(one.moving, one.kind) for one in volume.card.registrations] == [("follow-up", "given")]
    assert volume.card.sources[-1].role == "follow-up-transform"
    assert not volume.deformations
    assert volume.entry.volume == study_digest(own, TASK, 3.0) != study_digest(files, TASK, 3.0)


def test_a_transform_that_cannot_be_read_is_reported_with_the_other_faults_and_without_its_path(tmp_path, files):
    (tmp_path / "Smith.txt").write_text("no transform")
    empty = replace(files.reference, mask=files.images["initial"])
    with pytest.raises(StudyRefused) as refusal:
        preprocess_study(replace(files, reference=empty, transforms={"follow-up": tmp_path / "Smith.txt"}), TASK, 3.0)
    said = refusal.value.args
    assert [fault.split(":")[0] for fault in said] == ["mask", "follow-up"]
    assert "its transform: wanted an ITK transform file" in said[1]
    assert not any("Smith" in fault for fault in said)


def test_a_mask_in_another_space_becomes_the_label_in_native_space(tmp_path, files, volume):
    matrix = affine((4, -3, 5), (3, -2, 6))  # from the mask's space to native space
    moved = Volume(new_lesions().voxels, np.linalg.inv(matrix) @ matrix_of(THREE_MM))
    elsewhere = write_study(tmp_path, visits(), moved)
    elsewhere = replace(
        elsewhere, reference=replace(elsewhere.reference, transform=itk_file(tmp_path / "a.txt", matrix))
    )
    there = preprocess_study(elsewhere, TASKS["flair-new"], 6.0)
    assert np.array_equal(there.native_label_ijk, volume.native_label_ijk)
