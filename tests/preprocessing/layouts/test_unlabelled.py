"""Scans to predict are found without masks, in BIDS datasets and in plain folders."""

from __future__ import annotations

from pathlib import Path

import pytest

from lesionlab.errors import DatasetError
from lesionlab.preprocessing.layouts.unlabelled import find_scans
from lesionlab.preprocessing.paths import is_study_id
from storage_schemas.tasks import TASKS


def empty_dataset(root: Path, *files: str) -> Path:
    """A BIDS dataset of empty images."""
    root.mkdir()
    (root / "dataset_description.json").write_text('{"Name": "empty", "BIDSVersion": "1.10.0"}')
    for file in files:
        folder = root / "/".join(part for part in file.split("_") if part[:4] in ("sub-", "ses-")) / "anat"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / file).touch()
    return root


def test_every_session_with_the_image_is_a_scan(tmp_path: Path) -> None:
    files = ("sub-1_ses-a_acq-3D_FLAIR.nii.gz", "sub-1_ses-b_FLAIR.nii", "sub-2_FLAIR.nii.gz", "sub-3_T1w.nii.gz")
    found = find_scans(empty_dataset(tmp_path / "ms", *files), TASKS["flair-single"])
    assert [(scan.study, scan.stem) for scan in found.scans] == [
        ("sub-1_ses-a", "sub-1_ses-a_acq-3D"),
        ("sub-1_ses-b", "sub-1_ses-b"),
        ("sub-2", "sub-2"),
    ]
    assert not found.faults


def test_the_initial_visit_is_the_last_one_before_with_the_image(tmp_path: Path) -> None:
    files = ("sub-1_ses-1_FLAIR.nii.gz", "sub-1_ses-2_T1w.nii.gz", "sub-1_ses-10_FLAIR.nii.gz", "sub-2_ses-1_FLAIR.nii")
    found = find_scans(empty_dataset(tmp_path / "ms", *files), TASKS["flair-new"])
    (scan,) = found.scans
    assert (scan.study, scan.stem) == ("sub-1_ses-10", "sub-1_ses-10_space-ses1")
    assert {role: path.name for role, path in scan.images.items()} == {
        "initial": "sub-1_ses-1_FLAIR.nii.gz",
        "follow-up": "sub-1_ses-10_FLAIR.nii.gz",
    }


def test_a_session_with_some_of_the_images_is_named_with_what_it_lacks(tmp_path: Path) -> None:
    files = ("sub-1_T1w.nii.gz", "sub-1_ce-gadolinium_T1w.nii.gz", "sub-2_T1w.nii.gz", "sub-3_FLAIR.nii.gz")
    found = find_scans(empty_dataset(tmp_path / "ms", *files), TASKS["enhancing"])
    assert [scan.stem for scan in found.scans] == ["sub-1_ce-gadolinium"]
    assert list(found.faults) == ["sub-2"]
    assert found.faults["sub-2"][0].startswith("after: wanted an image in sub-2/anat, found sub-2_T1w.nii.gz")


def test_a_task_of_several_images_wants_a_bids_dataset(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="wanted a BIDS dataset, which says which belong together"):
        find_scans(tmp_path, TASKS["enhancing"])


def test_a_folder_without_images_of_the_task_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"wanted images for flair-single: flair \(FLAIR\); found none"):
        find_scans(tmp_path, TASKS["flair-single"])
    with pytest.raises(DatasetError, match="there is no such folder"):
        find_scans(tmp_path / "nowhere", TASKS["flair-single"])


def folder(root: Path, *files: str) -> Path:
    """A folder of empty files."""
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).touch()
    return root


def test_names_in_other_scripts_stay_apart_and_give_bids_labels(tmp_path: Path) -> None:
    names = ("患者一", "患者二", "Müller", "Muller", "é", "😀", "-")
    found = find_scans(folder(tmp_path, *(f"{name}.nii.gz" for name in names)), TASKS["flair-single"])
    assert len({scan.study for scan in found.scans}) == len(names)
    assert all(is_study_id(scan.study) for scan in found.scans)
    assert "sub-Muller" in {scan.study for scan in found.scans}  # plain names keep the labels that they had


def test_endings_in_upper_case_are_scans(tmp_path: Path) -> None:
    found = find_scans(folder(tmp_path, "a.NII.GZ", "b.Nii", "sub-1_FLAIR.NII"), TASKS["flair-single"])
    assert [scan.study for scan in found.scans] == ["sub-1", "sub-a", "sub-b"]


def test_hidden_files_are_no_scans(tmp_path: Path) -> None:
    (scan,) = find_scans(folder(tmp_path, "a.nii.gz", "._a.nii.gz", ".old/a.nii.gz"), TASKS["flair-single"]).scans
    assert scan.images["flair"] == tmp_path / "a.nii.gz"


def test_links_in_a_circle_are_faults_of_their_own(tmp_path: Path) -> None:
    folder(tmp_path, "a.nii.gz")
    (tmp_path / "b.nii.gz").symlink_to("b.nii.gz")
    found = find_scans(tmp_path, TASKS["flair-single"])
    assert [scan.study for scan in found.scans] == ["sub-a"]
    assert list(found.faults) == ["b.nii.gz"]


def test_other_formats_are_counted_with_the_program_that_converts_them(tmp_path: Path) -> None:
    folder(tmp_path, "a.nii.gz", "b.mgz", "c/1.dcm", "c/2.dcm", "notes.txt")
    assert find_scans(tmp_path, TASKS["flair-single"]).notes == (
        "not NIfTI and left out: 2 × DICOM; convert it with dcm2niix",
        "not NIfTI and left out: 1 × FreeSurfer's MGH format; convert it with mri_convert",
    )
    with pytest.raises(DatasetError, match=r"found none\nnot NIfTI and left out: 2 × DICOM"):
        find_scans(tmp_path / "c", TASKS["flair-single"])


def test_sessions_that_are_no_scan_are_named_with_what_they_have(tmp_path: Path) -> None:
    root = empty_dataset(
        tmp_path / "ms", "sub-1_FLAIR.nii.gz", "sub-2_flair.nii.gz", "sub-3_T1w.nii", "sub-4_FLAIR.mgz"
    )
    (root / "Sub-5").mkdir()
    sessions, folders = find_scans(root, TASKS["flair-single"]).notes
    assert sessions == (
        "3 sessions have no FLAIR, left out: sub-2 has sub-2_flair.nii.gz; sub-3 has sub-3_T1w.nii; sub-4 has no NIfTI "
        "file but a .mgz file (FreeSurfer's MGH format; convert it with mri_convert)"
    )
    assert folders.startswith("not read: Sub-9; wanted folders called sub-<label>")


def test_of_pairs_only_a_patient_without_any_scan_is_named(tmp_path: Path) -> None:
    files = ("sub-1_ses-1_FLAIR.nii.gz", "sub-1_ses-2_FLAIR.nii.gz", "sub-2_ses-2_FLAIR.nii.gz")
    (note,) = find_scans(empty_dataset(tmp_path / "ms", *files), TASKS["flair-new"]).notes
    assert note == ("1 session has no FLAIR or no earlier session, left out: sub-2_ses-2 has sub-2_ses-2_FLAIR.nii.gz")


def test_a_patient_called_in_another_script_is_a_fault_with_the_remedy(tmp_path: Path) -> None:
    root = folder(empty_dataset(tmp_path / "ms"), "sub-患者/anat/sub-患者_FLAIR.nii.gz")
    assert find_scans(root, TASKS["flair-single"]).faults == {
        "sub-xx": ("folder: wanted only letters and digits in the labels after sub- and ses-; rename the folder",)
    }
