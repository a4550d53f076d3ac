"""BraTS releases of both generations are read as released: images by contrast, tumour by label."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lesionlab.errors import DatasetError
from lesionlab.preprocessing.integrity import read_scans
from lesionlab.preprocessing.layouts.recognise import open_dataset
from lesionlab.preprocessing.paths import ADD_MASK
from lesionlab.preprocessing.study import study_digest
from storage_schemas.tasks import TASKS
from tests.preprocessing.drawn import lesions, save
from tests.preprocessing.layouts.drawn_layouts import BRATS_LABELS, draw_brats

SINGLE, ENHANCING = TASKS["flair-single"], TASKS["enhancing"]

OLD = {
    "BraTS2021_00003": "sub-brats00003",
    "BraTS20_Training_007": "sub-brats007",
    "HGG/Brats18_CBICA_AAM_1": "sub-bratsCBICAxAAMx1",
    "LGG/Brats17_2013_10_1": "sub-brats2013x10x1",
}
NEW = {"BraTS-GLI-00005-001": "sub-brats00005_ses-001", "BraTS-SSA-00002-000": "sub-brats00002_ses-000"}


@pytest.mark.parametrize(("folder", "study"), [*OLD.items(), *NEW.items()])
def test_a_patient_of_any_release_is_found_with_the_whole_tumour_as_lesion(
    tmp_path: Path, folder: str, study: str
) -> None:
    (found,) = open_dataset(draw_brats(tmp_path, folder), SINGLE).studies
    assert found.study == study
    assert re.search(r"(_flair|-t2f)\.nii\.gz$", found.images["flair"].name)
    tumour = read_scans(found, SINGLE).reference.voxels
    labels = BRATS_LABELS["-" if folder in NEW else "_"]
    drawn = lesions() > 0
    assert np.array_equal(tumour, drawn & (labels != (4 if folder in NEW else 0)))


@pytest.mark.parametrize(("folder", "enhancing"), [("BraTS2021_00003", 4), ("BraTS-GLI-00005-001", 3)])
def test_enhancing_tumour_has_another_label_in_each_generation(tmp_path: Path, folder: str, enhancing: int) -> None:
    (found,) = open_dataset(draw_brats(tmp_path, folder), ENHANCING).studies
    names = [path.name.removesuffix(".nii.gz").rpartition(folder)[2] for path in found.images.values()]
    assert names in (["_t1", "_t1ce"], ["-t1n", "-t1c"])
    labels = BRATS_LABELS["-" if folder in NEW else "_"]
    assert found.reference.labels == {enhancing}
    assert (labels == enhancing).any()


def test_a_dataset_lists_all_patients_and_all_that_lack_a_file(tmp_path: Path) -> None:
    for folder in (*OLD, *NEW):
        draw_brats(tmp_path, folder)
    (tmp_path / "BraTS2021_00003/BraTS2021_00003_seg.nii.gz").unlink()
    (tmp_path / "name_mapping.csv").write_text("a,b\n")
    found = open_dataset(tmp_path, SINGLE)
    assert {files.study for files in found.studies} == {*OLD.values(), *NEW.values()} - {"sub-brats00003"}
    (faulty,) = found.faulty
    assert faulty.faults == (f"mask: wanted BraTS2021_00003_seg.nii.gz, found none; {ADD_MASK}",)


def test_another_task_is_refused_with_what_the_release_has(tmp_path: Path) -> None:
    draw_brats(tmp_path, "BraTS2021_00003")
    with pytest.raises(DatasetError, match=r"found a BraTS release: .* choose flair-single, enhancing"):
        open_dataset(tmp_path, TASKS["flair-new"])


@pytest.mark.parametrize("factor", [1.5, 1e-4], ids=["interpolated", "scaled down"])
def test_a_segmentation_without_whole_numbers_is_refused(tmp_path: Path, factor: float) -> None:
    (found,) = open_dataset(draw_brats(tmp_path, "BraTS2021_00003"), SINGLE).studies
    save(found.reference.mask, (lesions() * factor).astype(np.float32))
    with pytest.raises(DatasetError, match="wanted whole numbers, the labels of a segmentation"):
        read_scans(found, SINGLE)


def test_the_labels_that_are_lesion_are_part_of_a_volumes_identity(tmp_path: Path) -> None:
    (found,) = open_dataset(draw_brats(tmp_path, "BraTS2021_00003"), SINGLE).studies
    other = replace(found, reference=replace(found.reference, labels=frozenset({4})))
    assert study_digest(found, SINGLE, 1.0) != study_digest(other, SINGLE, 1.0)
