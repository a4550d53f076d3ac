"""List the visits of a BIDS dataset and parse the names of their files.

Each folder is listed once, so a dataset of ten thousand patients is read in seconds.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

from lesionlab.errors import DatasetError
from lesionlab.imaging.formats import format_by_name, is_nifti_name
from lesionlab.preprocessing.paths import hidden

NIFTI = (".nii.gz", ".nii")
LISTED = 5
"""Names that a message lists."""
FOLDERS_KEPT = 256
"""Folder listings kept in memory; one patient with all parent folders needs far fewer."""

_ENTITY = re.compile(r"([a-z]+)-([A-Za-z0-9+]+)")
_SUFFIX = re.compile(r"[A-Za-z0-9]+")


@dataclass(frozen=True)
class BidsName:
    """A parsed name such as `sub-012_ce-gadolinium_T1w.nii.gz`."""

    entities: dict[str, str]
    suffix: str


def _shown(folder: str) -> str:
    """The name of a folder without a label that may be a patient's: `Sub-99`."""
    start = folder[:4] if folder.lower().startswith(("ses", "sub")) and not folder[3:4].isalnum() else folder[:3]
    return folder if folder.lower().endswith("anat") else start + hidden(folder[len(start) :])


def _ending_of(name: str) -> str:
    """`.NII.GZ`, `.mgz`: what may be repeated of a name."""
    return "".join(re.findall(r"[.](?:nii|seg|hdr|img|mnc|brik)(?=[.])|[.][A-Za-z0-9]+$", name, re.IGNORECASE))


def parse_name(name: str, endings: tuple[str, ...] = NIFTI) -> BidsName | None:
    """Parse entities and suffix of a file name; None if it is not a BIDS name with one of these endings."""
    ending = next((ending for ending in endings if name.endswith(ending)), None)
    if ending is None:
        return None
    *pairs, suffix = name.removesuffix(ending).split("_")
    parsed = [_ENTITY.fullmatch(pair) for pair in pairs]
    entities = {match[1]: match[2] for match in parsed if match}
    if len(entities) < len(pairs) or not _SUFFIX.fullmatch(suffix):
        return None
    return BidsName(entities, suffix)


@dataclass(frozen=True)
class Visit:
    """One session of one patient, or the patient if the dataset has no sessions."""

    subject: str
    """Folder name: `sub-012`."""
    session: str | None
    """Folder name: `ses-01`."""

    @property
    def name(self) -> str:
        """`sub-012_ses-01`."""
        return "_".join(part for part in (self.subject, self.session) if part)

    @property
    def hidden_name(self) -> str:
        """The name with its labels masked, because they may be a patient's name: `sub-xxxxx`."""
        return "_".join(part[:4] + hidden(part[4:]) for part in (self.subject, self.session) if part)

    @property
    def folder(self) -> Path:
        """`sub-012/ses-01`."""
        return Path(self.subject, self.session or "")

    @property
    def anat(self) -> Path:
        """`sub-012/ses-01/anat`."""
        return self.folder / "anat"

    @property
    def space(self) -> str | None:
        """Name of this visit's grid in `space-`, `from-` and `to-`: `ses01`; None if there are no sessions."""
        return self.session.replace("-", "", 1) if self.session else None

    def before(self, other: Visit) -> bool:
        """Whether this visit is earlier by its label; digits compare as numbers: `ses-2` before `ses-10`."""
        return bool(self.session and other.session) and self._order < other._order

    def owns(self, name: BidsName) -> bool:
        """Whether a file of this name belongs to this visit."""
        return self.name == "_".join(f"{key}-{name.entities[key]}" for key in ("sub", "ses") if key in name.entities)

    @cached_property
    def _order(self) -> tuple[list[str | int], str]:
        session = self.session or ""
        return [int(part) if place % 2 else part for place, part in enumerate(re.split(r"(\d+)", session))], session


@dataclass(frozen=True)
class BidsFile:
    """One file with a valid BIDS name."""

    path: Path
    name: BidsName


