"""Find the files of each study in a table of paths (.csv, .tsv), for data in no known layout.

One row per study. Columns: `study` (`sub-012` or `sub-012_ses-01`), `patient`, one for each image of the task by its
role (`flair`; `initial`, `follow-up`; `before`, `after`) and `mask`. Optional: `site`, `second_mask` (another rater's),
`mask_transform` (an ITK affine from native space to the space of both masks), `<role>_transform` for an image that the
task registers (your own registration: the ITK affine that brings it to the image that it is registered to) and patient
columns such as `age` and `sex`. Paths are relative to the table and must stay below its folder, unless absolute paths
are allowed. A JSON file
next to an image with the same name is its sidecar. Findings name lines and columns but repeat neither paths nor names.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from lesionlab.delimited import is_missing
from lesionlab.errors import DatasetError
from lesionlab.preprocessing.facts import unread_notes
from lesionlab.preprocessing.files import DEFAULT_SITE, Dataset, Incomplete, Reference, StudyFiles, dataset_of, parts_of
from lesionlab.preprocessing.layouts.bids_sidecars import read_sidecar
from lesionlab.preprocessing.layouts.tabular import Table, label_spelling, read_table, site_in, site_notes, width_fault
from lesionlab.preprocessing.paths import ADD_MASK, fault_of_file, is_link, is_study_id, place_of
from storage_schemas.base import Slug
from storage_schemas.tasks import TASKS, Task
from storage_schemas.verdicts import Code, Finding

LOOKED_FOR = "a table of paths (.csv, .tsv)"

_PATIENT = ("age", "sex")
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)
_FURTHER = ("site", "second_mask", "mask_transform")
_KNOWN = {"study", "patient", "mask", *_FURTHER, *(role for task in TASKS.values() for role in task.roles)}
"""Columns that never describe the patient; the roles of the task are added to them."""


def is_table(path: Path) -> bool:
    """Whether this file may be a table of paths."""
    return path.suffix.lower() in (".csv", ".tsv") and path.is_file()


def find_in_table(path: Path, task: Task, site: Slug | None = None, *, absolute_paths: bool = False) -> Dataset:
    """Find the studies of all rows, sorted by name. Raises DatasetError if a column is missing or there is no row.

    The site of a study is that of its row, else `site`, else `site-1`. `absolute_paths`: files may lie anywhere.
    """
    table = read_table(path)
    _check_columns(path, table, task)
    default_site = site or DEFAULT_SITE
    root = Path(path.resolve().anchor) if absolute_paths else path.parent.resolve()
    count = Counter(record.get("study", "") for record in table.records())
    patients = {label for record in table.records() if (label := _patient(record))}
    spelled = Counter(map(label_spelling, patients))
    found: list[StudyFiles | Incomplete] = []
    for (line, cells), record in zip(table.rows, table.records(), strict=True):
        faults = _faults_of_names(record, count, spelled)
        if what := width_fault(table, cells):
            faults.insert(0, Finding(code="bad-name", place="row", what=what))
        found.append(_study(path.parent, root, line, record, faults, task, default_site))
    notes = (*site_notes(path.name, table, default_site), *unread_notes(path.name, table.records()))
    return dataset_of(sorted(found, key=lambda study: study.study), notes)


def _further(task: Task) -> tuple[str, ...]:
    """Optional columns of this task."""
    return (*_FURTHER, *(_transform_column(move.moving) for move in task.registrations))


def _transform_column(role: str) -> str:
    return f"{role}_transform"


def _check_columns(path: Path, table: Table, task: Task) -> None:
    wanted, further = ("study", "patient", *task.roles, "mask"), _further(task)
    found = {column.lower() for column in table.columns}
    faults = [f"wanted a column {column}, found none; add it" for column in wanted if column.lower() not in found]
    if len(faults) == len(wanted):
        separated = f"wanted the names of the columns {', '.join(wanted)}, separated by commas, tabs or semicolons"
        faults = [f"{separated}, found none of them; write them above the rows"]
    exact = {name.lower(): name for name in (*wanted, *further)}
    faults += [
        f"wanted the column {exact[column.lower()]}, found {column}; rename it"
        for column in table.columns
        if column.lower() in exact and column not in exact.values()
    ]
    twice = [column for column in (*wanted, *further) if table.columns.count(column) > 1]
    twice += [column for column in _PATIENT if [name.lower() for name in table.columns].count(column) > 1]
    faults += [f"wanted one column {column}, found several; keep one" for column in twice]
    if not table.rows:
        faults.append("wanted one row per study below this line, found none; add the rows")
    if faults:
        raise DatasetError(*(f"{path}: line 1: {fault}" for fault in faults))


def _faults_of_names(record: Mapping[str, str], count: Mapping[str, int], spelled: Mapping[str, int]) -> list[Finding]:
    """Findings on the study's name and the patient's label.

    `count`: lines by study; `spelled`: labels of patients that differ in nothing but their spelling.
    """
    faults: list[tuple[str, str]] = []
    if not is_study_id(record.get("study", "")):
        faults.append(
            ("study", "wanted sub-<letters and digits>, optionally with _ses-<letters and digits>; rename it")
        )
    elif count[record["study"]] > 1:
        faults.append(("study", "wanted each study once, found it on several lines; keep one, or name visits apart"))
    patient = _patient(record)
    if is_missing(record.get("patient", "")):
        faults.append(("patient", "wanted a label in every row, found none; fill it in"))
    elif not patient:
        faults.append(("patient", "wanted only letters and digits; rename it"))
    elif spelled[label_spelling(patient)] > 1:
        found = "found it with other capital letters or leading zeros on another line"
        faults.append(("patient", f"wanted one label for each patient, {found}; write both alike, or rename one"))
    return [Finding(code="bad-name", place=place, what=what) for place, what in faults]


def _study(
    folder: Path, root: Path, line: int, record: Mapping[str, str], findings: list[Finding], task: Task, site: Slug
) -> StudyFiles | Incomplete:
    """One row as a study, whose files lie below `root`; `findings` are those already made on its row."""

    def found(column: str, place: str, *, optional: bool = False) -> Path | None:
        text = record.get(column, "")
        if optional and is_missing(text):
            return None
        fault = _fault_of_path(text, folder / text, root)
        if fault:
            remedy = f"column {column} has no path; {ADD_MASK}" if column == "mask" and is_missing(text) else ""
            findings.append(Finding(code=fault[0], place=place, what=remedy or f"column {column} {fault[1]}"))
        return None if fault else folder / text

    images = {role: found(role, place_of(task, role)) for role in task.roles}
    mask = found("mask", "mask")
    second = found("second_mask", "second mask", optional=True)
    transform = found("mask_transform", "mask", optional=True)
    own = {
        move.moving: found(_transform_column(move.moving), place_of(task, move.moving), optional=True)
        for move in task.registrations
    }
    there = {role: image for role, image in images.items() if image}
    sidecars = {role: _sidecar(image, root, place_of(task, role), findings) for role, image in there.items()}
    name = record.get("study", "")
    reference, other = (Reference(drawn, transform) if drawn else None for drawn in (mask, second))
    if reference is None or findings:
        placed = tuple(finding.model_copy(update={"what": f"line {line}: {finding.what}"}) for finding in findings)
        there_too = parts_of(task, there, reference, other, sidecars)
        return Incomplete(name if is_study_id(name) else f"line {line}", placed, there_too)
    return StudyFiles(
        study=name,
        patient=_patient(record),
        site=site_in(record) or site,
        images=there,
        reference=reference,
        second=other,
        transforms={role: path for role, path in own.items() if path},
        sidecars=sidecars,
        participant={
            column: cell for column, cell in record.items() if column not in {*_KNOWN, *_further(task), *task.roles}
        },
    )


def _patient(record: Mapping[str, str]) -> str:
    """The patient's label without `sub-`; empty if it is not valid."""
    label = record.get("patient", "").removeprefix("sub-")
    return label if re.fullmatch(r"[A-Za-z0-9]+", label) else ""


