"""The study as a value: ExperimentSpec (what a person writes in YAML), and Plan (what it becomes, run by run).

An axis of the design is a list of values: `depths: [3, 4, 5]`. An axis that is left out does not vary.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from storage_schemas.axes import AXES, Budget, Freezing, Loss, Optimizer, TrainedArm, TrainingAxes, axes_in
from storage_schemas.base import Digest, Document, Fraction, Named, Slug
from storage_schemas.cohorts import Cohort
from storage_schemas.definitions import MetricDefinition, NamedOrFull
from storage_schemas.metrics import FractionMetric
from storage_schemas.models import Adaptation, Architecture, InferenceConfig
from storage_schemas.runs import Cell, RunSpec, TrainingConfig
from storage_schemas.splits import Target
from storage_schemas.tasks import Task, TaskNamedOrFull, same_task, told_apart
from storage_schemas.versions import ResultVersions

TestedOn = Literal["first-subset", "all-subsets", "nothing"]
"""What models that are not trained on the target are tested on; the paper: subset 1."""

Undefined = Literal["exclude", "worst"]
"""What a value that is undefined counts for: nothing, and every mean says how many it left out; or 0."""

Unit = Literal["fold-averaged", "per-study"]
"""What an unpaired test counts: positions in the test subset, each averaged over the folds, or studies."""


class TrainedIn(TrainingAxes):
    """Which model of another experiment: the one cell of its last plan that has all these values."""

    experiment: Slug
    arm: TrainedArm
    training_size: int
    fold: int
    source: Slug | None = None
    seed: int | None = None
    depth: int | None = None

    def given(self) -> dict[str, Any]:
        """The values that are given, by axis."""
        return {name: value for name in AXES if (value := getattr(self, name, None)) is not None}

    def means(self, cell: Cell) -> bool:
        """Whether the cell has all the values that are given here."""
        return all(getattr(cell, name) == value for name, value in self.given().items())


class Source(Document):
    """A default model: trained once on something else, registered under its name."""

    model: Slug
    cohort: Slug | None = None
    """Trained from this cohort, at each depth of the study, where the registry does not have it."""
    trained_in: TrainedIn | None = None
    """Taken from another experiment in this store; without this and `cohort` it must be registered already."""
    training: TrainingConfig | None = None
    """None: as the study's own trainings."""
    task: TaskNamedOrFull | None = None
    """What it was trained for; None: the study's own task. Another one must be declared here and in `adaptation`."""
    adaptation: Adaptation | None = None
    """How its weights are fitted to the study's networks; None: they must fit as they are."""

    @model_validator(mode="after")
    def _holds_together(self) -> Source:
        faults = []
        if self.training is not None and self.cohort is None:
            faults.append(f"source {self.model}: training is given but no cohort to train it on")
        if self.trained_in is not None and self.cohort is not None:
            faults.append(f"source {self.model}: wanted a cohort or trained_in, found both")
        if faults:
            raise ValueError("\n".join(faults))
        return self


class Goal(Document):
    """What the models are to reach, so that the answer can say how many labelled studies that takes."""

    metric: FractionMetric = "sensitivity"
    target: Fraction | None = None
    """None: the second rater's mean; where none was scored, de novo's mean at the largest training size."""
    annotation_minutes: Annotated[float, Field(gt=0)] | None = None
    """A person's time for one study; None: the answer counts studies and no hours."""


def _usual_unit(known: dict[str, Any]) -> Unit:
    """By the design, as far as it could be read."""
    return "fold-averaged" if "target" not in known or known["target"].design == "rotation" else "per-study"


