"""Real scans become study volumes in which every published lesion reaches the model grid."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from nibabel.affines import apply_affine

from lesionlab.imaging.intensity import head_mask, z_score
from lesionlab.imaging.lesions import label_lesions
from lesionlab.imaging.register import register
from lesionlab.imaging.resample import model_grid, resample_linear, resample_mask
from lesionlab.imaging.volume import Volume, matrix_of, read_mask, read_volume
from lesionlab.preprocessing.layouts.bids import find_studies
from lesionlab.preprocessing.layouts.recognise import open_dataset
from lesionlab.preprocessing.study import StudyVolume, preprocess_study
from storage_schemas.tasks import TASKS

TASK = TASKS["flair-single"]
PUBLISHED = {
    "ms-crosssectional": {"sub-cs07_ses-01": (37, 1.300), "sub-cs19_ses-01": (98, 49.769)},
    "glioma-brats2021": {
        "sub-brats01476_ses-01": (8, 51.173),
        "sub-brats01477_ses-01": (7, 195.433),
        "sub-brats01479_ses-01": (3, 190.251),
        "sub-brats01481_ses-01": (11, 56.512),
    },
}
"""Lesions and their volume in ml, from each dataset's participants.tsv."""


@pytest.mark.parametrize("dataset", PUBLISHED)
@pytest.mark.parametrize("spacing_mm", [2.0, pytest.param(1.0, marks=pytest.mark.slow)])
def test_every_published_lesion_reaches_the_model_grid(real_data, dataset, spacing_mm):
    found = find_studies(real_data / dataset, TASK)
    assert not found.faulty
    assert [files.study for files in found.studies] == list(PUBLISHED[dataset])
    for files in found.studies:
        volume = preprocess_study(files, TASK, spacing_mm)
        assert (volume.entry.lesions, round(volume.entry.lesion_volume_ml, 3)) == PUBLISHED[dataset][files.study]
        assert lesions_on_the_model_grid(volume.card, volume.native_label_ijk, volume.label_IJK) == volume.entry.lesions
        study_ml = volume.label_IJK.sum() * spacing_mm**3 / 1000
        assert study_ml == pytest.approx(volume.entry.lesion_volume_ml, rel=0.06 if spacing_mm == 2 else 1e-6)
        image_IJK = volume.image_CIJK[0]
        assert np.isfinite(image_IJK).all()
        assert image_IJK[volume.label_IJK > 0].mean(dtype=np.float64) > 0.5  # FLAIR lesions are brighter than the head


def lesions_on_the_model_grid(card, native_ijk: np.ndarray, label_IJK: np.ndarray) -> int:
    """How many native lesions have a labelled model-grid voxel within one model-grid voxel along each axis."""
    lesions = label_lesions(native_ijk)
    near_IJK = np.pad(label_IJK, 1)
    places = np.argwhere(lesions.ids_IJK)
    to_study = np.linalg.inv(matrix_of(card.model_grid)) @ matrix_of(card.native_grid)
    study_places = np.rint(apply_affine(to_study, places)).astype(int) + 1
    ids = lesions.ids_IJK[tuple(places.T)]
    steps = np.indices((3, 3, 3)).reshape(3, -1).T - 1
    touched = np.any(
        [near_IJK[tuple((study_places + step).clip(0, np.array(near_IJK.shape) - 1).T)] for step in steps], 0
    )
    return int(np.unique(ids[touched]).size)


@pytest.mark.parametrize("patient", ["long01", pytest.param("long12", marks=pytest.mark.slow)])
def test_oblique_slices_of_four_millimetres_keep_their_head_and_their_lesions(real_data: Path, patient: str):
    dataset = real_data / "ms-longitudinal"
    image = read_volume(dataset / f"sub-{patient}" / "ses-01" / "anat" / f"sub-{patient}_ses-01_FLAIR.nii.gz")
    changed = dataset / "derivatives" / "manual" / f"sub-{patient}" / "ses-02" / "anat"
    mask = read_mask(changed / f"sub-{patient}_ses-02_space-ses01_label-change_mask.nii.gz")
    study = model_grid(image.grid, 1.0)
    label_IJK = resample_mask(mask.voxels, mask.grid, study)
    back_ijk = resample_mask(label_IJK, study, mask.grid)
    lesions = label_lesions(mask.voxels)
    assert np.setdiff1d(lesions.ids_IJK, lesions.ids_IJK[back_ijk > 0]).size == 0
    assert 2 * (back_ijk & mask.voxels).sum() / (int(back_ijk.sum()) + int(mask.voxels.sum())) > 0.9
    head_ml = head_mask(resample_linear(image.voxels, image.grid, study)).sum() / 1000
    assert 1500 < head_ml < 4000  # including scalp and skull; less would mean a hole, more would mean air


FINE = pytest.param(1.0, marks=pytest.mark.slow)
AT_BOTH = pytest.mark.parametrize("spacing_mm", [2.0, FINE])


