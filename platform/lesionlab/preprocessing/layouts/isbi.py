"""Find the studies of the ISBI 2015 longitudinal MS lesion challenge as released (Carass et al. 2017).

    trainingXX/preprocessed/trainingXX_TT_flair_pp.nii     FLAIR on the first T1, 181×217×181, 1 mm, skull-stripped;
                                      _mprage_pp _t2_pp _pd_pp   T1w, T2w and PDw on the same grid
    trainingXX/masks/trainingXX_TT_mask1.nii  _mask2.nii   two raters; 5 patients of 4, 4, 5, 4 and 4 timepoints

Each timepoint is a study. Rater 1 is the reference; rater 2, who worked independently, is the second rater. `orig/` is
not read, because its images are on other grids than the masks. `.nii.gz` is accepted too.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from lesionlab.errors import DatasetError
from lesionlab.preprocessing.files import DEFAULT_SITE, Dataset, Incomplete, Reference, StudyFiles, dataset_of, parts_of
from lesionlab.preprocessing.paths import nifti_of, only_one, place_of
from storage_schemas.base import Slug
from storage_schemas.tasks import ScanInput, Task
from storage_schemas.verdicts import Finding

LOOKED_FOR = "folders trainingXX with preprocessed/trainingXX_TT_flair_pp.nii"

_PATIENT = re.compile(r"training\d{2}")
_IMAGES = {"FLAIR": "flair_pp", "T1w": "mprage_pp", "T2w": "t2_pp", "PDw": "pd_pp"}
"""File name stem of each contrast in the release, by BIDS suffix."""
_FILE = re.compile(rf"(training\d{{2}})_(\d{{2}})_({'|'.join(_IMAGES.values())}|mask[12])\.nii(\.gz)?")


def is_isbi2015(root: Path) -> bool:
    """Whether this folder contains patients of the release."""
    return root.is_dir() and any((root / patient / "preprocessed").is_dir() for patient in _patients(root))


def find_isbi2015(root: Path, task: Task, site: Slug | None = None) -> Dataset:
    """Find all timepoints. Raises DatasetError if the task needs images or lesion masks that the release lacks."""
    if task.label != "lesion" or not all(map(_is_released, task.inputs)):
        raise DatasetError(
            f"{root}: wanted data for {task.name}, found the ISBI 2015 release: single {', '.join(_IMAGES)} images "
            "with masks of all lesions (label lesion); choose flair-single or another dataset"
        )
    return dataset_of(_study(root, patient, timepoint, task, site) for patient, timepoint in _timepoints(root))


def _is_released(scan: ScanInput) -> bool:
    return scan.suffix in _IMAGES and scan.visit == "this" and not scan.contrast_agent and not scan.entities


def _patients(root: Path) -> list[str]:
    return sorted(name for name in os.listdir(root) if _PATIENT.fullmatch(name))


def _timepoints(root: Path) -> list[tuple[str, str]]:
    """Unique patients and timepoints of all images and masks."""
    folders = [root / patient / kind for patient in _patients(root) for kind in ("preprocessed", "masks")]
    files = [(folder, _FILE.fullmatch(name)) for folder in folders if folder.is_dir() for name in os.listdir(folder)]
    return sorted({(match[1], match[2]) for folder, match in files if match and match[1] == folder.parent.name})


def _study(root: Path, patient: str, timepoint: str, task: Task, site: Slug | None) -> StudyFiles | Incomplete:
    study = f"sub-{patient}_ses-{timepoint}"
    findings: list[Finding] = []

    def found(kind: str, name: str, place: str, *, optional: bool = False) -> Path | None:
        stem = f"{patient}_{timepoint}_{name}"
        candidates = nifti_of(root / patient / kind, stem)
        if optional and not candidates:
            return None
        missing = f"wanted {kind}/{stem}.nii, found none; add it or exclude the study"
        return only_one(candidates, root.resolve(), place, missing, findings)

    wanted = {scan.role: found("preprocessed", _IMAGES[scan.suffix], place_of(task, scan.role)) for scan in task.inputs}
    images = {role: image for role, image in wanted.items() if image}
    drawn = found("masks", "mask1", "mask"), found("masks", "mask2", "second mask", optional=True)
    reference, second = (Reference(mask) if mask else None for mask in drawn)
    if reference is None or findings:
        return Incomplete(study, tuple(findings), parts_of(task, images, reference, second))
    return StudyFiles(
        study=study,
        patient=patient,
        site=site or DEFAULT_SITE,
        images=images,
        reference=reference,
        second=second,
    )
