"""The tasks of the paper, each one small declared value: what is read, how it is aligned, what the network sees, what
it must find.

A new task is a new value in `TASKS`, never a new pipeline.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import model_validator

from storage_schemas.base import Document
from storage_schemas.identity import Aside

TaskName = Literal["flair-single", "flair-new", "flair-new-pair", "enhancing", "enhancing-difference"]

Visit = Literal["this", "initial"]
"""`initial`: the earlier one of a study of two visits."""


class ScanInput(Document):
    """One image that a study of this task must have, by BIDS entities."""

    role: str
    """What the task calls this image: `flair`, `initial`, `follow-up`, `before`, `after`."""
    suffix: Literal["FLAIR", "T1w"]
    contrast_agent: str | None = None
    """BIDS entity `ce-`, for example `gadolinium`; None: the image was taken without."""
    visit: Visit = "this"
    """The earlier one is that which the reference mask's `space-` names."""


class Registration(Document):
    """Which image is brought onto which, and how (ANTs)."""

    moving: str
    fixed: str
    kind: Literal["rigid", "syn"]
    """`syn`: rigid, affine, then symmetric normalisation (Avants et al. 2008)."""


class Channel(Document):
    """One input channel of the network, made of normalised images on the model grid."""

    name: str
    image: str
    """Role of the image that it shows."""
    minus: str | None = None
    """Role of the image that is subtracted from it."""


class Task(Document):
    """What a study of this task consists of. Raises ValueError where it uses a role that is not read, or registers an
    image otherwise than once onto the native one."""

    name: TaskName
    title: Annotated[str, Aside()]
    inputs: tuple[ScanInput, ...]
    native: str
    """Role of the image whose grid is native space: masks are drawn on it, predictions return to it."""
    registrations: tuple[Registration, ...] = ()
    channels: tuple[Channel, ...]
    label: str
    """BIDS entity `label-` of the reference mask under `derivatives/manual`."""
    lesion_free: Literal["expected", "suspicious"]
    """Whether a study without any lesion in its reference is one, or more likely a mask that nobody drew."""

    @model_validator(mode="after")
    def _roles_are_read(self) -> Task:
        read = {scan.role for scan in self.inputs}
        used = {self.native}
        used |= {role for move in self.registrations for role in (move.moving, move.fixed)}
        used |= {role for channel in self.channels for role in (channel.image, channel.minus) if role is not None}
        if strangers := sorted(used - read):
            raise ValueError(f"task {self.name}: uses {', '.join(strangers)}, but reads {', '.join(sorted(read))}")
        moved = [move.moving for move in self.registrations]
        if {move.fixed for move in self.registrations} - {self.native} or len({*moved, self.native}) <= len(moved):
            raise ValueError(f"task {self.name}: wanted each other image registered once, and onto {self.native}")
        return self

    @property
    def roles(self) -> tuple[str, ...]:
        """What the task calls its images, in the order in which they are read."""
        return tuple(scan.role for scan in self.inputs)

    @property
    def channel_names(self) -> tuple[str, ...]:
        """Names of the network's input channels, in order."""
        return tuple(channel.name for channel in self.channels)

    def scan(self, role: str) -> ScanInput:
        """The input of this role. Raises KeyError where the task reads no such image."""
        return {scan.role: scan for scan in self.inputs}[role]


_VISITS = (
    ScanInput(role="initial", suffix="FLAIR", visit="initial"),
    ScanInput(role="follow-up", suffix="FLAIR"),
)
_GADOLINIUM = (
    ScanInput(role="before", suffix="T1w"),
    ScanInput(role="after", suffix="T1w", contrast_agent="gadolinium"),
)

TASKS: dict[TaskName, Task] = {
    task.name: task
    for task in (
        Task(
            name="flair-single",
            title="all FLAIR lesions at one timepoint",
            inputs=(ScanInput(role="flair", suffix="FLAIR"),),
            native="flair",
            channels=(Channel(name="flair", image="flair"),),
            label="lesion",
            lesion_free="suspicious",
        ),
        Task(
            name="flair-new",
            title="new FLAIR lesions between two timepoints, on the subtraction volume",
            inputs=_VISITS,
            native="initial",
            registrations=(Registration(moving="follow-up", fixed="initial", kind="syn"),),
            channels=(Channel(name="subtraction", image="follow-up", minus="initial"),),
            label="newlesion",
            lesion_free="expected",
        ),
        Task(
            name="flair-new-pair",
            title="new FLAIR lesions between two timepoints, on both images",
            inputs=_VISITS,
            native="initial",
            registrations=(Registration(moving="follow-up", fixed="initial", kind="syn"),),
            channels=(Channel(name="initial", image="initial"), Channel(name="follow-up", image="follow-up")),
            label="newlesion",
            lesion_free="expected",
        ),
        Task(
            name="enhancing",
            title="enhancing lesions on T1 before and after gadolinium",
            inputs=_GADOLINIUM,
            native="after",
            registrations=(Registration(moving="before", fixed="after", kind="rigid"),),
            channels=(Channel(name="before", image="before"), Channel(name="after", image="after")),
            label="enhancing",
            lesion_free="expected",
        ),
        Task(
            name="enhancing-difference",
            title="enhancing lesions on the difference of T1 after and before gadolinium",
            inputs=_GADOLINIUM,
            native="after",
            registrations=(Registration(moving="before", fixed="after", kind="rigid"),),
            channels=(Channel(name="enhancement", image="after", minus="before"),),
            label="enhancing",
            lesion_free="expected",
        ),
    )
}
