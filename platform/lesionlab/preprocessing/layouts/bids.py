"""Find the files of each study of a task in a BIDS dataset; report the faults of incomplete studies.

Images are in `sub-*/[ses-*/]anat`, reference masks in `derivatives/manual/sub-*/[ses-*/]anat` and a second rater's
masks in `derivatives/grader2/…` under the same names. A study is a session. In tasks that compare two visits it is the
follow-up session, and the `space-` entity of its mask (`space-ses01`) names the initial session.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lesionlab.errors import DatasetError
from lesionlab.preprocessing.files import DEFAULT_SITE, Dataset, Incomplete, Reference, StudyFiles, dataset_of, parts_of
from lesionlab.preprocessing.layouts.bids_masks import (
    MASKS,
    SECOND_MASKS,
    DrawnMask,
    Spaces,
    drawn_mask,
    labelled_masks,
)
from lesionlab.preprocessing.layouts.bids_sidecars import BidsSidecars, read_sidecar
from lesionlab.preprocessing.layouts.bids_times import DatedScan, contradicting_sources
from lesionlab.preprocessing.layouts.bids_tree import BidsName, BidsTree, Visit, parse_name
from lesionlab.preprocessing.layouts.participants import Participants, listed, read_participants
from lesionlab.preprocessing.layouts.tabular import site_in
from lesionlab.preprocessing.paths import is_study_id, only_one, place_of
from storage_schemas.base import Slug
from storage_schemas.tasks import ScanInput, Task
from storage_schemas.verdicts import Finding

_SAME_IMAGE = ("acq", "rec", "run", "echo", "part", "inv")
"""Entities that tell images of one contrast and session apart."""
DESCRIPTION = "dataset_description.json"
LOOKED_FOR = f"a file {DESCRIPTION}"


@dataclass(frozen=True)
class _Bids:
    """One dataset with everything that its studies share."""

    tree: BidsTree
    sidecars: BidsSidecars
    participants: Mapping[str, Mapping[str, str]]
    task: Task
    site: Slug


def is_bids(root: Path) -> bool:
    """Whether this folder declares itself a BIDS dataset."""
    return (root / DESCRIPTION).is_file()


def find_studies(root: Path, task: Task, site: Slug | None = None, *, every_fault: bool = False) -> Dataset:
    """Find all studies in `root`; those without exactly one file per role, or with bad sidecars or times, are faulty.

    A session without any file of the task is not a study; in tasks that compare two visits, neither is a session
    without a mask and without an earlier session. The site of a study is that of its patient in `participants.tsv`
    (column `site`), else `site`, else `site-1`. Files may be links within the dataset, but not out of it. Raises
    DatasetError if `root` is not a BIDS dataset, has no study of this task, or its participants.tsv does not match its
    subjects; with `every_fault` the dataset says so itself, so that its studies can be checked too.
    """
    _check_dataset(root)
    tree = BidsTree(root)
    visits_of = tree.visits((Path(), MASKS))
    participants, faults = Participants(), tuple[str, ...]()
    try:
        participants = read_participants(tree, visits_of, site or DEFAULT_SITE)
    except DatasetError as error:
        if not every_fault:
            raise
        faults = error.args
    bids = _Bids(tree, BidsSidecars(tree), participants.rows, task, site or DEFAULT_SITE)
    studies_of = {
        subject: [study for visit in visits if (study := _study(bids, visit, visits)) is not None]
        for subject, visits in visits_of.items()
    }
    misnamed = tree.misnamed((Path(), MASKS))
    notes = (*participants.notes, *_notes_without_study(task, studies_of), *misnamed)
    found = dataset_of((study for studies in studies_of.values() for study in studies), notes)
    if not found.studies and not found.faulty:
        nothing = f"{root}: this BIDS dataset has no study for {task.name}; {_wanted(task)}"
        raise DatasetError(nothing, *faults, *misnamed)
    return replace(found, faults=faults)


def _notes_without_study(task: Task, studies_of: Mapping[str, Sequence[object]]) -> Iterable[str]:
    """A note on the subjects without a study, complete or not."""
    without = [subject for subject, studies in studies_of.items() if not studies]
    if without:
        count = f"{len(without)} subject{'s have' if without[1:] else ' has'} no study for {task.name}"
        earlier = ", or no earlier session" * _is_paired(task)
        yield f"{count} ({listed(without)}): no mask, and no image{earlier}; not used"


def _check_dataset(root: Path) -> None:
    if not root.is_dir():
        raise DatasetError(f"{root}: there is no such folder; give the top folder of a BIDS dataset")
    description = root / DESCRIPTION
    if not is_bids(root):
        raise DatasetError(f"{root}: wanted a BIDS dataset, found no {DESCRIPTION}; give the dataset's top folder")
    content = read_sidecar(description)
    if isinstance(content, str):
        raise DatasetError(f"{description} {content}")
    if "BIDSVersion" not in content:
        raise DatasetError(f"{description}: wanted the field BIDSVersion, found none; add it")


def _study(bids: _Bids, visit: Visit, visits: Sequence[Visit]) -> StudyFiles | Incomplete | None:
    """One visit as a study; None if it does not concern this task."""
    if not is_study_id(visit.name):
        what = "wanted only letters and digits in the labels after sub- and ses-; rename the folder"
        return Incomplete(visit.hidden_name, (Finding(code="bad-name", place="folder", what=what),))
    spaces = _spaces(bids.task, visit, visits)
    if not _concerns(bids, visit, spaces):
        return None
    findings: list[Finding] = []
    mask, second = _masks(bids, visit, spaces, findings)
    initial = mask.native if mask else _only(spaces.native.values())
    about_images: list[Finding] = []
    scans: dict[str, DatedScan] = {}
    for scan in bids.task.inputs:
        taken_at = visit if scan.visit == "this" else initial
        found = _scan(bids, taken_at, scan, about_images) if taken_at else None
        if found:
            scans[scan.role] = found
    masks = {place: one.reference for place, one in (("mask", mask), ("second mask", second)) if one}
    drawn_on = scans.get(bids.task.native)
    about_masks = [
        finding for place, one in masks.items() if drawn_on and (finding := _of_another_image(one, drawn_on, place))
    ]
    findings = [*about_images, *_visit_order_findings(bids, scans), *findings, *about_masks]
    images = {role: scan.image for role, scan in scans.items()}
    sidecars = {role: scan.sidecar for role, scan in scans.items()}
    reference, other = (one.reference if one else None for one in (mask, second))
    if reference is None or findings:
        return Incomplete(visit.name, tuple(findings), parts_of(bids.task, images, reference, other, sidecars))
    participant = bids.participants.get(visit.subject, {})
    return StudyFiles(
        study=visit.name,
        patient=visit.subject.removeprefix("sub-"),
        site=site_in(participant) or bids.site,
        images=images,
        reference=reference,
        second=other,
        sidecars=sidecars,
        participant=participant,
    )


def _spaces(task: Task, visit: Visit, visits: Sequence[Visit]) -> Spaces:
    """Names of native space in the masks of this visit."""
    if not _is_paired(task):
        return Spaces(dict.fromkeys([None, "orig", visit.space], visit))
    return Spaces(
        native={other.space: other for other in visits if other.before(visit)},
        later=[other.space for other in visits if visit.before(other)],
    )


def _is_paired(task: Task) -> bool:
    return any(scan.visit == "initial" for scan in task.inputs)


def _concerns(bids: _Bids, visit: Visit, spaces: Spaces) -> bool:
    """Whether the visit has a mask of the task, or an image of it and, if two visits are compared, an earlier visit."""
    if labelled_masks(bids.tree, MASKS, visit, bids.task.label):
        return True
    here = [scan for scan in bids.task.inputs if scan.visit == "this"]
    names = [file.name for file in bids.tree.files(visit.anat)]
    return bool(spaces.native) and any(shows(name, scan) for name in names for scan in here)


def _masks(
    bids: _Bids, visit: Visit, spaces: Spaces, findings: list[Finding]
) -> tuple[DrawnMask | None, DrawnMask | None]:
    """The reference and the second rater's mask, if any, on the same image."""
    if not spaces.native:
        what = f"wanted a session before {visit.session or 'this one'}, found none; add it or exclude the study"
        findings.append(Finding(code="missing-file", place="initial", what=f"{what} (sessions are ordered by label)"))
        return None, None
    label = bids.task.label
    mask = drawn_mask(bids.tree, MASKS, visit, bids.task, spaces, "mask", findings)
    if not labelled_masks(bids.tree, SECOND_MASKS, visit, label):
        return mask, None
    if mask:
        spaces = Spaces({name: native for name, native in spaces.native.items() if native == mask.native})
    return mask, drawn_mask(bids.tree, SECOND_MASKS, visit, bids.task, spaces, "second mask", findings)


