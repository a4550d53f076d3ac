"""Real scans in; study volumes with the published lesions, each of them on the study grid, out."""

from pathlib import Path

import numpy as np
import pytest
from nibabel.affines import apply_affine

from lesionlab.imaging.intensity import head_mask
from lesionlab.imaging.lesions import label_lesions
from lesionlab.imaging.resample import resample_linear, resample_mask, study_grid
from lesionlab.imaging.volume import matrix_of, read_mask, read_volume
from lesionlab.preprocessing.bids import find_studies
from lesionlab.preprocessing.study import preprocess_study
from storage_schemas.tasks import TASKS

TASK = TASKS["flair-single"]
CODE = "0123456789abcdef"
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
def test_every_published_lesion_reaches_the_study_grid(real_data, dataset, spacing_mm):
    found = find_studies(real_data / dataset, TASK)
    assert not found.faulty
    assert [files.study for files in found.studies] == list(PUBLISHED[dataset])
    for files in found.studies:
        volume = preprocess_study(files, TASK, spacing_mm, CODE)
        assert (volume.entry.lesions, round(volume.entry.lesion_volume_ml, 3)) == PUBLISHED[dataset][files.study]
        assert lesions_on_the_study_grid(volume.card, volume.native_label_ijk, volume.label_IJK) == volume.entry.lesions
        study_ml = volume.label_IJK.sum() * spacing_mm**3 / 1000
        assert study_ml == pytest.approx(volume.entry.lesion_volume_ml, rel=0.06 if spacing_mm == 2 else 1e-6)
        image_IJK = volume.image_CIJK[0]
        assert np.isfinite(image_IJK).all()
        assert image_IJK[volume.label_IJK > 0].mean(dtype=np.float64) > 0.5  # FLAIR lesions are brighter than the head


def lesions_on_the_study_grid(card, native_ijk: np.ndarray, label_IJK: np.ndarray) -> int:
    """How many native lesions have a study voxel within one study voxel of one of theirs, along each axis."""
    lesions = label_lesions(native_ijk)
    near_IJK = np.pad(label_IJK, 1)
    places = np.argwhere(lesions.ids_IJK)
    to_study = np.linalg.inv(matrix_of(card.study_grid)) @ matrix_of(card.native_grid)
    study_places = np.rint(apply_affine(to_study, places)).astype(int) + 1
    ids = lesions.ids_IJK[tuple(places.T)]
    steps = np.indices((3, 3, 3)).reshape(3, -1).T - 1
    touched = np.any(
        [near_IJK[tuple((study_places + step).clip(0, np.array(near_IJK.shape) - 1).T)] for step in steps], 0
    )
    return int(np.unique(ids[touched]).size)


@pytest.mark.parametrize("patient", ["long01", "long12"])
def test_oblique_slices_of_four_millimetres_keep_their_head_and_their_lesions(real_data: Path, patient: str):
    dataset = real_data / "ms-longitudinal"
    image = read_volume(dataset / f"sub-{patient}" / "ses-01" / "anat" / f"sub-{patient}_ses-01_FLAIR.nii.gz")
    changed = dataset / "derivatives" / "manual" / f"sub-{patient}" / "ses-02" / "anat"
    mask = read_mask(changed / f"sub-{patient}_ses-02_space-ses01_label-change_mask.nii.gz")
    study = study_grid(image.grid, 1.0)
    label_IJK = resample_mask(mask.voxels, mask.grid, study)
    back_ijk = resample_mask(label_IJK, study, mask.grid)
    lesions = label_lesions(mask.voxels)
    assert np.setdiff1d(lesions.ids_IJK, lesions.ids_IJK[back_ijk > 0]).size == 0
    assert 2 * (back_ijk & mask.voxels).sum() / (int(back_ijk.sum()) + int(mask.voxels.sum())) > 0.9
    head_ml = head_mask(resample_linear(image.voxels, image.grid, study)).sum() / 1000
    assert 1500 < head_ml < 4000  # scalp and skull included; less would be a hole, more would be air
