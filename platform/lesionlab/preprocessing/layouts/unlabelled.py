"""Find the scans to predict in a folder: the images of each study, without any mask.

In a BIDS dataset a scan is a session with all images of the task; of tasks that compare two visits, a session with an
earlier one, whose last visit with the images is the initial one. In any other folder each NIfTI file is a scan, for
tasks that read one image; files with BIDS names of another contrast are left out. What is left out is counted in notes;
hidden files are passed over.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from lesionlab.errors import DatasetError
from lesionlab.imaging.formats import format_by_name, is_nifti_name, without_ending
from lesionlab.preprocessing.layouts.bids import is_bids, shows
from lesionlab.preprocessing.layouts.bids_tree import LISTED, BidsName, BidsTree, Visit, parse_name
from lesionlab.preprocessing.paths import fault_of_file, is_study_id, only_one, place_of
from storage_schemas.tasks import Task
from storage_schemas.verdicts import Finding

_RESULTS = ("label", "desc")
"""Entities that say what a derived file is; those of an input are not repeated."""


@dataclass(frozen=True)
class Scan:
    """The images of one study."""

    study: str
    """`sub-01_ses-02`."""
    stem: str
    """Start of the names of derived files: the entities of the native image, under the study's own labels."""
    images: Mapping[str, Path]
    """By role."""


@dataclass(frozen=True)
class UnlabelledDataset:
    """The scans of a folder, by study."""

    scans: tuple[Scan, ...]
    faults: Mapping[str, tuple[str, ...]]
    """By study or file, why it is no scan."""
    notes: tuple[str, ...] = ()
    """What is left out: one note for each kind of file, and for each kind of session."""


def find_scans(root: Path, task: Task, outputs: Path | None = None) -> UnlabelledDataset:
    """Find every scan of a task in a folder; `outputs`, a folder in it, is left out.

    Raises DatasetError if there is none, or if two files would have the same name in a BIDS dataset.
    """
    if not root.is_dir():
        raise DatasetError(f"{root}: there is no such folder; give a BIDS dataset or a folder of NIfTI files")
    found = _in_bids(root, task) if is_bids(root) else _in_folder(root, task, outputs)
    if not found.scans and not found.faults:
        kinds = ", ".join(f"{scan.role} ({scan.suffix})" for scan in task.inputs)
        raise DatasetError(f"{root}: wanted images for {task.name}: {kinds}; found none", *found.notes)
    return found


def _in_bids(root: Path, task: Task) -> UnlabelledDataset:
    tree = BidsTree(root)
    scans, faults, without = list[Scan](), dict[str, tuple[str, ...]](), dict[str, str]()
    paired = any(scan.visit == "initial" for scan in task.inputs)
    for visits in tree.visits((Path(),)).values():
        before, lacking = len(scans) + len(faults), dict[str, str]()
        for visit in visits:
            findings: list[Finding] = []
            scan = _scan(tree, task, visit, visits, findings)
            if scan is not None:
                scans.append(scan)
            if findings:
                name = visit.name if is_study_id(visit.name) else visit.hidden_name
                faults[name] = tuple(finding.text() for finding in findings)
            elif scan is None:
                lacking[visit.name] = tree.listing(visit.anat)
        if not paired or before == len(scans) + len(faults):  # else the first visit of a pair, which is part of a scan
            without |= lacking
    notes = (*_notes_without_scan(task, without), *tree.misnamed((Path(),)))
    return UnlabelledDataset(tuple(scans), faults, notes)


def _notes_without_scan(task: Task, without: Mapping[str, str]) -> Iterable[str]:
    """A note on the sessions, by what they have, that are no scan."""
    if not without:
        return
    first = "; ".join(f"{name} has {found}" for name, found in list(without.items())[:LISTED])
    more = f"; and {len(without) - LISTED} more" * (len(without) > LISTED)
    earlier = " or no earlier session" * any(scan.visit == "initial" for scan in task.inputs)
    kinds = " or ".join(dict.fromkeys(scan.suffix for scan in task.inputs))
    sessions = "1 session has" if len(without) == 1 else f"{len(without)} sessions have"
    yield f"{sessions} no {kinds}{earlier}, left out: {first}{more}"


