"""Quality control passes real scans as published by their sites."""

import nibabel as nib
import numpy as np
import pytest

from lesionlab.preprocessing.files import Reference, StudyFiles
from lesionlab.preprocessing.integrity import read_scans
from lesionlab.preprocessing.layouts.recognise import open_dataset
from storage_schemas.tasks import TASKS

DRAWN_VOXELS = {
    ("ms-crosssectional", "flair-single"): {"sub-cs07_ses-01": 1300, "sub-cs19_ses-01": 49769},
    ("ms-longitudinal", "flair-new"): {"sub-long01_ses-02": 1456, "sub-long12_ses-02": 709},
    ("glioma-brats2021", "enhancing"): {
        "sub-brats01476_ses-01": 224,
        "sub-brats01477_ses-01": 0,  # nothing enhances, which is not a fault
        "sub-brats01479_ses-01": 89546,
        "sub-brats01481_ses-01": 2575,
    },
}
"""Lesions in the published masks; the gliomas' whole tumours are tested in `test_real_scans`."""


@pytest.mark.parametrize(("dataset", "task"), DRAWN_VOXELS)
def test_published_scans_pass_without_any_finding(real_data, dataset, task):
    found = open_dataset(real_data / dataset, TASKS[task], None)
    assert not found.faulty
    scans = {files.study: read_scans(files, TASKS[task]) for files in found.studies}
    assert {study: int(one.reference.voxels.sum()) for study, one in scans.items()} == DRAWN_VOXELS[dataset, task]
    assert all(one.findings == () for one in scans.values())


def test_a_published_mask_saved_by_a_viewer_in_its_own_orientation_is_the_same_mask(real_data, tmp_path):
    task = TASKS["flair-new"]
    files = open_dataset(real_data / "ms-longitudinal", task, None).studies[0]
    published = read_scans(files, task)
    nib.save(nib.as_closest_canonical(nib.load(files.reference.mask)), tmp_path / "mask.nii.gz")
    saved = StudyFiles(files.study, files.patient, files.site, files.images, Reference(tmp_path / "mask.nii.gz"))
    scans = read_scans(saved, task)
    assert [(finding.code, finding.repaired) for finding in scans.findings] == [("grid-mismatch", True)]
    assert np.array_equal(scans.reference.voxels, published.reference.voxels)
    assert scans.reference.grid == published.reference.grid
