"""An image of another kind than the model's training images is noted, and no image of the right kind is."""

from __future__ import annotations

import numpy as np
import pytest

from lesionlab.imaging.volume import Volume, read_volume
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


def drawn_brain(white: float, grey: float, fluid: float, skull: float = 0.0, thick_mm: float = 4.0) -> np.ndarray:
    """A ball of white matter with a cortex of 5 mm, folds of fluid every 35 mm and, outside, a skull; 2 mm voxels."""
    edge = 96
    x, y, z = np.indices((edge, edge, edge), dtype=np.float32) - (edge - 1) / 2
    to_surface_mm = (35 - np.sqrt(x**2 + y**2 + z**2)) * 2
    to_fold_mm = np.minimum(to_surface_mm, np.abs((2 * x + 17.5) % 35 - 17.5))
    voxels = np.where(to_fold_mm < 2, fluid, np.where(to_fold_mm < 7, grey, white))
    voxels = np.where(to_surface_mm > 0, voxels, np.where(to_surface_mm > -thick_mm, skull, 0))
    return (1000 * voxels + np.random.default_rng(0).normal(0, 10, voxels.shape)).astype(np.float32)


FLAIR_BRAIN = drawn_brain(white=0.85, grey=1.0, fluid=0.15)
T1_BRAIN = drawn_brain(white=1.0, grey=0.72, fluid=0.24)


def test_a_t1_for_a_flair_model_is_noted_by_its_grey_values_alone():
    (note,) = notes(voxels=T1_BRAIN, mm=2.0)
    assert note == "its white matter is brighter than its grey matter, as in a T1; the model was trained on FLAIR"
    assert not notes(voxels=FLAIR_BRAIN, mm=2.0)
    assert not notes(voxels=T1_BRAIN, mm=2.1)  # nothing is said of thicker slices, in which it does not show


def test_a_flair_for_a_t1_model_is_noted_by_its_grey_values_alone():
    t1 = TASKS["enhancing"].inputs[0]
    (note,) = unlike_notes("scan.nii.gz", Volume(FLAIR_BRAIN, np.diag([2.0, 2, 2, 1])), t1)
    assert "as it is in the T1 that the model was trained on" in note
    assert not list(unlike_notes("scan.nii.gz", Volume(T1_BRAIN, np.diag([2.0, 2, 2, 1])), t1))


def test_a_ct_is_noted():
    ct = drawn_brain(white=1.030, grey=1.038, fluid=1.008, skull=2.0) - np.float32(1000)
    (note,) = notes(voxels=ct, mm=2.0)
    assert "almost one value, as in a CT" in note


@pytest.mark.parametrize(("strip", "stripping", "noted"), [("already", False, True), ("already", True, False)])
def test_a_skull_is_noted_if_the_training_images_came_without_one(strip, stripping, noted):
    whole = Volume(drawn_brain(white=0.85, grey=1.0, fluid=0.15, skull=0.3, thick_mm=10), np.diag([2.0, 2, 2, 1]))
    found = list(unlike_notes("scan.nii.gz", whole, FLAIR, strip, stripping=stripping))
    assert any("shows a skull" in note for note in found) == noted
    stripped = Volume(FLAIR_BRAIN, np.diag([2.0, 2, 2, 1]))
    assert not list(unlike_notes("scan.nii.gz", stripped, FLAIR, strip, stripping=stripping))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ms-crosssectional/sub-cs19", "glioma-brats2021/sub-brats01479"])
def test_real_scans_get_a_note_for_a_model_of_the_other_contrast_alone(real_data, name):
    """These two are the nearest to the limit."""
    for suffix, task, other in (("FLAIR", "flair-single", "enhancing"), ("T1w", "enhancing", "flair-single")):
        (path,) = (path for path in (real_data / name / "ses-01/anat").glob(f"*01_{suffix}.nii.gz"))
        image = read_volume(path)
        assert not list(unlike_notes("scan.nii.gz", image, TASKS[task].inputs[0]))
        assert list(unlike_notes("scan.nii.gz", image, TASKS[other].inputs[0]))