def _scan(tree: BidsTree, task: Task, visit: Visit, visits: Sequence[Visit], findings: list[Finding]) -> Scan | None:
    """One visit as a scan; None if it has no image of the task or, with the reason in `findings`, not all."""
    initial: Visit | None = None
    if not is_study_id(visit.name):
        if any(map(is_nifti_name, tree.names(visit.anat))):
            what = "wanted only letters and digits in the labels after sub- and ses-; rename the folder"
            findings.append(Finding(code="bad-name", place="folder", what=what))
        return None
    if any(scan.visit == "initial" for scan in task.inputs):
        roles = [scan.role for scan in task.inputs if scan.visit == "initial"]
        earlier = [other for other in visits if other.before(visit) and any(_images(tree, task, other, roles).values())]
        if not earlier:
            return None
        initial = earlier[-1]
    here = [scan.role for scan in task.inputs if scan.visit == "this"]
    if not any(_images(tree, task, visit, here).values()):
        return None
    images: dict[str, Path] = {}
    for scan in task.inputs:
        taken_at = visit if scan.visit == "this" or initial is None else initial
        files = _images(tree, task, taken_at, [scan.role])[scan.role]
        missing = f"wanted an image in {taken_at.anat}, found {tree.listing(taken_at.anat)}; add it"
        if path := only_one(files, tree.resolved, place_of(task, scan.role), missing, findings):
            images[scan.role] = path
    if len(images) < len(task.inputs):
        return None
    native = parse_name(images[task.native].name)
    entities = (
        {} if native is None else {k: v for k, v in native.entities.items() if k not in ("sub", "ses", *_RESULTS)}
    )
    if initial is not None and task.scan(task.native).visit == "initial" and initial.space:
        entities["space"] = initial.space
    return Scan(visit.name, "_".join([visit.name, *(f"{k}-{v}" for k, v in entities.items())]), images)


def _images(tree: BidsTree, task: Task, visit: Visit, roles: Iterable[str]) -> dict[str, list[Path]]:
    files = [file for file in tree.files(visit.anat) if visit.owns(file.name)]
    return {role: [file.path for file in files if shows(file.name, task.scan(role))] for role in roles}


def _in_folder(root: Path, task: Task, outputs: Path | None) -> UnlabelledDataset:
    if len(task.inputs) > 1:
        raise DatasetError(
            f"{root}: {task.name} reads {len(task.inputs)} images of each study; wanted a BIDS dataset, which says "
            "which belong together; or give the images of one study as ROLE=IMAGE"
        )
    (wanted,) = task.inputs
    resolved = root.resolve()
    own = outputs.resolve() if outputs else None
    scans: dict[str, list[Path]] = defaultdict(list)
    faults = dict[str, tuple[str, ...]]()
    left_out, others = 0, Counter[str]()
    for path in sorted(root.rglob("*")):
        if any(part.startswith(".") for part in path.relative_to(root).parts):
            continue
        if not is_nifti_name(path.name):
            if (kind := format_by_name(path.name)) and path.is_file():
                others[kind] += 1
            continue
        if fault := fault_of_file(path, resolved):
            faults[str(path.relative_to(root))] = (fault,)
            continue
        if own and own in path.resolve().parents:
            continue
        name = _bids_name(path)
        if name and not shows(name, wanted):
            left_out += 1
        else:
            scans[_stem(path.relative_to(root))].append(path)
    twice = {stem: paths for stem, paths in scans.items() if len(paths) > 1}
    if twice:
        names = {stem: ", ".join(str(path.relative_to(root)) for path in paths) for stem, paths in twice.items()}
        raise DatasetError(
            *(
                f"{stem}: wanted another name for each file, found {found} for it; rename them"
                for stem, found in names.items()
            )
        )
    found = (Scan(_study(stem), stem, {wanted.role: paths[0]}) for stem, paths in sorted(scans.items()))
    notes = [f"{left_out} files of another contrast are left out"] if left_out else []
    notes += [f"not NIfTI and left out: {count} × {kind}" for kind, count in sorted(others.items())]
    return UnlabelledDataset(tuple(found), faults, tuple(notes))


def _stem(path: Path) -> str:
    """Entities of a BIDS name; of any other file `sub-` with the letters and digits of its path.

    Labels are ASCII: a name with other letters (`Müller`, `患者一`) ends in a digest, so that two never become one.
    """
    if name := _bids_name(path):
        return "_".join(f"{key}-{label}" for key, label in name.entities.items() if key not in _RESULTS)
    text = unicodedata.normalize("NFC", without_ending(str(path)))
    plain = "".join(re.findall(r"[A-Za-z0-9]+", unicodedata.normalize("NFKD", text)))
    digest = "" if plain and text.isascii() else sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:6]
    return f"sub-{plain}{digest}"


def _bids_name(path: Path) -> BidsName | None:
    """The parsed name, whatever the case of its ending; None if it names no subject."""
    stem = without_ending(path.name)
    name = parse_name(stem + path.name[len(stem) :].lower())
    return name if name and "sub" in name.entities else None


def _study(stem: str) -> str:
    return "_".join(part for part in stem.split("_") if part.startswith(("sub-", "ses-")))
