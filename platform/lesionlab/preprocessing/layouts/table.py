"""A table of paths (.csv, .tsv) and a task in; the files of its studies out, for data that lie in no known layout.

One row a study. Columns: `study` (`sub-012` or `sub-012_ses-01`), `patient`, one for each image of the task by its role
(`flair`; `initial`, `follow-up`; `before`, `after`) and `mask`. There may be `site`, `second_mask` (another rater's),
`mask_transform` (an ITK affine from native space to that of the masks, for both) and columns on the patient, such as
`age` and `sex`. Paths are relative to the table and stay below its folder. A JSON file beside an image and named as it
is its sidecar. Faults name lines and columns, and repeat neither paths nor names.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from lesionlab.errors import DatasetError
from lesionlab.preprocessing.files import DEFAULT_SITE, Dataset, Reference, StudyFiles, dataset_of
from lesionlab.preprocessing.layouts.bids_sidecars import read_sidecar
from lesionlab.preprocessing.layouts.tabular import Table, read_table, site_of
from lesionlab.preprocessing.paths import fault_of_file, is_study_id, place_of
from storage_schemas.base import Slug
from storage_schemas.manifests import Exclusion
from storage_schemas.tasks import TASKS, Task
from storage_schemas.verdicts import Code, Finding

LOOKED_FOR = "a table of paths (.csv, .tsv)"

_FURTHER = ("site", "second_mask", "mask_transform")
_KNOWN = {"study", "patient", "mask", *_FURTHER, *(role for task in TASKS.values() for role in task.roles)}
"""Columns that say nothing of the patient, whatever the task; those of the task's own roles come to them."""


def is_table(path: Path) -> bool:
    """Whether this is a file that may be a table of paths."""
    return path.suffix in (".csv", ".tsv") and path.is_file()


def find_in_table(path: Path, task: Task, site: Slug | None = None) -> Dataset:
    """All rows, in the order of their studies' names. Raises DatasetError where a column is missing or there is no row.

    The site of a study is that of its row, else `site`, else `site-1`.
    """
    table = read_table(path)
    _check_columns(path, table, task)
    count = Counter(record.get("study", "") for record in table.records())
    found: list[StudyFiles | Exclusion] = []
    for (line, cells), record in zip(table.rows, table.records(), strict=True):
        faults = _faults_of_names(record, count)
        if len(cells) != len(table.columns):
            what = f"wanted {len(table.columns)} cells, as in the first line, found {len(cells)}; correct it"
            faults.insert(0, Finding(code="bad-name", place="row", what=what))
        found.append(_study(path.parent, line, record, faults, task, site or DEFAULT_SITE))
    return dataset_of(sorted(found, key=lambda study: study.study))


def _check_columns(path: Path, table: Table, task: Task) -> None:
    wanted = ("study", "patient", *task.roles, "mask")
    faults = [f"wanted a column {column}, found none; add it" for column in wanted if column not in table.columns]
    twice = [column for column in (*wanted, *_FURTHER) if table.columns.count(column) > 1]
    faults += [f"wanted one column {column}, found more; keep one" for column in twice]
    if not table.rows:
        faults.append("wanted a row for each study below it, found none; add them")
    if faults:
        raise DatasetError(*(f"{path}: line 1: {fault}" for fault in faults))


def _faults_of_names(record: Mapping[str, str], count: Mapping[str, int]) -> list[Finding]:
    """What is wrong with the study's name and the patient's label."""
    faults: list[tuple[str, str]] = []
    if not is_study_id(record.get("study", "")):
        faults.append(("study", "wanted sub-<letters and digits>, and _ses-<letters and digits> if need be; rename it"))
    elif count[record["study"]] > 1:
        faults.append(("study", "wanted each study once, found it on other lines too; keep one, or tell visits apart"))
    if not _patient(record):
        faults.append(("patient", "wanted letters and digits; rename it"))
    return [Finding(code="bad-name", place=place, what=what) for place, what in faults]


def _study(
    folder: Path, line: int, record: Mapping[str, str], findings: list[Finding], task: Task, site: Slug
) -> StudyFiles | Exclusion:
    """One row as a study; `findings` are those that it has already."""
    root = folder.resolve()

    def found(column: str, place: str, *, optional: bool = False) -> Path | None:
        text = record.get(column, "")
        if optional and not text:
            return None
        fault = _fault_of_path(text, folder / text, root)
        if fault:
            findings.append(Finding(code=fault[0], place=place, what=f"column {column} {fault[1]}"))
        return None if fault else folder / text

    images = {role: found(role, place_of(task, role)) for role in task.roles}
    mask = found("mask", "mask")
    second = found("second_mask", "second mask", optional=True)
    transform = found("mask_transform", "mask", optional=True)
    there = {role: image for role, image in images.items() if image}
    sidecars = {role: _sidecar(image, root, place_of(task, role), findings) for role, image in there.items()}
    name = record.get("study", "")
    if mask is None or findings:
        told = tuple(finding.model_copy(update={"what": f"line {line}: {finding.what}"}) for finding in findings)
        return Exclusion(study=name if is_study_id(name) else f"line {line}", findings=told)
    return StudyFiles(
        study=name,
        patient=_patient(record),
        site=site_of(record.get("site", "")) or site,
        images=there,
        reference=Reference(mask, transform),
        second=Reference(second, transform) if second else None,
        sidecars=sidecars,
        participant={column: cell for column, cell in record.items() if column not in {*_KNOWN, *task.roles}},
    )


def _patient(record: Mapping[str, str]) -> str:
    """The patient's label, without `sub-`; empty where it is none."""
    label = record.get("patient", "").removeprefix("sub-")
    return label if re.fullmatch(r"[A-Za-z0-9]+", label) else ""


def _fault_of_path(text: str, path: Path, root: Path) -> tuple[Code, str] | None:
    if not text:
        return "missing-file", "is empty; wanted a path"
    if PurePosixPath(text).is_absolute() or PureWindowsPath(text).drive or text.startswith("~"):
        return "bad-name", "holds an absolute path; wanted one that starts at the table's folder"
    if os.path.normpath(text).split(os.sep)[0] == os.pardir:
        return "bad-name", "leads out of the table's folder; put the table above the data"
    fault = fault_of_file(path, root)
    return ("missing-file", f"names a file that {fault}") if fault else None


def _sidecar(image: Path, root: Path, place: str, findings: list[Finding]) -> dict[str, Any]:
    """The JSON file beside an image, where there is one."""
    path = image.with_name(f"{re.sub(r'[.]nii([.]gz)?$', '', image.name)}.json")
    if not path.is_symlink() and not path.exists():
        return {}
    content = fault_of_file(path, root) or read_sidecar(path)
    if isinstance(content, dict):
        return content
    findings.append(Finding(code="unreadable", place=place, what=f"its JSON file {content}"))
    return {}