def _fault_of_path(text: str, path: Path, root: Path) -> tuple[Code, str] | None:
    if is_missing(text):
        return "missing-file", "has no path; add it"
    if _ADDRESS.match(text):
        return "bad-name", "has an address with ://; wanted the path of a file, relative to the table's folder"
    anywhere = root == Path(root.anchor)
    if PureWindowsPath(text).drive or text.startswith("~") or (PurePosixPath(text).is_absolute() and not anywhere):
        allow = "" if anywhere else ", or --absolute-paths"
        return "bad-name", f"has an absolute path; wanted a path relative to the table's folder{allow}"
    if os.path.normpath(text).split(os.sep)[0] == os.pardir and not anywhere:
        return "bad-name", "leads out of the table's folder; move the table to a folder above the data"
    fault = fault_of_file(path, root)
    if fault and "\\" in text:
        return "bad-name", "has a path with \\ that names no file here; write / between folders"
    return ("missing-file", f"names a file that {fault}") if fault else None


def _sidecar(image: Path, root: Path, place: str, findings: list[Finding]) -> dict[str, Any]:
    """Content of the JSON file next to an image, if there is one."""
    path = image.with_name(f"{re.sub(r'[.]nii([.]gz)?$', '', image.name)}.json")
    if not is_link(path) and not path.exists():
        return {}
    content = fault_of_file(path, root) or read_sidecar(path)
    if isinstance(content, dict):
        return content
    findings.append(Finding(code="unreadable", place=place, what=f"its JSON file {content}"))
    return {}