class ExperimentSpec(Document):
    """A whole study. Raises ValueError with every contradiction that it holds."""

    name: Slug
    title: str
    task: TaskNamedOrFull
    spacing_mm: Annotated[float, Field(gt=0)] = 1.0
    """Isotropic model grid."""
    cohorts: dict[Slug, Cohort]
    target: Target
    sources: tuple[Source, ...] = ()
    """Fine-tuned are trained from each of them."""
    de_novo: bool = True
    """Whether networks are trained from fresh weights too."""
    default_tested_on: TestedOn = "first-subset"
    """Where the sources are tested untrained on the target."""
    rater_tested_on: TestedOn = "nothing"
    """Where the second rater's masks are scored as if a model had drawn them."""
    training_sizes: Annotated[tuple[int, ...], Field(min_length=1)]
    """Studies to train on. Of a rotation: whole subsets. Of the other designs: so many of those that the fold leaves,
    one of each of its subsets in turn, or all where it has fewer; the largest fold must have them."""
    folds: tuple[int, ...] = ()
    """Empty: all."""
    depths: tuple[Annotated[int, Field(ge=1, le=6)], ...] = ()
    """Of the networks; empty: the architecture's."""
    seeds: Annotated[tuple[int, ...], Field(min_length=1)] = (0,)
    learning_rates: dict[TrainedArm, Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(min_length=1)]] = Field(
        default_factory=dict
    )
    """By arm, since fine-tuning may want smaller ones; an arm that is left out: the training's."""
    budgets: tuple[Budget, ...] = ()
    """Empty: the training's."""
    freezings: tuple[Freezing | None, ...] = ()
    """Of fine-tuned networks; null in the list: nothing frozen. Empty: the training's."""
    optimizers: tuple[Optimizer, ...] = ()
    """Empty: the training's."""
    losses: tuple[Loss, ...] = ()
    """Empty: the training's."""
    architecture: Architecture = Architecture()
    training: TrainingConfig = TrainingConfig()
    inference: InferenceConfig = InferenceConfig()
    metric: NamedOrFull = MetricDefinition()
    unit_of_analysis: Unit = Field(default_factory=_usual_unit)
    """Of the unpaired tests: each test position averaged over the folds (reproduces the paper), or every study. A
    rotation's is fold-averaged where nothing is said; in the other designs a position means nothing, so: per-study."""

    undefined: Undefined = "exclude"
    """Of sensitivity without a reference lesion and PPV without a predicted one, in every mean and test."""
    goal: Goal | None = None
    """None: the default goal for sensitivity and for PPV, without hours."""

    @model_validator(mode="after")
    def _holds_together(self) -> ExperimentSpec:
        faults = [*self._sizes_and_folds(), *self._repeats(), *self._arms(), *self._sources(), *self._trainings()]
        if faults:
            raise ValueError("\n".join(dict.fromkeys(faults)))
        return self

    @property
    def fold_numbers(self) -> tuple[int, ...]:
        """The folds that are run."""
        return self.folds or tuple(range(1, self.target.fold_count + 1))

    @property
    def network_depths(self) -> tuple[int, ...]:
        """The depths that are trained."""
        return self.depths or (self.architecture.depth,)

    @property
    def main_depth(self) -> int:
        """The depth that a bare model name means, and a rater's rows say: the architecture's, where it is trained."""
        return self.architecture.depth if self.architecture.depth in self.network_depths else self.network_depths[0]

    def architecture_at(self, depth: int) -> Architecture:
        """The study's network at this depth."""
        return self.architecture.model_copy(update={"depth": depth})

    def task_of(self, cohort: Slug) -> Task:
        """What the studies of a cohort are prepared for."""
        return next((s.task for s in self.sources if s.cohort == cohort and s.task), self.task)

    def variants(self, arm: TrainedArm) -> tuple[TrainingAxes, ...]:
        """Every way in which an arm is trained: each value of an axis with each value of the others."""
        chosen = {name: self._listed(name, arm) or (None,) for name in axes_in(TrainingAxes)}
        return tuple(TrainingAxes(**dict(zip(chosen, values, strict=True))) for values in product(*chosen.values()))

    def training_of(self, arm: TrainedArm, axes: TrainingAxes) -> TrainingConfig:
        """One training, in full. Raises ValueError where its parts contradict each other."""
        changes = axes.as_training()
        if arm == "de-novo":
            changes |= {name: None for name in axes_in(TrainingAxes) if AXES[name].fine_tuned_only}
        return TrainingConfig.model_validate(self.training.model_dump() | changes)

    def lists(self) -> dict[str, tuple[Any, ...]]:
        """The values of every axis that the study lists, by the name of the list; `learning_rates of de-novo`."""
        found: dict[str, tuple[Any, ...]] = {}
        for name in filter(None, (axis.listed for axis in AXES.values())):
            values = getattr(self, name)
            found |= (
                {f"{name} of {arm}": own for arm, own in values.items()} if isinstance(values, dict) else {name: values}
            )
        return found

    def _listed(self, name: str, arm: TrainedArm) -> tuple[Any, ...]:
        """The values of an axis of training that an arm is trained with; empty: as `training` says."""
        if AXES[name].fine_tuned_only and arm == "de-novo":
            return ()
        values = getattr(self, AXES[name].listed)
        return tuple(values.get(arm, ()) if isinstance(values, dict) else values)

    def _sizes_and_folds(self) -> Iterable[str]:
        size, most = self.target.subset_size, self.target.subset_size * (self.target.subsets - 1)
        for n in self.training_sizes:
            if self.target.design == "rotation" and (n % size or not size <= n <= most):
                yield f"training_sizes: wanted whole subsets of {size}, from {size} to {most} studies; found {n}"
            elif n < 1:
                yield f"training_sizes: wanted one study at least, found {n}"
        if self.target.design != "rotation" and self.unit_of_analysis == "fold-averaged":
            yield (
                f"unit_of_analysis: fold-averaged wants a rotation, which draws who stands where in a subset; in "
                f"{self.target.design} a position means nothing; wanted per-study"
            )
        for fold in self.folds:
            if not 1 <= fold <= self.target.fold_count:
                yield f"folds: wanted 1 to {self.target.fold_count}, found {fold}"

    def _repeats(self) -> Iterable[str]:
        for name, values in self.lists().items():
            if len(set(values)) < len(values):
                yield f"{name}: found one twice in {list(values)}"
        models = [source.model for source in self.sources]
        if len(set(models)) < len(models):
            yield f"sources: found one model twice in {models}"

    def _arms(self) -> Iterable[str]:
        if not self.sources and not self.de_novo and self.rater_tested_on == "nothing":
            yield "nothing to do: wanted sources, de_novo or a rater, found none of them"
        if "de-novo" in self.learning_rates and not self.de_novo:
            yield "learning_rates: de-novo has some, but de_novo is false"
        if not self.sources and (self.freezings or "fine-tuned" in self.learning_rates):
            yield "freezings, learning_rates: fine-tuned has some, but there is no source to fine-tune from"
        if self.freezings and self.training.freezing is not None:
            yield "freezings: training has a freezing too; wanted one of the two"

    def _sources(self) -> Iterable[str]:
        for name in [self.target.cohort, *(s.cohort for s in self.sources if s.cohort)]:
            if name not in self.cohorts:
                yield f"cohorts: {name!r} is used but not described; described are {sorted(self.cohorts)}"
        channels = self.task.channel_names
        for source in self.sources:
            task = source.task or self.task
            if task.name == self.task.name and not same_task(task, self.task):
                theirs, ours = told_apart(task, self.task)
                yield f"source {source.model}: task {theirs} is not the study's {ours}; give it a name of its own"
            if source.cohort == self.target.cohort:
                yield f"source {source.model}: {source.cohort} is the target; a model is not tested on what trained it"
            if source.cohort and not same_task(self.task_of(source.cohort), task):
                yield f"source {source.model}: cohort {source.cohort} is also prepared for another task"
            declared = source.adaptation.channels if source.adaptation else {}
            taken = {name for origin in declared.values() for name in origin.taken_from}
            found = task.channel_names
            if (declared and declared.keys() != set(channels)) or not taken <= set(found):
                yield (
                    f"source {source.model}: adaptation must say where each of {', '.join(channels)} comes from, "
                    f"among {', '.join(found)} of {task.name}; "
                    f"found {', '.join(declared)} from {', '.join(sorted(taken))}"
                )
            elif not declared and found != channels:
                yield (
                    f"source {source.model}: trained for {task.name} it sees {', '.join(found)}, the study "
                    f"{', '.join(channels)}; declare adaptation.channels"
                )
            if source.adaptation and source.adaptation.head == "reinitialise" and self.default_tested_on != "nothing":
                yield (
                    f"source {source.model}: with a head that starts anew there is no default model to test; "
                    "set default_tested_on: nothing"
                )

    def _trainings(self) -> Iterable[str]:
        deepest = max(self.network_depths)
        owners = [("training", self.training), *((f"source {s.model}", s.training) for s in self.sources)]
        for owner, training in owners:
            if training is not None and training.patch_voxels % 2**deepest:
                yield (
                    f"{owner}: patch_voxels must be a multiple of {2**deepest} for a U-Net of depth {deepest}; "
                    f"found {training.patch_voxels}"
                )
            if training is not None and training.patch_voxels < self.inference.step_voxels:
                yield (
                    f"inference: step_voxels must not exceed the patch of {owner} ({training.patch_voxels}), "
                    f"or windows leave gaps; found {self.inference.step_voxels}"
                )
        arms: tuple[TrainedArm, ...] = ("fine-tuned", "de-novo")
        for arm in arms:
            for axes in self.variants(arm):
                try:
                    training = self.training_of(arm, axes)
                except ValidationError as error:
                    yield from (f"{arm} training: {fault['msg']}" for fault in error.errors())
                else:
                    steps = training.all_steps(min(self.training_sizes))
                    if training.warmup_steps > steps:
                        yield (
                            f"{arm} training: warmup_steps: wanted at most the {steps} steps that "
                            f"{min(self.training_sizes)} studies take, found {training.warmup_steps}"
                        )


class Plan(Named):
    """An ExperimentSpec resolved against the store: which studies, which weights, every run."""

    spec: ExperimentSpec
    manifest: Digest
    """Of the target cohort."""
    split: Digest
    """Who is in which subset."""
    versions: ResultVersions
    """Of the code that made this plan."""
    runs: tuple[RunSpec, ...]
