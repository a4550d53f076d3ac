"""Find the studies of the BraTS challenges as released, from 2017 on.

    BraTS2021_00000/BraTS2021_00000_flair.nii.gz  …_t1  …_t1ce  …_t2  …_seg         2017 to 2021, also under HGG/, LGG/
    BraTS-GLI-00000-000/BraTS-GLI-00000-000-t2f.nii.gz  …-t1n  …-t1c  …-t2w  …-seg  from 2023 on; the last number: visit

Images lie on one grid, skull-stripped. The segmentation has labels: 1 necrosis or non-enhancing core, 2 oedema, and
enhancing tumour, 4 until 2021 and 3 from 2023 on (where 4 is a resection cavity, which is no lesion; Baid et al. 2021,
de Verdier et al. 2024). The whole tumour is the mask of tasks with the label `lesion`, enhancing tumour that of
`enhancing`. `.nii` is accepted too.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lesionlab.errors import DatasetError
from lesionlab.preprocessing.files import DEFAULT_SITE, Dataset, Incomplete, Reference, StudyFiles, dataset_of, parts_of
from lesionlab.preprocessing.paths import ADD_MASK, hidden, is_study_id, nifti_of, only_one, place_of
from storage_schemas.base import Slug
from storage_schemas.tasks import ScanInput, Task
from storage_schemas.verdicts import Finding

LOOKED_FOR = "folders of patients such as BraTS2021_00000 or BraTS-GLI-00000-000"

_CASE = re.compile(
    r"brats(?:\d{2,4}_(?:training_|validation_)?(?P<old>\w+)|-[a-z]+-(?P<new>\w+)-(?P<visit>\w+))", re.IGNORECASE
)


@dataclass(frozen=True)
class _Release:
    """How one generation of releases names its files and numbers its labels."""

    joint: str
    images: dict[tuple[str, str | None], str]
    """File name by suffix and contrast agent of BIDS."""
    masks: dict[str, frozenset[int]]
    """Labels that are lesion, by the label of a task."""


_OLD = _Release(
    "_",
    {("FLAIR", None): "flair", ("T1w", None): "t1", ("T1w", "gadolinium"): "t1ce", ("T2w", None): "t2"},
    {"lesion": frozenset({1, 2, 4}), "enhancing": frozenset({4})},
)
_NEW = _Release(
    "-",
    {("FLAIR", None): "t2f", ("T1w", None): "t1n", ("T1w", "gadolinium"): "t1c", ("T2w", None): "t2w"},
    {"lesion": frozenset({1, 2, 3}), "enhancing": frozenset({3})},
)


def is_brats(root: Path) -> bool:
    """Whether this folder contains patients of a release."""
    return root.is_dir() and next(_cases(root), None) is not None


def find_brats(root: Path, task: Task, site: Slug | None = None) -> Dataset:
    """Find one study per patient and visit. Raises DatasetError if the task needs what the releases lack."""
    if task.label not in _OLD.masks or not all(map(_is_released, task.inputs)):
        raise DatasetError(
            f"{root}: wanted data for {task.name}, found a BraTS release: FLAIR, T1w with and without gadolinium and "
            "T2w of one visit, masks of the whole and of the enhancing tumour (labels lesion, enhancing); choose "
            "flair-single, enhancing or another dataset"
        )
    return dataset_of(_study(root, folder, task, site) for folder in sorted(_cases(root)))


def _cases(root: Path) -> Iterator[Path]:
    """Folders of patients in the top folder, or one below it (HGG, LGG)."""
    for name in sorted(os.listdir(root)):
        if _CASE.fullmatch(name) and (root / name).is_dir():
            yield root / name
        elif (root / name).is_dir() and not (root / name).is_symlink():
            yield from (root / name / below for below in sorted(os.listdir(root / name)) if _CASE.fullmatch(below))


def _is_released(scan: ScanInput) -> bool:
    return (scan.suffix, scan.contrast_agent) in _OLD.images and scan.visit == "this" and not scan.entities


def _study(root: Path, folder: Path, task: Task, site: Slug | None) -> StudyFiles | Incomplete:
    case = _CASE.fullmatch(folder.name)
    assert case is not None
    # Between letters and digits of the parts stands an x, so that 10_1 and 1_01 stay apart.
    patient = f"brats{(case['old'] or case['new']).replace('_', 'x')}"
    study = f"sub-{patient}" + (f"_ses-{case['visit']}" if case["visit"] else "")
    if not is_study_id(study):
        what = "wanted only letters, digits and _, as in BraTS2021_00000; rename the patient's folder"
        return Incomplete(hidden(study), (Finding(code="bad-name", place="folder", what=what),))
    release = _OLD if case["old"] else _NEW
    findings: list[Finding] = []

    def found(name: str, place: str, remedy: str = "add it or exclude the study") -> Path | None:
        stem = f"{folder.name}{release.joint}{name}"
        missing = f"wanted {stem}.nii.gz, found none; {remedy}"
        return only_one(nifti_of(folder, stem), root.resolve(), place, missing, findings)

    wanted = {
        scan.role: found(release.images[scan.suffix, scan.contrast_agent], place_of(task, scan.role))
        for scan in task.inputs
    }
    images = {role: path for role, path in wanted.items() if path}
    mask = found("seg", "mask", ADD_MASK)
    reference = Reference(mask, labels=release.masks[task.label]) if mask else None
    if reference is None or findings:
        return Incomplete(study, tuple(findings), parts_of(task, images, reference))
    return StudyFiles(
        study=study,
        patient=patient,
        site=site or DEFAULT_SITE,
        images=images,
        reference=reference,
    )
