"""The tasks of the paper, each one small declared value: what is read, what the network sees, what it must find.

A new task is a new value in `TASKS`, never a new pipeline.
"""

from __future__ import annotations

from typing import Literal

from storage_schemas.base import Document

TaskName = Literal["flair-single"]


class ScanInput(Document):
    """One image that a study of this task must have, by BIDS entities."""

    channel: str
    """Name of the input channel that this image becomes."""
    suffix: Literal["FLAIR", "T1w"]
    contrast_agent: str | None = None
    """BIDS entity `ce-`, for example `gadolinium`; None: the image was taken without."""


class Task(Document):
    """What a study of this task consists of."""

    name: TaskName
    title: str
    inputs: tuple[ScanInput, ...]
    """In channel order. The first one is the native space: masks are drawn on it, predictions return to it."""
    label: str
    """BIDS entity `label-` of the reference mask under `derivatives/manual`."""

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the network's input channels, in order."""
        return tuple(scan.channel for scan in self.inputs)


TASKS: dict[TaskName, Task] = {
    "flair-single": Task(
        name="flair-single",
        title="all FLAIR lesions at one timepoint",
        inputs=(ScanInput(channel="flair", suffix="FLAIR"),),
        label="lesion",
    ),
}