def _scan(bids: _Bids, visit: Visit, scan: ScanInput, findings: list[Finding]) -> DatedScan | None:
    """The only image of a visit in a role, with its sidecar."""
    place = place_of(bids.task, scan.role)
    files = {
        file.path: file for file in bids.tree.files(visit.anat) if visit.owns(file.name) and shows(file.name, scan)
    }
    missing = f"wanted {visit.anat / visit.name}_{_ending(scan)}, found {bids.tree.listing(visit.anat)}"
    spelled = [name for name in bids.tree.names(visit.anat) if name.lower() == f"{visit.name}_{_ending(scan)}".lower()]
    remedy = "rename it: capital letters count" if spelled else "add it or exclude the study"
    path = only_one(list(files), bids.tree.resolved, place, f"{missing}; {remedy}", findings)
    return DatedScan(visit, path, bids.sidecars.of(files[path], place, findings)) if path else None


def _of_another_image(mask: Reference, scan: DatedScan, place: str) -> Finding | None:
    """The finding if the names of the mask and of the only image say that it was drawn on another one."""
    names = parse_name(scan.image.name), parse_name(mask.mask.name)
    image, drawn = (name.entities if name else {} for name in names)
    if not any(drawn[key] != image[key] for key in _SAME_IMAGE if key in drawn and key in image):
        return None
    what = f"wanted a mask of {scan.image.name}, found {mask.mask.name}, by its name drawn on another image"
    return Finding(code="ambiguous-file", place=place, what=f"{what}; find the image or correct the name")


