"""Define the tree of errors that lesionlab raises.

A message says which thing is wrong, what was wanted, what was found and what to do.

LesionlabError
├── InputError            the user's input cannot be used as it is
│   ├── DatasetError      a BIDS dataset, or a study in it, is missing, empty, incomplete or inconsistent
│   │   └── StudyRefused  one study cannot be used; carries every finding
│   ├── ImageError        one image is unreadable or not the expected volume
│   └── SpecError         an experiment file (YAML) or an option contradicts itself or the data
├── StoreError            an object-store operation failed
│   ├── MissingObject     no object under this key
│   ├── DamagedObject     an object is not what was written
│   ├── ObjectExists      a write-once key is already written
│   ├── Conflict          a pointer changed between reading and writing it
│   ├── StoreUnreachable  no answer from the endpoint
│   └── AccessDenied      wrong credentials, or none for this bucket
├── ClusterError          a Kubernetes API server does not answer, or refuses
│   ├── NotAllowed        the caller has no right to it
│   └── NotThere          no object of this name
├── TransferError         source weights are missing or altered, or none of them was used
├── TrainingError         a run cannot continue: loss not finite, no room for its workers
│   └── RunFailed         its memory did not suffice, its workers were lost, a GPU failed, or a bug
├── LimitReached          an experiment has taken the GPU hours that it was given
├── RunHeld               another submission executes the run at present
└── RunYielded            a worker's node is about to be taken away, and a checkpoint was saved
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from storage_schemas.leases import FailureKind
from storage_schemas.verdicts import Code, Finding


class LesionlabError(Exception):
    """Base of all errors that a user can act on; the command line prints it as one message and exits with 1.

    If several faults were found at once, each is one argument (`error.args`) and one line of the message.
    """

    def __str__(self) -> str:
        return "\n".join(str(fault) for fault in self.args)


class InputError(LesionlabError):
    """The user's input cannot be used as it is."""


class DatasetError(InputError):
    """A BIDS dataset, or a study in it, is missing, empty, incomplete or inconsistent."""


class StudyRefused(DatasetError):
    """One study cannot be used; `findings` holds the reasons and also the faults that were repaired.

    `pictures` holds a PNG of each registration, by the role of the moved image, if registrations are the reason.
    """

    def __init__(self, findings: Sequence[Finding], pictures: Mapping[str, bytes] | None = None) -> None:
        self.findings = tuple(findings)
        self.pictures = dict(pictures or {})
        super().__init__(*(finding.text() for finding in self.findings if not finding.repaired))


class ImageError(InputError):
    """One image is unreadable or not the expected volume; `code` is the kind of fault."""

    def __init__(self, *faults: str, code: Code = "unreadable") -> None:
        self.code: Code = code
        super().__init__(*faults)


class SpecError(InputError):
    """An experiment file or an option contradicts itself or the data."""


class StoreError(LesionlabError):
    """An object-store operation failed."""


class MissingObject(StoreError):
    """No object is stored under this key."""


class DamagedObject(StoreError):
    """An object is not what was written: it does not match its checksum or its key, or cannot be read at all."""

    def __init__(self, place: str, what: str) -> None:
        super().__init__(
            f"{place} is damaged: {what}; lesionlab fsck --repair restores it or says which command makes it again"
        )


class ObjectExists(StoreError):
    """A write-once key is already written."""


class Conflict(StoreError):
    """A pointer changed between reading and writing it."""


class StoreUnreachable(StoreError):
    """The endpoint does not answer."""


class AccessDenied(StoreError):
    """Wrong credentials, or none for this bucket."""


class ClusterError(LesionlabError):
    """A Kubernetes API server does not answer, or refuses."""


class NotAllowed(ClusterError):
    """The caller has no right to what was asked."""


class NotThere(ClusterError):
    """The cluster has no object of this name."""


class TransferError(LesionlabError):
    """Source weights are missing or altered, or none of them was used."""


class TrainingError(LesionlabError):
    """A run cannot continue: the loss is not finite, or its workers find no room."""


class RunFailed(TrainingError):
    """A run failed for want of memory, by the loss of workers, by a fault of a GPU, or by a bug.

    `kind` says which, and `node` is the Ray node on which it happened, if that is known.
    """

    def __init__(self, kind: FailureKind, message: str, node: str = "") -> None:
        super().__init__(message)
        self.kind: FailureKind = kind
        self.node = node

    def __reduce__(self) -> tuple[type[RunFailed], tuple[FailureKind, str, str]]:
        return RunFailed, (self.kind, self.args[0], self.node)


class LimitReached(LesionlabError):
    """An experiment has taken the GPU hours that it was given; what is done is kept."""


class RunHeld(LesionlabError):
    """Another submission executes the run at present; the message says who and since when."""


class RunYielded(LesionlabError):
    """A worker's node is about to be taken away, and a checkpoint was saved: start the run again on another node."""
