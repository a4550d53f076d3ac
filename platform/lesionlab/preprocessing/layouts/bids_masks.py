"""A visit of a BIDS dataset in; the mask that a person drew for it, and on which visit's image, out.

Masks lie in a tree of their own, one a rater, with the same folders as the images. `space-` in a mask's name says on
which grid it lies. A mask in another space counts only with the transform that leads there:
`sub-X[_ses-Y]_from-<native>_to-<space>_mode-image_xfm.txt` (an ITK affine) beside it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from lesionlab.preprocessing.files import Reference
from lesionlab.preprocessing.layouts.bids_tree import BidsFile, BidsTree, Visit
from lesionlab.preprocessing.paths import fault_of_file
from storage_schemas.verdicts import Finding

MASKS = Path("derivatives/manual")
SECOND_MASKS = Path("derivatives/grader2")


@dataclass(frozen=True)
class Spaces:
    """What `space-` may say: native spaces by name (None: the mask is named without), and those that come too late."""

    native: Mapping[str | None, Visit]
    later: Collection[str | None] = ()


@dataclass(frozen=True)
class DrawnMask:
    """A mask that may be used."""

    reference: Reference
    native: Visit
    """The visit on whose image it lies, or to whose image its transform belongs."""


def labelled_masks(tree: BidsTree, base: Path, visit: Visit, label: str) -> list[BidsFile]:
    """All masks with this label in the visit's folder, whatever their space, and whoever their names say they are."""
    return [
        file
        for file in tree.files(base / visit.anat)
        if file.name.suffix == "mask" and file.name.entities.get("label") == label
    ]


def drawn_mask(
    tree: BidsTree, base: Path, visit: Visit, label: str, spaces: Spaces, place: str, findings: list[Finding]
) -> DrawnMask | None:
    """The visit's one mask: that in native space, else that with a transform; else None, and why is in `findings`."""
    masks = [file for file in labelled_masks(tree, base, visit, label) if visit.owns(file.name)]
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
        example = base / visit.anat / f"{visit.name}{_wanted_space(spaces)}_label-{label}_mask.nii.gz"
        what = f"wanted {example}, found {tree.told(base / visit.anat)}; add it or exclude the study"
        findings.append(Finding(code="missing-file", place=place, what=what))
    elif not drawn:
        findings += [_in_another_space(visit, mask, spaces, place) for mask in masks]
    elif len(drawn) > 1:
        names = ", ".join(dict.fromkeys(file.name for file in files))
        what = f"wanted one mask, and at most one transform, found {names}; keep one of each"
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
    """Those beside the visit's masks that start in one of its native spaces; `ses-` may stand in their names or not."""
    return [
        file
        for file in tree.files(base / visit.anat, (".txt",))
        if file.name.suffix == "xfm"
        and file.name.entities.get("mode") == "image"
        and {"from", "to"} <= file.name.entities.keys()
        and file.name.entities["from"] in spaces.native
        and (visit.owns(file.name) or Visit(visit.subject, None).owns(file.name))
    ]


def _in_another_space(visit: Visit, mask: BidsFile, spaces: Spaces, place: str) -> Finding:
    """Why this mask cannot be brought to the image that it was drawn for."""
    space = _space(mask)
    if space is None:
        what = (
            f"{mask.path.name} does not say on which visit's image it lies; wanted {_spaces_told(spaces)} in its name"
        )
        return Finding(code="other-space", place=place, what=f"{what}; rename it")
    if space in spaces.later:
        what = (
            f"{mask.path.name} lies on a visit whose label comes after that of {visit.session}; wanted an earlier one"
        )
        return Finding(code="visit-order", place=place, what=f"{what}; rename the sessions in order of time")
    starts = " or ".join(dict.fromkeys(f"from-{name or 'orig'}" for name in spaces.native))
    transform = f"{visit.subject}_{starts}_to-{space}_mode-image_xfm.txt"
    what = (
        f"{mask.path.name} lies in another space; wanted {_spaces_told(spaces)}, or beside it its transform {transform}"
    )
    return Finding(code="other-space", place=place, what=f"{what}; add one of them")


def _spaces_told(spaces: Spaces) -> str:
    return " or ".join("no space-" if name is None else f"space-{name}" for name in spaces.native)
