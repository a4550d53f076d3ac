"""Everything that lesionlab refuses, as one tree.

A message says which thing, what was wanted, what was found, what to do.

LesionlabError
├── InputError            what a person handed in cannot be used as it is
│   ├── DatasetError      a BIDS dataset, or a study in it, is missing, empty, incomplete or inconsistent
│   │   └── StudyRefused  one study, with every finding
│   ├── ImageError        one image cannot be read, or is not the volume that it should be
│   └── SpecError         a study file (YAML) or an option contradicts itself or the data
├── StoreError            the object store cannot serve
│   ├── MissingObject     nothing under this key
│   ├── ObjectExists      a write-once key is taken
│   ├── Conflict          a pointer moved between reading and writing it
│   ├── StoreUnreachable  no answer from the endpoint
│   └── AccessDenied      wrong credentials, or none for this bucket
├── TransferError         source weights missing, altered, or none of them used
└── TrainingError         a run cannot go on: loss not finite, worker lost for good
"""

from __future__ import annotations

from collections.abc import Sequence

from storage_schemas.verdicts import Code, Finding


class LesionlabError(Exception):
    """Base of all errors that a user can act on; the command line prints it in one message and exits with 1.

    Where several faults were found at once, each is one argument (`error.args`) and one line of the message.
    """

    def __str__(self) -> str:
        return "\n".join(str(fault) for fault in self.args)


class InputError(LesionlabError):
    """What a person handed in cannot be used as it is."""


class DatasetError(InputError):
    """A BIDS dataset, or a study in it, is missing, empty, incomplete or inconsistent."""


class StudyRefused(DatasetError):
    """One study cannot be used; `findings` says why, also those that were put right before the others were seen."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        self.findings = tuple(findings)
        super().__init__(*(finding.text() for finding in self.findings if not finding.repaired))


class ImageError(InputError):
    """One image cannot be read, or is not the volume that it should be; `code` says which kind of fault it is."""

    def __init__(self, *faults: str, code: Code = "unreadable") -> None:
        self.code: Code = code
        super().__init__(*faults)


class SpecError(InputError):
    """A study file or an option contradicts itself or the data."""


class StoreError(LesionlabError):
    """The object store cannot serve."""


class MissingObject(StoreError):
    """Nothing is stored under this key."""


class ObjectExists(StoreError):
    """A write-once key is taken."""


class Conflict(StoreError):
    """A pointer moved between reading and writing it."""


class StoreUnreachable(StoreError):
    """The endpoint does not answer."""


class AccessDenied(StoreError):
    """Wrong credentials, or none for this bucket."""


class TransferError(LesionlabError):
    """Source weights are missing, altered, or none of them was used."""


class TrainingError(LesionlabError):
    """A run cannot go on."""
