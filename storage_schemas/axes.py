"""Declare the axes of an experiment: everything that may vary between its runs, each declared once.

Cells, result rows, conditions, plan tables, sheets and the reader of external tables take their axes from here. The
`Axis` beside each field holds what this code needs to handle the axis generically. To add an axis of training, add a
field to TrainingAxes, a setting to TrainingConfig, the code in `training` that applies it, and a list of values to
ExperimentSpec.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Literal, TypeVar, cast

from pydantic import Field, model_validator

from storage_schemas.base import Document, OneText, Positive, Slug
from storage_schemas.identity import Aside, Neutral

Arm = Literal["de-novo", "fine-tuned", "default", "rater", "other"]
"""de-novo: randomly initialised. fine-tuned: from a default model. default: that model itself, without training on the
target. rater: the second rater's masks, scored as predictions. other: a model from elsewhere, named by `source`."""

TrainedArm = Literal["fine-tuned", "de-novo"]

Optimizer = Literal["adam", "adamw", "sgd"]
"""Built by `training.optimizers`."""

Augmentation = Literal["fixed-copies", "every-patch"]
"""fixed-copies: each study is deformed a few times, and patches are cut from the copies (Wahlig et al. 2023).
every-patch: each patch is cut from the study itself and deformed by a displacement of its own, anew in each epoch."""

Loss = Literal["cross-entropy", "dice-cross-entropy"]
"""dice-cross-entropy: sum of cross-entropy and soft Dice loss over the batch, as in nnU-Net (Isensee et al. 2021)."""

Role = Literal["model", "method", "method or stratum", "stratum", "turn"]
"""How models that differ on an axis are compared.

model: arm, source and training size, which every table states. method: a choice of one arm; each value is compared with
every model of the other arm. stratum: only models with the same value are compared; each value has its own table.
method or stratum: a stratum if both arms were trained with the same set of several values, otherwise a method. turn:
not part of a condition; results are averaged over it.
"""


@dataclass(frozen=True)
class Axis:
    """How to read, show and compare the values of an axis."""

    title: str
    """Column heading in reports."""
    role: Role
    phrase: str = "{}"
    """Text of a value within a sentence: `learning rate {}`."""
    absent: str = ""
    """Text of a model without a value among models with one: `nothing frozen`."""
    joint: str = ", "
    """Separator before the phrase in a model's name: `fine-tuned from glioma at learning rate 1e-05`."""
    listed: str = ""
    """The field of ExperimentSpec that lists its values."""
    fine_tuned_only: bool = False
    """Whether the axis applies to fine-tuning only."""

    def words(self, value: Any) -> str:
        """Text of a value: `learning rate 1e-05`, `30 epochs`; without a value `nothing frozen`."""
        return self.absent if value is None else self.phrase.format(text_of(value))


class Freezing(OneText):
    """The part of the network that is frozen during fine-tuning, and for how long.

    Only tensors that were copied unchanged from the source are frozen; adapted and randomly initialised tensors are
    trained from the first step. Frozen batch normalisation also keeps the source's running statistics and uses them.
    """

    part: Literal["encoder", "all-but-head"]
    epochs: Annotated[int, Field(ge=1)] | None = None
    """Number of epochs that it is frozen; None: to the end."""

    def text(self) -> str:
        """`encoder frozen for 5 epochs`, `all but the head frozen`."""
        return f"{_PART_NAMES[self.part]} frozen" + (f" for {_count(self.epochs, 'epoch')}" if self.epochs else "")

    @classmethod
    def fields_of(cls, text: str) -> dict[str, Any]:
        """Inverse of `text`. Raises ValueError for any other text."""
        found = re.fullmatch(r"(encoder|all but the head) frozen(?: for (\d+) epochs?)?", text)
        if found is None:
            raise ValueError(
                f"wanted `encoder frozen` or `all but the head frozen`, optionally with `for 5 epochs`; found {text!r}"
            )
        part = next(part for part, words in _PART_NAMES.items() if words == found[1])
        return {"part": part, "epochs": found[2] and int(found[2])}


class Budget(OneText):
    """Length of a training: a number of epochs, or a number of optimiser steps at every training size."""

    epochs: Annotated[int, Field(ge=1)] | None = None
    steps: Annotated[int, Field(ge=1)] | None = None

    @model_validator(mode="after")
    def _check_exactly_one(self) -> Budget:
        if (self.epochs is None) == (self.steps is None):
            raise ValueError("wanted either epochs or steps")
        return self

    def text(self) -> str:
        """`30 epochs`, `2000 steps`."""
        return _count(self.epochs, "epoch") if self.epochs else _count(self.steps or 0, "step")

    @classmethod
    def fields_of(cls, text: str) -> dict[str, Any]:
        """Inverse of `text`. Raises ValueError for any other text."""
        found = re.fullmatch(r"(\d+) (epoch|step)s?", text)
        if found is None:
            raise ValueError(f"wanted `30 epochs` or `2000 steps`; found {text!r}")
        return {f"{found[2]}s": int(found[1])}

    def as_training(self) -> dict[str, Any]:
        """The budget as fields of TrainingConfig, where `epochs` applies if `steps` is None."""
        return {"steps": self.steps} | ({"epochs": self.epochs} if self.epochs else {})


