"""The axes of an experiment: all that may differ between its runs, each declared once, as one frozen value.

Cells, result rows, conditions, plan tables, sheets and the reader of tables from elsewhere take their axes from here.
What each needs to treat an axis without knowing it stands beside the axis, in its `Axis`. A new axis of training is a
field of TrainingAxes, the code in `training` that obeys it, its setting in TrainingConfig, and its list of values in
ExperimentSpec.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Literal, TypeVar, cast

from pydantic import Field, model_validator

from storage_schemas.base import Document, OneText, Slug
from storage_schemas.identity import Aside, Neutral

Arm = Literal["de-novo", "fine-tuned", "default", "rater"]
"""de-novo: randomly initialised. fine-tuned: from a default model. default: that model itself, untrained on the target.
rater: the second human rater's masks, scored as if a model had drawn them."""

TrainedArm = Literal["fine-tuned", "de-novo"]

Optimizer = Literal["adam", "adamw", "sgd"]
"""As `training.optimizers` makes it."""

Loss = Literal["cross-entropy", "dice-cross-entropy"]
"""dice-cross-entropy: their sum with soft Dice over the batch, as in nnU-Net (Isensee et al. 2021)."""

Role = Literal["model", "method", "method or stratum", "stratum", "turn"]
"""How the models of an experiment that differ on an axis are compared.

model: arm, source and training size, which every table states. method: the arm's own choice; each choice is compared
with every model of the other arm. stratum: shared by the models that are compared; each value is a table of its own.
method or stratum: a stratum where both arms were trained with the same several values, otherwise a method. turn: not
part of a condition; its results are averaged.
"""


@dataclass(frozen=True)
class Axis:
    """What there is to know of an axis to read it, show it and compare by it."""

    title: str
    """Heads a column of tables that people read."""
    role: Role
    phrase: str = "{}"
    """How a value reads within a sentence: `learning rate {}`."""
    absent: str = ""
    """How a model without a value reads among models that have one: `nothing frozen`."""
    joint: str = ", "
    """Stands before the phrase in the name of a model: `fine-tuned from glioma at learning rate 1e-05`."""
    listed: str = ""
    """The field of ExperimentSpec that lists its values."""
    fine_tuned_only: bool = False
    """Whether de novo trainings have nothing to choose here."""

    def words(self, value: Any) -> str:
        """`learning rate 1e-05`, `30 epochs`; of no value `nothing frozen`."""
        return self.absent if value is None else self.phrase.format(text_of(value))


class Freezing(OneText):
    """Weights of the source that a fine-tuning leaves as they are for a while.

    Only what was taken over as it is: tensors that were adapted or start fresh learn from the first step. Batch
    normalisation whose weights are frozen also keeps, and normalises by, the source's statistics.
    """

    part: Literal["encoder", "all-but-head"]
    epochs: Annotated[int, Field(ge=1)] | None = None
    """Frozen for so many epochs; None: to the end."""

    def text(self) -> str:
        """`encoder frozen for 5 epochs`, `all but the head frozen`."""
        return f"{_PARTS[self.part]} frozen" + (f" for {_count(self.epochs, 'epoch')}" if self.epochs else "")

    @classmethod
    def fields_of(cls, text: str) -> dict[str, Any]:
        """The other way round. Raises ValueError for any other text."""
        found = re.fullmatch(r"(encoder|all but the head) frozen(?: for (\d+) epochs?)?", text)
        if found is None:
            raise ValueError(
                f"wanted `encoder frozen` or `all but the head frozen`, which may end in `for 5 epochs`; found {text!r}"
            )
        part = next(part for part, words in _PARTS.items() if words == found[1])
        return {"part": part, "epochs": found[2] and int(found[2])}


class Budget(OneText):
    """How long a training lasts: so many epochs, or so many optimiser steps whatever its training size."""

    epochs: Annotated[int, Field(ge=1)] | None = None
    steps: Annotated[int, Field(ge=1)] | None = None

    @model_validator(mode="after")
    def _one_of_them(self) -> Budget:
        if (self.epochs is None) == (self.steps is None):
            raise ValueError("wanted either epochs or steps")
        return self

    def text(self) -> str:
        """`30 epochs`, `2000 steps`."""
        return _count(self.epochs, "epoch") if self.epochs else _count(self.steps or 0, "step")

    @classmethod
    def fields_of(cls, text: str) -> dict[str, Any]:
        """The other way round. Raises ValueError for any other text."""
        found = re.fullmatch(r"(\d+) (epoch|step)s?", text)
        if found is None:
            raise ValueError(f"wanted `30 epochs` or `2000 steps`; found {text!r}")
        return {f"{found[2]}s": int(found[1])}

    def as_training(self) -> dict[str, Any]:
        """The same as fields of TrainingConfig, whose epochs stand while steps are None."""
        return {"steps": self.steps} | ({"epochs": self.epochs} if self.epochs else {})


