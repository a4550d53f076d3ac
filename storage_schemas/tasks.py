"""What a study of a task consists of: what is read, how it is aligned, what the network sees, what it must find.

A task is a value. Those of the paper have a name here (`TASKS`); another one is written in full in an experiment file,
or in a YAML file of its own, and needs no code. Documents that must be understood elsewhere (manifests, volumes, runs,
model cards) hold the whole task; rows hold its name.
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
"""`initial`: the earlier one of a study of two visits."""


_BIDS = r"[A-Za-z0-9]+"
_PLAIN = r"[a-z0-9]+(-[a-z0-9]+)*"


def _bids(text: str) -> str:
    if not re.fullmatch(_BIDS, text):
        raise ValueError(f"wanted letters and digits, as file names have them in BIDS; found {text!r}")
    return text


def _plain(text: str) -> str:
    if not re.fullmatch(_PLAIN, text):
        raise ValueError(f"wanted lower-case letters, digits and '-', as in follow-up; found {text!r}")
    return text


BidsLabel = Annotated[str, AfterValidator(_bids), Field(json_schema_extra={"pattern": f"^{_BIDS}$"})]
"""A suffix, or the label of an entity, in the name of a file."""

PlainName = Annotated[str, AfterValidator(_plain), Field(json_schema_extra={"pattern": f"^{_PLAIN}$"})]
"""What a task calls an image or a channel: `ROLE=IMAGE` on the command line, a column of a table of paths."""

_TAKEN = (
    *("study", "patient", "site", "age", "sex", "mask"),  # columns of such a table
    *("reference", "reference-transform", "second", "second-transform"),  # the other files of a study, in its card
)
_TOLD_ELSEWHERE = ("sub", "ses", "ce")
"""Entities that a study's name and `contrast_agent` say."""


class ScanInput(Document):
    """One image that a study of this task must have, by BIDS entities."""

    role: PlainName
    """What the task calls this image: `flair`, `initial`, `follow-up`, `before`, `after`."""
    suffix: BidsLabel
    """`FLAIR`, `T1w`, `T2w`, `PDw`, `T2starw`, …: whatever a file below `anat` may have."""
    contrast_agent: BidsLabel | None = None
    """BIDS entity `ce-`, for example `gadolinium`; None: the image was taken without."""
    visit: Visit = "this"
    """The earlier one is that which the reference mask's `space-` names."""
    entities: Annotated[dict[str, BidsLabel], Neutral({})] = Field(default_factory=dict)
    """Further BIDS entities that the file's name must have, by their short names: `{acq: 3D}`; it may have others."""

    @model_validator(mode="after")
    def _names_entities(self) -> ScanInput:
        wrong = [name for name in self.entities if name in _TOLD_ELSEWHERE or not re.fullmatch("[a-z]+", name)]
        if wrong:
            raise ValueError(
                f"entities: wanted short names as acq, run, echo; found {', '.join(wrong)} (sub and ses are the "
                "study's, ce is contrast_agent)"
            )
        return self


class Registration(Document):
    """Which image is brought onto which, and how (ANTs)."""

    moving: str
    fixed: str
    kind: Literal["rigid", "syn"]
    """`syn`: rigid, affine, then symmetric normalisation (Avants et al. 2008)."""
    least_correlation: Annotated[Share | None, Neutral(None)] = None
    """Of the edges of both images once they are registered; a lower one has failed. None: 0.75 for rigid, 0.85 for syn,
    which hold between images of one contrast. Edges of two contrasts agree less: those of FLAIR and T1w by 0.74 to 0.94
    on six real heads at 3 mm, and by up to 0.57 where the two are different patients'."""


class Channel(Document):
    """One input channel of the network, made of normalised images on the model grid."""

    name: PlainName
    image: str
    """Role of the image that it shows."""
    minus: str | None = None
    """Role of the image that is subtracted from it."""


class Task(Document):
    """What a study of this task consists of. Raises ValueError with every contradiction that it holds."""

    name: Slug
    title: Annotated[str, Aside()]
    inputs: Annotated[tuple[ScanInput, ...], Field(min_length=1)]
    native: str
    """Role of the image whose grid is native space: masks are drawn on it, predictions return to it."""
    registrations: tuple[Registration, ...] = ()
    """An image that is not registered lies where its header says."""
    channels: Annotated[tuple[Channel, ...], Field(min_length=1)]
    label: BidsLabel
    """BIDS entity `label-` of the reference mask under `derivatives/manual`."""
    lesion_free: Literal["expected", "suspicious"]
    """Whether a study without any lesion in its reference is one, or more likely a mask that nobody drew."""

    @model_validator(mode="after")
    def _holds_together(self) -> Task:
        if faults := [*self._repeats(), *self._strangers(), *self._misaligned()]:
            raise ValueError("\n".join(f"task {self.name}: {fault}" for fault in faults))
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

    def version(self) -> Digest:
        """Of all that decides what a study of this task is: tasks that differ in their titles alone share it."""
        return identity_digest(self)

    def _repeats(self) -> Iterable[str]:
        for what, names in (("role", self.roles), ("channel", self.channel_names)):
            if twice := sorted({name for name in names if names.count(name) > 1}):
                yield f"found the {what} {', '.join(twice)} twice"
        if taken := [role for role in self.roles if role in _TAKEN]:
            yield f"wanted other roles than {', '.join(taken)}, which mean other things in a dataset"

    def _strangers(self) -> Iterable[str]:
        used = {self.native}
        used |= {role for move in self.registrations for role in (move.moving, move.fixed)}
        used |= {role for channel in self.channels for role in (channel.image, channel.minus) if role is not None}
        if strangers := sorted(used - set(self.roles)):
            yield f"uses {', '.join(strangers)}, but reads {', '.join(sorted(set(self.roles)))}"
        if blind := [channel.name for channel in self.channels if channel.image == channel.minus]:
            yield f"channel {', '.join(blind)} is an image less itself"

    def _misaligned(self) -> Iterable[str]:
        if all(scan.visit == "initial" for scan in self.inputs):
            yield "wanted an image of this visit, found earlier ones only"
        moved = [move.moving for move in self.registrations]
        if {move.fixed for move in self.registrations} - {self.native} or len({*moved, self.native}) <= len(moved):
            yield f"wanted each other image registered once, and onto {self.native}"


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
"""The tasks that have a name of their own."""


def task_named(name: str) -> Task:
    """The known task of this name. Raises ValueError with the known names."""
    if name not in TASKS:
        raise ValueError(f"wanted one of {', '.join(TASKS)}; found {name!r}")
    return TASKS[name]


def takes_a_known_name(task: Task) -> bool:
    """Whether it goes by the name of a known task and is another one."""
    return not same_task(TASKS.get(task.name, task), task)


def same_task(one: Task, other: Task) -> bool:
    """Whether studies of the one are studies of the other."""
    return one.version() == other.version()


def told_apart(*tasks: Task) -> Sequence[str]:
    """Their names; of different tasks of one name with their versions, `t1-black-holes@0123456789abcdef`."""
    alike = len({task.name for task in tasks}) < len({task.version() for task in tasks})
    return [f"{task.name}@{task.version()}" if alike else task.name for task in tasks]


def _by_name(value: Any) -> Any:
    try:
        return task_named(value) if isinstance(value, str) else value
    except ValueError as error:
        raise ValueError(f"{error}; or write the task in full") from error


TaskNamedOrFull = Annotated[Task, BeforeValidator(_by_name, json_schema_input_type=str | Task)]
"""In an experiment file: the name of a task, or a whole one under a name of its own."""
