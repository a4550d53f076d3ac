"""Find each study's predicted mask in a folder of anybody's results, by the labels in file and folder names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lesionlab.errors import InputError
from lesionlab.imaging.formats import is_nifti_name, without_ending
from storage_schemas.base import bids_stem, label_of
from storage_schemas.manifests import ManifestEntry

_NO_MASKS = {"probseg", "FLAIR", "T1w", "T2w", "PDw", "bold", "dwi"}
"""BIDS suffixes of files beside the masks."""
_MASKS = {"mask", "dseg"}


@dataclass(frozen=True)
class ModelFolder:
    """A model from elsewhere: its free name and the folder with its masks."""

    name: str
    folder: Path


@dataclass(frozen=True)
class FoundMasks:
    """The mask of each study that has one, and the studies without."""

    files: Mapping[str, Path]
    missing: tuple[str, ...]


def model_folders(options: Sequence[str]) -> tuple[ModelFolder, ...]:
    """Read `NAME=FOLDER` options. Raises InputError with every fault."""
    faults: list[str] = []
    found: dict[str, ModelFolder] = {}
    for option in options:
        name, equals, folder = (part.strip() for part in option.partition("="))
        if not (name and equals and folder):
            faults.append(f"--masks {option}: wanted NAME=FOLDER, as in nnU-Net=./nnunet-masks")
        elif name in found:
            faults.append(f"--masks {option}: the name {name} is given twice; give each model its own")
        elif not Path(folder).is_dir():
            faults.append(f"--masks {option}: no such folder: {folder!r}")
        found.setdefault(name, ModelFolder(name, Path(folder)))
    if faults:
        raise InputError(*faults)
    return tuple(found.values())


def find_masks(model: ModelFolder, studies: Sequence[ManifestEntry]) -> FoundMasks:
    """Find the one mask of each study, at any depth of the folder.

    A file belongs to a study if its path has the study's BIDS entities (`sub-012`, `ses-01`), or if its name contains
    the patient's label, and the session's where the patient has several studies, as whole words (`case_012_01.nii.gz`).
    In a cohort of several sites the file lies in a folder of the site's name, or has the label of our own exports
    (`sub-northX012`). Raises InputError that lists every study with several files.
    """
    files = sorted(
        path
        for path in model.folder.rglob("*")
        if is_nifti_name(path.name) and not path.name.startswith(".") and path.is_file()
    )
    by_patient: dict[str, int] = {}
    for entry in studies:
        by_patient[entry.patient] = by_patient.get(entry.patient, 0) + 1
    found, faults = dict[str, Path](), list[str]()
    for entry in studies:
        own = _masks_first(
            [path for path in files if _belongs(path, model.folder, entry, by_patient[entry.patient] > 1)]
        )
        if len(own) > 1:
            names = ", ".join(path.relative_to(model.folder).as_posix() for path in own[:4])
            faults.append(
                f"{model.name}: {entry.study}: wanted one mask in {model.folder}, found {len(own)}: {names}; keep one"
            )
        elif own:
            found[entry.study] = own[0]
    faults += _shared(model, found)
    if faults:
        raise InputError(*faults)
    return FoundMasks(found, tuple(entry.study for entry in studies if entry.study not in found))


def _belongs(path: Path, root: Path, entry: ManifestEntry, several: bool) -> bool:
    relative = path.relative_to(root).as_posix()
    label = label_of(entry.study)
    subject, _, session = label.removeprefix("sub-").partition("_ses-")
    joined = bids_stem(entry.study).removeprefix("sub-").partition("_ses-")[0]
    if label != entry.study and entry.site not in path.relative_to(root).parts:
        subject = joined  # without the site's folder only its label with the site tells it from another site's
    if "sub-" in relative:
        subjects, sessions = (set(re.findall(rf"{kind}-([A-Za-z0-9]+)", relative)) for kind in ("sub", "ses"))
        if subjects not in ({subject}, {joined}):
            return False
        return sessions == {session} if session and (several or sessions) else True
    words = re.split(r"[^A-Za-z0-9]+", without_ending(path.name))
    return subject in words and (not several or not session or session in words)


def _masks_first(files: Sequence[Path]) -> list[Path]:
    """Without files that are named as images or probabilities; if some are named as masks, these alone."""
    suffix_of = {path: without_ending(path.name).rpartition("_")[2] for path in files}
    usable = [path for path in files if suffix_of[path] not in _NO_MASKS]
    return [path for path in usable if suffix_of[path] in _MASKS] or usable


def _shared(model: ModelFolder, found: Mapping[str, Path]) -> Iterable[str]:
    studies: dict[Path, list[str]] = {}
    for study, path in found.items():
        studies.setdefault(path, []).append(study)
    for path, names in studies.items():
        if len(names) > 1:
            yield f"{model.name}: {path}: belongs to several studies ({', '.join(names)}); name each file by its study"
