"""A BIDS dataset in; the files of each study of a task out, and what is wrong with the studies that lack some.

Images are looked for in `sub-*/[ses-*/]anat`, reference masks in `derivatives/manual/sub-*/[ses-*/]anat`.
"""

from __future__ import annotations

import csv
import json
import re
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from lesionlab.errors import DatasetError
from lesionlab.preprocessing.files import Dataset, Reference, StudyFiles
from storage_schemas.base import Slug, StudyId
from storage_schemas.manifests import Exclusion
from storage_schemas.tasks import Task
from storage_schemas.verdicts import Code, Finding

MASKS = Path("derivatives/manual")
DEFAULT_SITE: Slug = "site-1"

_STUDY_ID: TypeAdapter[str] = TypeAdapter(StudyId)


@dataclass(frozen=True)
class BidsName:
    """`sub-012_ce-gadolinium_T1w.nii.gz`, taken apart."""

    entities: dict[str, str]
    suffix: str


@dataclass(frozen=True)
class _Role:
    """One file that a study must have."""

    name: str
    tree: Path
    """Part of the dataset that it lies in."""
    suffix: str
    entity: str
    """The BIDS entity that tells it from others of its suffix, and the value wanted (None: must be absent)."""
    value: str | None


def parse_name(name: str) -> BidsName | None:
    """The entities and the suffix of a NIfTI file's name; None where it is not a BIDS name of one."""
    stem = re.fullmatch(r"(.+)\.nii(\.gz)?", name)
    if stem is None:
        return None
    *pairs, suffix = stem[1].split("_")
    parsed = [re.fullmatch(r"([a-z]+)-([A-Za-z0-9+]+)", pair) for pair in pairs]
    entities = {match[1]: match[2] for match in parsed if match}
    if len(entities) < len(pairs) or not re.fullmatch(r"[A-Za-z0-9]+", suffix):
        return None
    return BidsName(entities, suffix)


def find_studies(root: Path, task: Task, site: Slug | None = None) -> Dataset:
    """All studies in `root`, each session one study; those without exactly one file per role are faulty.

    The site of a study is that of its patient in `participants.tsv` (column `site`), else `site`, else `site-1`.
    Files may be links, but never out of the dataset. Raises DatasetError where `root` is no BIDS dataset or has no
    subject.
    """
    _check_dataset(root)
    sites = _sites_of_patients(root)
    studies: list[StudyFiles] = []
    faulty: list[Exclusion] = []
    for folder in _study_folders(root):
        found = _study_files(root, folder, task, sites, site or DEFAULT_SITE)
        if isinstance(found, StudyFiles):
            studies.append(found)
        else:
            faulty.append(found)
    if not studies and not faulty:
        raise DatasetError(f"{root}: this BIDS dataset is empty; wanted folders sub-*/[ses-*/]anat")
    return Dataset(tuple(studies), tuple(faulty))


def _check_dataset(root: Path) -> None:
    if not root.is_dir():
        raise DatasetError(f"{root}: there is no such folder; give the top folder of a BIDS dataset")
    description = root / "dataset_description.json"
    if not description.is_file():
        raise DatasetError(f"{root}: this is not a BIDS dataset: it has no {description.name}; give its top folder")
    try:
        content = json.loads(description.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DatasetError(f"{description}: not readable as JSON ({error}); correct it") from error
    if not isinstance(content, dict) or "BIDSVersion" not in content:
        raise DatasetError(f"{description}: wanted the field BIDSVersion; add it")


def _sites_of_patients(root: Path) -> dict[str, Slug]:
    """Site by participant_id, as far as participants.tsv tells; made a plain name (`Site A` becomes `site-a`)."""
    table = root / "participants.tsv"
    if not table.is_file():
        return {}
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file, delimiter="\t"))
    except (ValueError, csv.Error) as error:
        raise DatasetError(f"{table}: not readable as a table ({error}); save it as UTF-8 with tabs") from error
    named = {row.get("participant_id") or "": row.get("site") or "n/a" for row in rows}
    sites = {patient: re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:63] for patient, name in named.items()}
    return {patient: site for patient, site in sites.items() if site and named[patient] != "n/a"}


def _study_folders(root: Path) -> list[Path]:
    """Relative folders `sub-X` or `sub-X/ses-Y` that hold images or masks, or nothing at all."""
    folders: set[Path] = set()
    for base in (root, root / MASKS):
        for subject in base.glob("sub-*/"):
            sessions = [session.relative_to(base) for session in subject.glob("ses-*/")]
            folders.update(sessions)
            if not sessions or (subject / "anat").is_dir():
                folders.add(subject.relative_to(base))
    return sorted(folders)


def _study_files(
    root: Path, folder: Path, task: Task, sites: dict[str, Slug], default_site: Slug
) -> StudyFiles | Exclusion:
    study = "_".join(folder.parts)
    try:
        _STUDY_ID.validate_python(study)
    except ValidationError:
        wanted = "wanted letters and digits in the labels of sub- and ses-; rename it"
        return Exclusion(study=study, findings=(Finding(code="bad-name", place="folder", what=wanted),))
    findings: list[Finding] = []
    files: list[Path] = []
    for role in _roles(task):
        place = root / role.tree / folder / "anat"
        candidates = [path for path in sorted(place.glob("*.nii*")) if _fits(path.name, study, role)]
        fault = _fault_of(candidates, root, place, study, role)
        if fault:
            findings.append(Finding(code=_code_of(candidates), place=role.name, what=fault))
        else:
            files.append(candidates[0])
    if findings:
        return Exclusion(study=study, findings=tuple(findings))
    return StudyFiles(
        study=study,
        patient=folder.parts[0].removeprefix("sub-"),
        site=sites.get(folder.parts[0], default_site),
        images=dict(zip(task.roles, files, strict=False)),
        reference=Reference(files[-1]),
    )


def _roles(task: Task) -> list[_Role]:
    images = [_Role(scan.suffix, Path(), scan.suffix, "ce", scan.contrast_agent) for scan in task.inputs]
    return [*images, _Role("mask", MASKS, "mask", "label", task.label)]


def _fits(name: str, study: str, role: _Role) -> bool:
    """Whether this is the name of a file of this study in this role."""
    parsed = parse_name(name)
    if parsed is None or not name.startswith(f"{study}_") or ("ses" in parsed.entities) != ("_ses-" in study):
        return False
    return parsed.suffix == role.suffix and parsed.entities.get(role.entity) == role.value


def _code_of(candidates: list[Path]) -> Code:
    return "ambiguous-file" if len(candidates) > 1 else "missing-file"


def _fault_of(candidates: list[Path], root: Path, place: Path, study: str, role: _Role) -> str | None:
    """What is wrong with the files found for one role, if anything is."""
    if not candidates:
        names = sorted(path.name for path in place.glob("*.nii*"))
        there = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if names[3:] else "") or "no NIfTI file"
        entity = f"{role.entity}-{role.value}_" if role.value else ""
        example = place.relative_to(root) / f"{study}_{entity}{role.suffix}.nii.gz"
        return f"wanted {example}, found {there}; add it or exclude the study"
    if len(candidates) > 1:
        return f"wanted one file, found {', '.join(path.name for path in candidates)}; keep one of them"
    try:
        target = candidates[0].resolve(strict=True)
    except (OSError, RuntimeError):
        return f"{candidates[0].name} is a link to a file that is not there; fetch its content (datalad get)"
    if not target.is_relative_to(root.resolve()):
        return f"{candidates[0].name} is a link out of the dataset; copy the file into it"
    return None
