"""Scans to predict are found without masks, in BIDS datasets and in plain folders."""

from __future__ import annotations

from pathlib import Path

import pytest

from lesionlab.errors import DatasetError
from lesionlab.preprocessing.layouts.unlabelled import find_scans
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