def shows(name: BidsName, scan: ScanInput) -> bool:
    """Whether a file of this name is the image that a task reads in this role."""
    return (
        name.suffix == scan.suffix
        and name.entities.get("ce") == scan.contrast_agent
        and scan.entities.items() <= name.entities.items()
    )


def _ending(scan: ScanInput) -> str:
    """End of a file name, `acq-3D_ce-gadolinium_T1w.nii.gz`; in BIDS order: `acq`, `ce`, other entities."""
    entities = {"acq": None, "ce": scan.contrast_agent} | scan.entities
    return "_".join([*(f"{name}-{label}" for name, label in entities.items() if label), f"{scan.suffix}.nii.gz"])


def _visit_order_findings(bids: _Bids, scans: Mapping[str, DatedScan]) -> list[Finding]:
    """Findings if the dataset's own times say that the initial image is not the earlier one; no date is repeated."""
    this = [scans[scan.role] for scan in bids.task.inputs if scan.visit == "this" and scan.role in scans]
    return [
        Finding(
            code="visit-order",
            place=scan.role,
            what=f"wanted session labels in the order of acquisition, found {first.visit.session} after "
            f"{second.visit.session} by {source}; correct the labels or the times",
        )
        for scan in bids.task.inputs
        if scan.visit == "initial" and (first := scans.get(scan.role))
        for second in this
        for source in contradicting_sources(bids.tree, first, second)
    ]


def _wanted(task: Task) -> str:
    folder = "sub-*/[ses-*/]anat"
    images = " and ".join(
        f"*_{_ending(scan)}{' of an earlier session' * (scan.visit == 'initial')}" for scan in task.inputs
    )
    return f"wanted {folder}/ with {images}, and {MASKS}/{folder}/*_label-{task.label}_mask.nii.gz"


def _only(visits: Iterable[Visit]) -> Visit | None:
    """The only visit, or None if there are several."""
    found = set(visits)
    return found.pop() if len(found) == 1 else None
