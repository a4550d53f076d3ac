"""Find the study pairs of the MSSEG-2 challenge as released (Commowick et al., MICCAI 2021).

    013/flair_time01_on_middle_space.nii.gz  flair_time02_on_middle_space.nii.gz     both registered to a halfway space
    013/ground_truth.nii.gz  ground_truth_expert1.nii.gz … _expert4.nii.gz           new lesions, on the same grid

`training` and `testing` are separate datasets. The consensus is the reference; native space is the middle space. The
experts' own masks are not read, because the consensus is made from them (lesions drawn by three of the four experts or
confirmed by a fifth; of their voxels, those drawn by half of these experts). An expert would be compared partly with
himself and look better than an independent second rater. `.nii` is accepted too.
"""

from __future__ import annotations

import os
from pathlib import Path

from lesionlab.errors import DatasetError
from lesionlab.preprocessing.files import DEFAULT_SITE, Dataset, Incomplete, Reference, StudyFiles, dataset_of, parts_of
from lesionlab.preprocessing.paths import ADD_MASK, hidden, is_study_id, nifti_of, only_one, place_of
from storage_schemas.base import Slug
from storage_schemas.tasks import ScanInput, Task, Visit
from storage_schemas.verdicts import Finding

LOOKED_FOR = "folders of patients with flair_time01_on_middle_space.nii.gz"

_IMAGES: dict[Visit, str] = {"initial": "flair_time01_on_middle_space", "this": "flair_time02_on_middle_space"}
_CONSENSUS = "ground_truth"


def is_msseg2(root: Path) -> bool:
    """Whether this folder contains patients of the release."""
    return root.is_dir() and any(nifti_of(root / name, _IMAGES["initial"]) for name in os.listdir(root))


def find_msseg2(root: Path, task: Task, site: Slug | None = None) -> Dataset:
    """Find one pair per patient. Raises DatasetError if the task needs images or masks that the release lacks."""
    if task.label != "newlesion" or not all(map(_is_released, task.inputs)):
        raise DatasetError(
            f"{root}: wanted data for {task.name}, found the MSSEG-2 release: pairs of FLAIR images with masks of new "
            "lesions (label newlesion); choose flair-new, flair-new-pair or another dataset"
        )
    stems = (*_IMAGES.values(), _CONSENSUS)
    patients = [name for name in sorted(os.listdir(root)) if any(nifti_of(root / name, stem) for stem in stems)]
    return dataset_of(_study(root, patient, task, site) for patient in patients)


def _is_released(scan: ScanInput) -> bool:
    return scan.suffix == "FLAIR" and not scan.contrast_agent and not scan.entities


def _study(root: Path, patient: str, task: Task, site: Slug | None) -> StudyFiles | Incomplete:
    study = f"sub-{patient}_ses-02"
    if not is_study_id(study):
        what = "wanted only letters and digits, as in 013; rename the patient's folder"
        return Incomplete(f"sub-{hidden(patient)}_ses-02", (Finding(code="bad-name", place="folder", what=what),))
    findings: list[Finding] = []

    def found(stem: str, place: str) -> Path | None:
        remedy = ADD_MASK if place == "mask" else "add it or exclude the study"
        missing = f"wanted {patient}/{stem}.nii.gz, found none; {remedy}"
        return only_one(nifti_of(root / patient, stem), root.resolve(), place, missing, findings)

    wanted = {scan.role: found(_IMAGES[scan.visit], place_of(task, scan.role)) for scan in task.inputs}
    images = {role: path for role, path in wanted.items() if path}
    mask = found(_CONSENSUS, "mask")
    reference = Reference(mask) if mask else None
    if reference is None or findings:
        return Incomplete(study, tuple(findings), parts_of(task, images, reference))
    return StudyFiles(
        study=study,
        patient=patient,
        site=site or DEFAULT_SITE,
        images=images,
        reference=reference,
    )
