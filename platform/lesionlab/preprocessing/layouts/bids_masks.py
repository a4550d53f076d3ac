"""Find the manual mask of a visit in a BIDS dataset and the visit on whose image it was drawn.

Masks are in a tree of their own, one per rater, with the same folders as the images. `space-` in a mask's name says
which grid it is on. A mask in another space is used only with the transform to that space next to it:
`sub-X[_ses-Y]_from-<native>_to-<space>_mode-image_xfm.txt` (an ITK affine; ANTs writes `.mat`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from lesionlab.preprocessing.files import Reference
from lesionlab.preprocessing.layouts.bids_tree import BidsFile, BidsTree, Visit
from lesionlab.preprocessing.paths import ADD_MASK, fault_of_file
from storage_schemas.tasks import Task
from storage_schemas.verdicts import Finding

MASKS = Path("derivatives/manual")
SECOND_MASKS = Path("derivatives/grader2")


@dataclass(frozen=True)
class Spaces:
    """Valid values of `space-`: native spaces by name (None: no `space-`); and spaces of visits that are too late."""

    native: Mapping[str | None, Visit]
    later: Collection[str | None] = ()


@dataclass(frozen=True)
class DrawnMask:
    """A usable mask."""

    reference: Reference
    native: Visit
    """The visit on whose image the mask was drawn, or to whose image its transform belongs."""


def labelled_masks(tree: BidsTree, base: Path, visit: Visit, label: str) -> list[BidsFile]:
    """All masks with this label in the visit's folder, in any space and under any subject name."""
    return [
        file
        for file in tree.files(base / visit.anat)
        if file.name.suffix == "mask" and file.name.entities.get("label") == label
    ]


def drawn_mask(
    tree: BidsTree, base: Path, visit: Visit, task: Task, spaces: Spaces, place: str, findings: list[Finding]
) -> DrawnMask | None:
    """The visit's mask in native space, else the one with a transform; else None, with the reason in `findings`."""
    masks = [file for file in labelled_masks(tree, base, visit, task.label) if visit.owns(file.name)]
    drawn = [
        DrawnMask(Reference(mask.path), spaces.native[_space(mask)]) for mask in masks if _space(mask) in spaces.native
    ] or [
        DrawnMask(Reference(mask.path, transform.path), spaces.native[transform.name.entities["from"]])
        for mask in masks
        for transform in _transforms(tree, base, visit, spaces)
        if transform.name.entities["to"] == _space(mask)
    ]
    files = [file for one in drawn for file in (one.reference.mask, one.reference.transform) if file]
    faults = [f"{file.name} {fault}" for file in files if (fault := fault_of_file(file, tree.resolved))]
    if not masks:
        example = base / visit.anat / f"{visit.name}{_wanted_space(spaces)}_label-{task.label}_mask.nii.gz"
        what = f"wanted {example}, found {tree.listing(base / visit.anat)}; {ADD_MASK}"
        findings.append(Finding(code="missing-file", place=place, what=what))
    elif not drawn:
        findings += [_in_another_space(visit, mask, spaces, place) for mask in masks]
    elif len(drawn) > 1:
        names = ", ".join(dict.fromkeys(file.name for file in files))
        what = f"wanted one mask and at most one transform, found {names}; keep one of each"
        findings.append(Finding(code="ambiguous-file", place=place, what=what))
    elif faults:
        findings += [Finding(code="missing-file", place=place, what=fault) for fault in faults]
    else:
        return drawn[0]
    return None


def _space(mask: BidsFile) -> str | None:
    return mask.name.entities.get("space")


def _wanted_space(spaces: Spaces) -> str:
    return "" if None in spaces.native else f"_space-{next(iter(spaces.native))}"


def _transforms(tree: BidsTree, base: Path, visit: Visit, spaces: Spaces) -> list[BidsFile]:
    """Transforms next to the visit's masks from one of its native spaces, with or without `ses-` in their names."""
    return [
        file
        for file in tree.files(base / visit.anat, (".txt", ".mat"))
        if file.name.suffix == "xfm"
        and file.name.entities.get("mode") == "image"
        and {"from", "to"} <= file.name.entities.keys()
        and file.name.entities["from"] in spaces.native
        and (visit.owns(file.name) or Visit(visit.subject, None).owns(file.name))
    ]


def _in_another_space(visit: Visit, mask: BidsFile, spaces: Spaces, place: str) -> Finding:
    """Finding that says why this mask cannot be brought to the image it was drawn for."""
    space = _space(mask)
    if space is None:
        what = f"wanted {_space_names(spaces)} in the name, for the visit on whose image the mask was drawn"
        return Finding(code="other-space", place=place, what=f"{what}, found {mask.path.name}; rename it")
    if space in spaces.later:
        what = f"wanted a mask on a visit before {visit.session}, found {mask.path.name} on a later one"
        return Finding(code="visit-order", place=place, what=f"{what}; rename the sessions in order of acquisition")
    starts = " or ".join(dict.fromkeys(f"from-{name or 'orig'}" for name in spaces.native))
    transform = f"{visit.subject}_{starts}_to-{space}_mode-image_xfm.txt"
    what = f"wanted {_space_names(spaces)}, or the transform {transform} next to it, found only {mask.path.name}"
    return Finding(code="other-space", place=place, what=f"{what} in another space; add one of them")


def _space_names(spaces: Spaces) -> str:
    return " or ".join("no space-" if name is None else f"space-{name}" for name in spaces.native)