class TrainingAxes(Document):
    """Training settings that an experiment may vary; None: the value of ExperimentSpec.training."""

    learning_rate: Annotated[
        Positive | None,
        Axis(
            "Learning rate",
            "method or stratum",
            phrase="learning rate {}",
            absent="learning rate default",
            joint=" at ",
            listed="learning_rates",
        ),
    ] = None
    budget: Annotated[
        Budget | None, Axis("Budget", "stratum", absent="the training's own budget", listed="budgets")
    ] = None
    freezing: Annotated[
        Freezing | None,
        Axis("Freezing", "method", absent="nothing frozen", listed="freezings", fine_tuned_only=True),
    ] = None
    """Also None if nothing is frozen."""
    loss: Annotated[
        Loss | None,
        Axis("Loss", "stratum", phrase="{} loss", absent="the training's own loss", listed="losses"),
        Neutral(None),
    ] = None
    optimizer: Annotated[
        Optimizer | None,
        Axis("Optimizer", "stratum", absent="the training's own optimizer", listed="optimizers"),
        Neutral(None),
    ] = None

    def values(self) -> dict[str, Any]:
        """The value on each axis of this type."""
        return {name: getattr(self, name) for name in axes_in(type(self))}

    def as_training(self) -> dict[str, Any]:
        """The values that are given, as fields of TrainingConfig."""
        changes: dict[str, Any] = {}
        for name in axes_in(TrainingAxes):
            value = getattr(self, name)
            if value is not None:
                changes |= value.as_training() if isinstance(value, Budget) else {name: value}
        return changes


class Origin(Document):
    """Origin of a network's initial weights, its training size and its depth."""

    arm: Annotated[Arm, Axis("Arm", "model")]
    source: Annotated[Slug | None, Axis("Source", "model", phrase="from {}"), Aside()]
    """Name of the default model that it started from; null for de novo. A run's identity has its weights instead. Of a
    model from elsewhere its own name."""
    training_size: Annotated[Annotated[int, Field(ge=0)], Axis("Training size", "model", listed="training_sizes")]
    """Number of target studies to train on, as the design specifies; 0 for the default model and the rater."""
    depth: Annotated[Annotated[int, Field(ge=1)], Axis("Depth", "stratum", phrase="depth {}", listed="depths")] = 4
    """Down-sampling blocks; rows of a rater have the experiment's main depth. Names omit the paper's 4."""


Narrower = TypeVar("Narrower", bound=Document)


# The columns follow the bases from right to left: first the origin, then the training.
class ModelAxes(TrainingAxes, Origin):
    """The axes that distinguish the models of an experiment, without those that are averaged over."""

    train_site: Annotated[
        Slug | None, Axis("Trained on", "stratum", phrase="trained on {}", absent="trained on several sites")
    ] = None
    """The one site trained on, where a design compares sites; in cross-site also `all-sites`, `other-sites`."""

    def only(self, kind: type[Narrower]) -> Narrower:
        """The same values as another type that has a subset of these fields."""
        # Not validated again: the values were, and external tables may have any site names.
        values = {name: getattr(self, name) for name in kind.model_fields}
        return cast(Narrower, kind.model_construct(**values))


class Axes(ModelAxes):
    """One cell of the design: every axis, including fold, seed and test site."""

    fold: Annotated[Annotated[int, Field(ge=1)], Axis("Fold", "turn", listed="folds")]
    """Fold from 1: the number of the test subset; for train-on-one-site, of the training subset; see `fold_subsets`."""
    seed: Annotated[int, Axis("Seed", "turn", listed="seeds")]
    test_site: Annotated[Slug | None, Axis("Tested on", "turn", phrase="tested on {}")] = None
    """The test site, if the subsets are sites and the test subset is a single site."""


AXES: Mapping[str, Axis] = {
    name: mark for name, field in Axes.model_fields.items() for mark in field.metadata if isinstance(mark, Axis)
}
"""All axes by field name, in the order of the columns."""


def told(models: Iterable[ModelAxes]) -> tuple[str, ...]:
    """The axes that a table of these models shows, in order.

    An axis that was added later (Neutral in an identity) is shown only if a model has a value, so that the tables of
    earlier experiments stay the same to the byte.
    """
    found = list(models)
    return tuple(
        name
        for name in axes_in(ModelAxes)
        if not any(isinstance(mark, Neutral) for mark in Axes.model_fields[name].metadata)
        or any(getattr(model, name) is not None for model in found)
    )


@cache
def axes_in(kind: type[Document]) -> tuple[str, ...]:
    """The axes of a type."""
    return tuple(name for name in AXES if name in kind.model_fields)


def axes_of(*roles: Role) -> dict[str, Axis]:
    """The axes with one of these roles."""
    return {name: axis for name, axis in AXES.items() if axis.role in roles}


def text_of(value: Any) -> str:
    """Text of a value in tables: `1e-05`, `30 epochs`, `north`; empty if there is none."""
    if value is None:
        return ""
    if isinstance(value, OneText):
        return value.text()
    return f"{value:g}" if isinstance(value, float) else str(value)


_PART_NAMES = {"encoder": "encoder", "all-but-head": "all but the head"}


def _count(number: int, thing: str) -> str:
    return f"1 {thing}" if number == 1 else f"{number} {thing}s"
