"""Define a task: its input images, their registration, the network's input channels, and the lesions to segment.

A task is data, not code. The tasks of the paper are named here (`TASKS`); any other task is written in full in an
experiment file or in its own YAML file. Manifests, volumes, runs and model cards contain the whole task, so that they
can be read on their own; rows contain its name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from storage_schemas.base import Digest, Document, Slug
from storage_schemas.definitions import Share
from storage_schemas.identity import Aside, Neutral, identity_digest

Visit = Literal["this", "initial"]
"""`initial`: the earlier visit of a study with two visits."""


_LABEL = r"[A-Za-z0-9]+"
_NAME = r"[a-z0-9]+(-[a-z0-9]+)*"


def _check_bids_label(text: str) -> str:
    if not re.fullmatch(_LABEL, text):
        raise ValueError(f"wanted only letters and digits, as in BIDS labels; found {text!r}")
    return text


def _check_plain_name(text: str) -> str:
    if not re.fullmatch(_NAME, text):
        raise ValueError(f"wanted lower-case letters, digits and '-', as in follow-up; found {text!r}")
    return text


BidsLabel = Annotated[str, AfterValidator(_check_bids_label), Field(json_schema_extra={"pattern": f"^{_LABEL}$"})]
"""A suffix or the label of an entity in a BIDS file name."""

PlainName = Annotated[str, AfterValidator(_check_plain_name), Field(json_schema_extra={"pattern": f"^{_NAME}$"})]
"""The name of an image (its role) or channel: `ROLE=IMAGE` on the command line, a column in a table of paths."""

_RESERVED_ROLES = (
    *("study", "patient", "site", "age", "sex", "mask"),  # other columns of a table of paths
    *("reference", "reference-transform", "second", "second-transform"),  # other files of a study, in its card
)
_RESERVED_ENTITIES = ("sub", "ses", "ce")
"""Entities that are given by the study's name and by `contrast_agent`."""


class ScanInput(Document):
    """One image that each study of the task must have, by its BIDS entities."""

    role: PlainName
    """Name of the image in the task: `flair`, `initial`, `follow-up`, `before`, `after`."""
    suffix: BidsLabel
    """BIDS suffix of a file in `anat`: `FLAIR`, `T1w`, `T2w`, `PDw`, `T2starw`, …"""
    contrast_agent: BidsLabel | None = None
    """BIDS entity `ce-`, for example `gadolinium`; None: without contrast agent."""
    visit: Visit = "this"
    """The initial visit is the one that the reference mask's `space-` entity names."""
    entities: Annotated[dict[str, BidsLabel], Neutral({})] = Field(default_factory=dict)
    """Further BIDS entities that the file name must have, by short name: `{acq: 3D}`; others are allowed."""

    @model_validator(mode="after")
    def _check_entities(self) -> ScanInput:
        wrong = [name for name in self.entities if name in _RESERVED_ENTITIES or not re.fullmatch("[a-z]+", name)]
        if wrong:
            raise ValueError(
                f"entities: wanted short names such as acq, run, echo; found {', '.join(wrong)} (sub and ses come from "
                "the study's name, ce from contrast_agent)"
            )
        return self


class Registration(Document):
    """Registration of one image to another by ANTs."""

    moving: str
    fixed: str
    kind: Literal["rigid", "syn"]
    """`syn`: rigid, affine, then symmetric normalisation (Avants et al. 2008)."""
    least_correlation: Annotated[Share | None, Neutral(None)] = None
    """Minimum correlation of the edges of both images after registration, beside the comparison with displaced
    placements by which every registration is judged. None: no further bound; no fixed one suits every scanner."""


class Channel(Document):
    """One input channel of the network, computed from normalised images on the model grid."""

    name: PlainName
    image: str
    """Role of the image."""
    minus: str | None = None
    """Role of the image to subtract."""


