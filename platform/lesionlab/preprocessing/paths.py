"""Check that a file of a dataset may be opened; report a finding if not.

Shared by all layouts: no file outside a dataset's folder is read, and no finding repeats a possible patient name.
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
    """Return the only candidate if it may be opened; otherwise add the reason to `findings` and return None.

    `root` is as in `fault_of_file`; `missing` is the text of the finding if there is no candidate.
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
    """Reason why this file must not be opened, or None; `root` is the dataset's folder with its links resolved."""
    try:
        target = path.resolve(strict=True)
    except (OSError, RuntimeError, ValueError):  # RuntimeError: links in a circle; ValueError: a zero byte
        linked = "is a link to a missing file; fetch its content (datalad get)"
        return linked if is_link(path) else "does not exist; add the file or correct its name"
    if not target.is_relative_to(root):
        return "is a link out of the dataset; copy the file into the dataset"
    return None if target.is_file() else "is not a file; replace it by the file itself"


def is_link(path: Path) -> bool:
    """Whether this is a link; False for a path that cannot be, because it is too long or has a zero byte."""
    try:
        return path.is_symlink()
    except (OSError, ValueError):
        return False


def nifti_of(folder: Path, stem: str) -> list[Path]:
    """`stem.nii` and `stem.nii.gz`, if they exist (also as broken links)."""
    files = [folder / f"{stem}{ending}" for ending in (".nii", ".nii.gz")]
    return [file for file in files if file.is_symlink() or file.exists()]


def is_study_id(name: str) -> bool:
    """Whether this is a valid study name: `sub-012`, `sub-012_ses-01`."""
    try:
        _STUDY_ID.validate_python(name)
    except ValidationError:
        return False
    return True


def hidden(name: str) -> str:
    """Mask a name that may be a patient's but keep its shape, so it can be found: `Smith, J. 42` is `xxxxx, x. 99`."""
    return re.sub(r"[^\W\d_]", "x", re.sub(r"\d", "9", name))


ADD_MASK = "add it (all zeros if the patient has no such lesions) or exclude the study"
"""What to do about a missing mask."""


def place_of(task: Task, role: str) -> str:
    """Name of this image in findings: `FLAIR` if the task has one image, else its role (`initial`, `after`)."""
    return role if len(task.inputs) > 1 else task.scan(role).suffix