class TrainingAxes(Document):
    """How a network was trained, as far as the experiment varies it; None: as ExperimentSpec.training says for all."""

    learning_rate: Annotated[
        Annotated[float, Field(gt=0)] | None,
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
    """Null where nothing is frozen, too."""
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
        """Its value on each axis that it has."""
        return {name: getattr(self, name) for name in axes_in(type(self))}

    def as_training(self) -> dict[str, Any]:
        """How it was trained, as fields of TrainingConfig; those that are given only."""
        changes: dict[str, Any] = {}
        for name in axes_in(TrainingAxes):
            value = getattr(self, name)
            if value is not None:
                changes |= value.as_training() if isinstance(value, Budget) else {name: value}
        return changes


class Origin(Document):
    """Where a network's weights come from, and how many studies of the target trained it."""

    arm: Annotated[Arm, Axis("Arm", "model")]
    source: Annotated[Slug | None, Axis("Source", "model", phrase="from {}"), Aside()]
    """Name of the default model that it started from, whose weights decide the result; null for de novo."""
    training_size: Annotated[Annotated[int, Field(ge=0)], Axis("Training size", "model", listed="training_sizes")]
    """Target studies to train on, as the design asks; 0 for the default model and the rater."""
    depth: Annotated[Annotated[int, Field(ge=1)], Axis("Depth", "stratum", phrase="depth {}", listed="depths")] = 4
    """Down-sampling blocks of the network; of a rater's rows the experiment's own. The paper's 4 goes unsaid."""


Narrower = TypeVar("Narrower", bound=Document)


# The bases from right to left give the order of the columns: what it is, then how it was trained.
class ModelAxes(TrainingAxes, Origin):
    """All that tells one model of an experiment from another, whatever its turn."""

    train_site: Annotated[
        Slug | None, Axis("Trained on", "stratum", phrase="trained on {}", absent="trained on several sites")
    ] = None
    """The one site that was trained on, where the design is train-on-one-site."""

    def only(self, kind: type[Narrower]) -> Narrower:
        """The same values as a type with some of these fields."""
        # Not checked again: they were, and a table from elsewhere may call its sites what it likes.
        values = {name: getattr(self, name) for name in kind.model_fields}
        return cast(Narrower, kind.model_construct(**values))


class Axes(ModelAxes):
    """One cell of the design: every axis, with the turn."""

    fold: Annotated[Annotated[int, Field(ge=1)], Axis("Fold", "turn", listed="folds")]
    """Turn of the design, from 1: the subset that was tested; of train-on-one-site the one that was trained on."""
    seed: Annotated[int, Axis("Seed", "turn", listed="seeds")]
    test_site: Annotated[Slug | None, Axis("Tested on", "turn", phrase="tested on {}")] = None
    """The one site that was tested, where the subsets are sites and not the ones trained on."""


AXES: Mapping[str, Axis] = {
    name: mark for name, field in Axes.model_fields.items() for mark in field.metadata if isinstance(mark, Axis)
}
"""Every axis by the name of its field, in the order of the columns."""


def told(models: Iterable[ModelAxes]) -> tuple[str, ...]:
    """The axes of these models that a table of them tells, in order.

    One that was added later (it is Neutral in an identity) is told only where a model has a value: so the tables of an
    experiment from before stay as they were, to the byte.
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
    """The axes that a type has."""
    return tuple(name for name in AXES if name in kind.model_fields)


def axes_of(*roles: Role) -> dict[str, Axis]:
    """The axes with one of these roles."""
    return {name: axis for name, axis in AXES.items() if axis.role in roles}


def text_of(value: Any) -> str:
    """A value of an axis as every table shows it: `1e-05`, `30 epochs`, `north`; empty where there is none."""
    if value is None:
        return ""
    if isinstance(value, OneText):
        return value.text()
    return f"{value:g}" if isinstance(value, float) else str(value)


_PARTS = {"encoder": "encoder", "all-but-head": "all but the head"}


def _count(number: int, thing: str) -> str:
    return f"1 {thing}" if number == 1 else f"{number} {thing}s"