class Task(Document):
    """Inputs, channels and label of a study. Raises ValueError that lists every contradiction."""

    name: Slug
    title: Annotated[str, Aside()]
    inputs: Annotated[tuple[ScanInput, ...], Field(min_length=1)]
    native: str
    """Role of the image whose grid is native space: masks are drawn and predictions are returned on it."""
    registrations: tuple[Registration, ...] = ()
    """Images without a registration keep the position given by their header."""
    channels: Annotated[tuple[Channel, ...], Field(min_length=1)]
    label: BidsLabel
    """BIDS entity `label-` of the reference mask in `derivatives/manual`."""
    lesion_free: Literal["expected", "suspicious"]
    """Whether a reference mask without lesions is expected, or suggests that no one drew it."""

    @model_validator(mode="after")
    def _check_consistency(self) -> Task:
        if faults := [*self._duplicates(), *self._unknown_roles(), *self._misaligned()]:
            raise ValueError("\n".join(f"task {self.name}: {fault}" for fault in faults))
        return self

    @property
    def roles(self) -> tuple[str, ...]:
        """Roles of its images, in the order in which they are read."""
        return tuple(scan.role for scan in self.inputs)

    @property
    def channel_names(self) -> tuple[str, ...]:
        """Names of the network's input channels, in order."""
        return tuple(channel.name for channel in self.channels)

    def scan(self, role: str) -> ScanInput:
        """The input with this role. Raises KeyError if the task has no such input."""
        return {scan.role: scan for scan in self.inputs}[role]

    def version(self) -> Digest:
        """Digest of everything except the title: tasks that differ only in their titles share it."""
        return identity_digest(self)

    def _duplicates(self) -> Iterable[str]:
        for what, names in (("role", self.roles), ("channel", self.channel_names)):
            if twice := sorted({name for name in names if names.count(name) > 1}):
                yield f"wanted each {what} once, found {', '.join(twice)} twice"
        if reserved := [role for role in self.roles if role in _RESERVED_ROLES]:
            yield f"found the reserved role {', '.join(reserved)}, which means something else in a dataset; rename it"

    def _unknown_roles(self) -> Iterable[str]:
        used = {self.native}
        used |= {role for move in self.registrations for role in (move.moving, move.fixed)}
        used |= {role for channel in self.channels for role in (channel.image, channel.minus) if role is not None}
        if unknown := sorted(used - set(self.roles)):
            yield f"uses {', '.join(unknown)}, but reads {', '.join(sorted(set(self.roles)))}"
        if empty := [channel.name for channel in self.channels if channel.image == channel.minus]:
            yield f"channel {', '.join(empty)} is an image minus itself"

    def _misaligned(self) -> Iterable[str]:
        if all(scan.visit == "initial" for scan in self.inputs):
            yield "wanted an image of this visit, found only images of the initial visit"
        moved = [move.moving for move in self.registrations]
        if {move.fixed for move in self.registrations} - {self.native} or len({*moved, self.native}) <= len(moved):
            yield f"wanted each other image registered at most once, and to {self.native}"


_VISITS = (
    ScanInput(role="initial", suffix="FLAIR", visit="initial"),
    ScanInput(role="follow-up", suffix="FLAIR"),
)
_GADOLINIUM = (
    ScanInput(role="before", suffix="T1w"),
    ScanInput(role="after", suffix="T1w", contrast_agent="gadolinium"),
)

TASKS: dict[str, Task] = {
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
"""The built-in tasks."""


def task_named(name: str) -> Task:
    """The built-in task with this name. Raises ValueError that lists the names."""
    if name not in TASKS:
        raise ValueError(f"wanted one of {', '.join(TASKS)}; found {name!r}")
    return TASKS[name]


def takes_a_known_name(task: Task) -> bool:
    """Whether it has the name of a built-in task but differs from it."""
    return not same_task(TASKS.get(task.name, task), task)


def same_task(one: Task, other: Task) -> bool:
    """Whether both tasks have the same version, so that their studies are interchangeable."""
    return one.version() == other.version()


def told_apart(*tasks: Task) -> Sequence[str]:
    """Names of tasks, with versions if different tasks share a name: `t1-black-holes@0123456789abcdef`."""
    ambiguous = len({task.name for task in tasks}) < len({task.version() for task in tasks})
    return [f"{task.name}@{task.version()}" if ambiguous else task.name for task in tasks]


def _by_name(value: Any) -> Any:
    try:
        return task_named(value) if isinstance(value, str) else value
    except ValueError as error:
        raise ValueError(f"{error}; or write the task in full") from error


TaskNamedOrFull = Annotated[Task, BeforeValidator(_by_name, json_schema_input_type=str | Task)]
"""In an experiment file: the name of a built-in task, or a whole task under another name."""
