"""An image of another kind than the model's training images is noted, and no image of the right kind is."""

from __future__ import annotations

import numpy as np
import pytest

from lesionlab.imaging.volume import Volume
from lesionlab.preprocessing.unlike import unlike_notes
from storage_schemas.tasks import TASKS

FLAIR = TASKS["flair-single"].inputs[0]
HEAD = np.random.default_rng(0).normal(400, 40, (30, 30, 30)).astype(np.float32)


def notes(name: str = "scan.nii.gz", voxels: np.ndarray = HEAD, mm: float = 6.0) -> list[str]:
    return list(unlike_notes(name, Volume(voxels, np.diag([mm, mm, mm, 1.0])), FLAIR))


@pytest.mark.parametrize(
    "name",
    [
        "sub-01_FLAIR.nii.gz",
        "sub-01_ses-02_acq-3D_FLAIR.nii",
        "BraTS-GLI-00000-000-t2f.nii.gz",
        "T2_FLAIR.nii.gz",
        "flair_space-T1w.nii.gz",
        "patient12.nii.gz",
        "IM0001.NII",
    ],
)
def test_an_image_of_the_models_contrast_or_of_an_unknown_one_gets_no_note(name: str) -> None:
    assert not notes(name)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("sub-01_T1w.nii.gz", "T1w"),
        ("BraTS2021_00000_t1ce.nii.gz", "T1w"),
        ("sub-01_T2w.nii.gz", "T2w"),
        ("t1_mprage_sag.nii.gz", "T1w"),
        ("sub-01_dwi.nii.gz", "dwi"),
    ],
)
def test_another_contrast_in_the_name_is_noted(name: str, kind: str) -> None:
    (note,) = notes(name)
    assert note == f"its name says {kind}, but the model was trained on FLAIR"


@pytest.mark.parametrize("labels", [(0, 1), (0, 1, 2, 4), (0, 255)])
def test_a_mask_or_label_map_is_noted(labels: tuple[int, ...]) -> None:
    voxels = np.array(labels, np.float32)[np.indices(HEAD.shape).sum(axis=0) % len(labels)]
    (note,) = notes("lesion_mask.nii.gz", voxels)
    assert f"it has {len(labels)} different values, as a mask" in note


def test_a_probability_map_is_noted_by_its_name() -> None:
    assert notes("sub-01_probseg.nii.gz") == ["its name says probseg; the model was trained on scans"]


@pytest.mark.parametrize(("slices", "said"), [(1, "6 mm thick (1 slice)"), (8, "48 mm thick (8 slices)")])
def test_one_slice_or_a_slab_is_noted(slices: int, said: str) -> None:
    (note,) = notes(voxels=HEAD[:, :, :slices])
    assert said in note
    assert not notes(voxels=HEAD[:, :, :12])
