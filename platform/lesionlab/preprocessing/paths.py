"""A file that a dataset names in; the file, if it may be opened, or a finding, out.

Shared by all layouts: nothing outside a dataset's folder is read, and no finding repeats what may be a patient's name.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from storage_schemas.base import StudyId
from storage_schemas.tasks import Task
from storage_schemas.verdicts import Finding

_STUDY_ID: TypeAdapter[str] = TypeAdapter(StudyId)


def only_one(candidates: Sequence[Path], root: Path, place: str, missing: str, findings: list[Finding]) -> Path | None:
    """The one candidate, where there is just one and it may be opened; else None, and why is added to `findings`.

    `root` is as `fault_of_file` wants it; `missing` tells what was wanted and found where there is no candidate.
    """
    if not candidates:
        findings.append(Finding(code="missing-file", place=place, what=missing))
    elif len(candidates) > 1:
        what = f"wanted one file, found {', '.join(path.name for path in candidates)}; keep one of them"
        findings.append(Finding(code="ambiguous-file", place=place, what=what))
    elif fault := fault_of_file(candidates[0], root):
        findings.append(Finding(code="missing-file", place=place, what=f"{candidates[0].name} {fault}"))
    else:
        return candidates[0]
    return None


def fault_of_file(path: Path, root: Path) -> str | None:
    """Why this file must not be opened, if so; `root` is the dataset's folder, with its own links resolved."""
    try:
        target = path.resolve(strict=True)
    except (OSError, RuntimeError, ValueError):
        linked = "is a link to a file that is not there; fetch its content (datalad get)"
        return linked if path.is_symlink() else "is not there; add the file or correct its name"
    if not target.is_relative_to(root):
        return "is a link out of the dataset; copy the file into it"
    return None if target.is_file() else "is not a file; put the file itself there"


def nifti_of(folder: Path, stem: str) -> list[Path]:
    """`stem.nii` and `stem.nii.gz`, as far as they are there (links to nowhere too)."""
    files = [folder / f"{stem}{ending}" for ending in (".nii", ".nii.gz")]
    return [file for file in files if file.is_symlink() or file.exists()]


def is_study_id(name: str) -> bool:
    """Whether a study may be called so: `sub-012`, `sub-012_ses-01`."""
    try:
        _STUDY_ID.validate_python(name)
    except ValidationError:
        return False
    return True


def hidden(name: str) -> str:
    """The shape of a name that may be a patient's, so that it is found again: `Smith, J. 42` is `xxxxx, x. 99`."""
    return re.sub(r"[^\W\d_]", "x", re.sub(r"\d", "9", name))


def place_of(task: Task, role: str) -> str:
    """What a finding calls this image: `FLAIR` where the task reads one image, else its role (`initial`, `after`)."""
    return role if len(task.inputs) > 1 else task.scan(role).suffix