class BidsTree:
    """Lists and parses each folder of a dataset only once if the visits are processed in order."""

    def __init__(self, root: Path) -> None:
        self.root = root
        """Path as given; it may contain links."""
        self.resolved = root.resolve()
        """Path with all links resolved."""
        self._listed = lru_cache(FOLDERS_KEPT)(self._list)
        self._parsed = lru_cache(FOLDERS_KEPT)(self._parse)

    def names(self, folder: Path) -> list[str]:
        """Sorted names in a folder (relative to the dataset's); empty if there is no such folder.

        Raises DatasetError if the folder cannot be read.
        """
        return self._listed(folder)

    def files(self, folder: Path, endings: tuple[str, ...] = NIFTI) -> list[BidsFile]:
        """Files of a folder that have BIDS names with one of these endings. Raises DatasetError as `names`."""
        return self._parsed(folder, endings)

    def listing(self, folder: Path) -> str:
        """List the images of a folder for a message; a name that is not BIDS may be a patient's and is masked."""
        names = [name for name in self.names(folder) if name.endswith(NIFTI)]
        listed = ", ".join(name if parse_name(name) else hidden(name) for name in names[:3])
        return listed + (f" and {len(names) - 3} more" if names[3:] else "") or self._other_images(folder)

    def _other_images(self, folder: Path) -> str:
        """`no NIfTI file`, and the first file that would be one if it were renamed or converted."""
        for name in self.names(folder):
            if is_nifti_name(name):
                return f"no file that ends in .nii or .nii.gz but {_ending_of(name)}; write the ending in lower case"
            if kind := format_by_name(name):
                return f"no NIfTI file but a {_ending_of(name)} file ({kind})"
        return "no NIfTI file"

    def visits(self, bases: Iterable[Path]) -> dict[str, list[Visit]]:
        """Sessions of each patient in any of these folders, sorted by name.

        The patient's own folder counts as a visit if it has an `anat` folder or no sessions.
        """
        found: dict[str, set[str | None]] = {}
        for base in bases:
            for subject in self._folders(base, "sub-"):
                sessions = self._folders(base / subject, "ses-")
                found.setdefault(subject, set()).update(sessions)
                if not sessions or "anat" in self.names(base / subject):
                    found[subject].add(None)
        return {
            subject: [Visit(subject, session) for session in sorted(found[subject], key=lambda label: label or "")]
            for subject in sorted(found)
        }

    def misnamed(self, bases: Iterable[Path]) -> tuple[str, ...]:
        """A note, if any, on the folders that seem to be a patient's, a session's or `anat`, but are not called so."""
        found: list[str] = []
        for base in bases:
            found += [_shown(name) for name in self._almost(base, "sub")]
            for subject in self._folders(base, "sub-"):
                inside = [*self._almost(base / subject, "ses"), *self._almost(base / subject, "anat")]
                for session in self._folders(base / subject, "ses-"):
                    inside += [f"{session}/{name}" for name in self._almost(base / subject / session, "anat")]
                found += [f"{subject}/{_shown(name)}" for name in inside]
        if not found:
            return ()
        more = f" and {len(found) - LISTED} more" * bool(found[LISTED:])
        names = ", ".join(dict.fromkeys(found[:LISTED])) + more
        return (f"not read: {names}; wanted folders called sub-<label>, ses-<label> and anat; rename them",)

    def _almost(self, folder: Path, wanted: str) -> list[str]:
        """Folders that are called as wanted but for capitals and the hyphen."""
        label = "" if wanted == "anat" else r"([-_ ].+|\d+)"
        return [
            name
            for name in self.names(folder)
            if re.fullmatch(wanted + label, name, re.IGNORECASE)
            and not (name == wanted or name.startswith(f"{wanted}-"))
            and (self.root / folder / name).is_dir()
        ]

    def _list(self, folder: Path) -> list[str]:
        try:
            return sorted(os.listdir(self.root / folder))
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise DatasetError(
                f"{self.root / folder}: cannot be read ({error.strerror}); correct the folder or its permissions"
            ) from error

    def _parse(self, folder: Path, endings: tuple[str, ...]) -> list[BidsFile]:
        base = self.root / folder
        names = [name for name in self.names(folder) if name.endswith(endings)]
        parsed = ((name, parse_name(name, endings)) for name in names)
        return [BidsFile(base / name, entities) for name, entities in parsed if entities]

    def _folders(self, folder: Path, prefix: str) -> list[str]:
        return [name for name in self.names(folder) if name.startswith(prefix) and (self.root / folder / name).is_dir()]