def on_grid(volume: StudyVolume, path: Path) -> np.ndarray:
    """A native-space mask on the volume's model grid."""
    mask = read_mask(path)
    return resample_mask(mask.voxels, mask.grid, volume.card.model_grid) > 0


@pytest.mark.parametrize("patient", ["long01", pytest.param("long12", marks=pytest.mark.slow)])
@AT_BOTH
def test_in_the_subtraction_of_two_visits_new_lesions_are_bright_and_resolved_ones_dark(real_data, patient, spacing_mm):
    """Two raw, misaligned visits of one patient; only the subtraction volume is examined."""
    dataset = open_dataset(real_data / "ms-longitudinal", TASKS["flair-new"])
    files = next(files for files in dataset.studies if files.patient == patient)
    volume = preprocess_study(files, TASKS["flair-new"], spacing_mm)
    report = volume.card.registrations[0]
    assert report.correlation_before < 0.4
    assert report.correlation_after > 0.95
    assert report.head_overlap > 0.94

    change_IJK = volume.image_CIJK[0].astype(np.float32)
    drawn = files.reference.mask.parent
    new_IJK, resolved_IJK, any_IJK, brain_IJK = (
        on_grid(volume, drawn / f"sub-{patient}_ses-02_space-ses01_label-{label}_mask.nii.gz")
        for label in ("newlesion", "resolved", "change", "brain")
    )
    elsewhere = change_IJK[brain_IJK & ~any_IJK]
    assert abs(np.median(elsewhere)) < 0.05
    assert change_IJK[new_IJK].mean() > np.percentile(elsewhere, 95)
    assert change_IJK[resolved_IJK].mean() < np.percentile(elsewhere, 15)

    initial, follow_up = (read_volume(files.images[role]) for role in ("initial", "follow-up"))
    raw = [resample_linear(scan.voxels, scan.grid, volume.card.model_grid) for scan in (initial, follow_up)]
    head_IJK = head_mask(raw[0])
    unregistered_IJK = np.subtract(*(z_score(image_IJK, head_IJK).voxels_IJK for image_IJK in raw[::-1]))
    assert change_IJK[brain_IJK].std() < 0.4 * unregistered_IJK[brain_IJK].std()
    assert change_IJK[head_IJK].std() < 0.4 * unregistered_IJK[head_IJK].std()


@pytest.mark.slow
@AT_BOTH
def test_the_gadolinium_difference_shows_enhancing_tumours_and_nothing_else(real_data, spacing_mm):
    dataset = open_dataset(real_data / "glioma-brats2021", TASKS["enhancing"])
    assert len(dataset.studies) == 4
    for files in dataset.studies:
        volume = preprocess_study(files, TASKS["enhancing"], spacing_mm)
        report = volume.card.registrations[0]
        # The publishers registered these images already: little is left to do, and nothing may get worse.
        assert report.correlation_after > report.correlation_before - 0.005
        assert report.head_overlap > 0.98
        after = read_volume(files.images["after"])
        before_IJK, after_IJK = volume.image_CIJK.astype(np.float32)
        enhancement_IJK, drawn_IJK = after_IJK - before_IJK, volume.label_IJK > 0
        head_IJK = resample_linear(after.voxels, after.grid, volume.card.model_grid) > 0
        if drawn_IJK.any():
            assert enhancement_IJK[drawn_IJK].mean() > np.percentile(enhancement_IJK[head_IJK & ~drawn_IJK], 90)
        else:
            assert files.patient == "brats01477"


@pytest.mark.slow
@pytest.mark.parametrize("patient", ["cs07", "cs19"])
def test_a_moved_real_head_is_registered_within_a_fraction_of_a_millimetre(real_data, patient):
    """T1 before gadolinium, rotated and shifted only in its header: its voxels stay, and the true motion is known."""
    visit = real_data / "ms-crosssectional" / f"sub-{patient}" / "ses-01" / "anat"
    before = read_volume(visit / f"sub-{patient}_ses-01_T1w.nii.gz")
    after = read_volume(visit / f"sub-{patient}_ses-01_ce-gadolinium_T1w.nii.gz")
    grid = model_grid(after.grid, 2.0)
    still = register(after, before, "rigid", grid)
    moved_by = nib.affines.from_matvec(nib.eulerangles.euler2mat(0.1, -0.15, 0.12), [12.0, -9.0, 7.0])
    moved = register(after, Volume(before.voxels, moved_by @ before.affine), "rigid", grid)
    places_mm = apply_affine(matrix_of(grid), np.argwhere(head_mask(resample_linear(after.voxels, after.grid, grid))))
    there, wanted = (apply_affine(matrix, places_mm) for matrix in (moved.matrix, moved_by @ still.matrix))
    assert np.linalg.norm(there - wanted, axis=1).max() < 0.6
    assert moved.correlation_before < 0.5 < still.correlation_before
    assert moved.correlation_after == pytest.approx(still.correlation_after, abs=0.01)
