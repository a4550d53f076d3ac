"""Define an experiment: ExperimentSpec (written as YAML) and Plan (all of its runs).

An axis of the design is a list of values: `depths: [3, 4, 5]`. An axis that is omitted does not vary.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import product
from typing import Annotated, Any, ClassVar, Literal, cast

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from storage_schemas.axes import AXES, Budget, Freezing, Loss, ModelAxes, Optimizer, TrainedArm, TrainingAxes, axes_in
from storage_schemas.base import Digest, Document, Fraction, ModelSpacing, Named, Positive, Seed, Slug
from storage_schemas.cohorts import Cohort
from storage_schemas.definitions import MetricDefinition, NamedOrFull
from storage_schemas.endpoints import DEFAULT_METRIC, Endpoint
from storage_schemas.metrics import FractionMetric
from storage_schemas.models import Adaptation, Architecture, InferenceConfig, window_faults
from storage_schemas.policies import LeftOut
from storage_schemas.pooled import PooledRuns, pooled, whole
from storage_schemas.runs import Cell, RunSpec, TrainingConfig
from storage_schemas.splits import OTHER_SITES, Target
from storage_schemas.tasks import Task, TaskNamedOrFull, same_task, told_apart
from storage_schemas.versions import ResultVersions

TestedOn = Literal["first-subset", "all-subsets", "nothing"]
"""Test studies of models that are not trained on the target; subset 1 in the paper."""

Undefined = Literal["exclude", "worst"]
"""exclude: omit undefined values; every mean states how many it omits. worst: count PPV as 0 in a study with reference
lesions, omit all other undefined values."""

Unit = Literal["fold-averaged", "per-study"]
"""Unit of unpaired tests: positions in the test subset, averaged over the folds, or single studies."""


class TrainedIn(TrainingAxes):
    """A model of another experiment: the only cell of its current plan with all these values."""

    experiment: Slug
    arm: TrainedArm
    training_size: int
    fold: int
    source: Slug | None = None
    seed: Seed | None = None
    depth: int | None = None

    def given(self) -> dict[str, Any]:
        """The given values by axis."""
        return {name: value for name in AXES if (value := getattr(self, name, None)) is not None}

    def means(self, cell: Cell) -> bool:
        """Whether the cell has all given values."""
        return all(getattr(cell, name) == value for name, value in self.given().items())


class Source(Document):
    """A default model: trained once on a source cohort and registered under its name."""

    model: Slug
    cohort: Slug | None = None
    """Train it on this cohort, at each depth of the experiment, unless it is registered already."""
    trained_in: TrainedIn | None = None
    """Take it from another experiment in this store. Without this and `cohort`, it must be registered already."""
    version: Digest | None = None
    """Take this registered version. Without it, `cohort` and `trained_in`: the champion of that name when the
    experiment is first planned or, if none was promoted yet, its only version. The plan keeps it."""
    training: TrainingConfig | None = None
    """None: as ExperimentSpec.training."""
    task: TaskNamedOrFull | None = None
    """Its task; None: the experiment's task. Another task must be declared here and in `adaptation`."""
    adaptation: Adaptation | None = None
    """How its weights are adapted to the experiment's networks; None: they must fit unchanged."""

    @model_validator(mode="after")
    def _check_consistency(self) -> Source:
        faults = []
        if self.training is not None and self.cohort is None:
            faults.append(f"source {self.model}: training is given but no cohort to train it on")
        if self.trained_in is not None and self.cohort is not None:
            faults.append(f"source {self.model}: wanted a cohort or trained_in, found both")
        if self.version is not None and (self.cohort is not None or self.trained_in is not None):
            faults.append(f"source {self.model}: wanted a version, or a cohort or trained_in that gives it; found both")
        if faults:
            raise ValueError("\n".join(faults))
        return self


class Goal(Document):
    """The target performance; the report estimates how many labelled studies each arm needs to reach it."""

    metric: FractionMetric = "sensitivity"
    target: Fraction | None = None
    """None: the second rater's mean; without a second rater, the de novo mean at the largest training size."""
    annotation_minutes: Positive | None = None
    """Annotation time per study; None: the report counts studies but not hours."""


def _default_unit(known: dict[str, Any]) -> Unit:
    """The default unit for the design; fold-averaged if the target is invalid."""
    return "fold-averaged" if "target" not in known or known["target"].design == "rotation" else "per-study"


class ExperimentSpec(Document):
    """A whole experiment. Raises ValueError that lists every contradiction."""

    name: Slug
    title: str
    task: TaskNamedOrFull
    spacing_mm: ModelSpacing = 1.0
    """Spacing of the isotropic model grid."""
    cohorts: dict[Slug, Cohort]
    target: Target
    sources: tuple[Source, ...] = ()
    """The fine-tuned arm is trained from each of them."""
    de_novo: bool = True
    """Whether networks are also trained de novo, from random initialisation."""
    default_tested_on: TestedOn = "first-subset"
    """Studies on which the default models are tested without training on the target."""
    rater_tested_on: TestedOn = "nothing"
    """Studies on which the second rater's masks are scored as predictions."""
    training_sizes: Annotated[tuple[int, ...], Field(min_length=1)]
    """Numbers of training studies. Rotation: whole subsets. Other designs: this many of the fold's training studies,
    taken from its subsets in turn, or all if the fold has fewer; the largest fold must have enough. In cross-site every
    fold must."""
    folds: tuple[int, ...] = ()
    """Folds to run; empty: all."""
    depths: tuple[Annotated[int, Field(ge=1, le=6)], ...] = ()
    """Depths of the networks; empty: architecture.depth."""
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1)] = (0,)
    learning_rates: dict[TrainedArm, Annotated[tuple[Positive, ...], Field(min_length=1)]] = Field(default_factory=dict)
    """Learning rates by arm, because fine-tuning may need smaller ones; an omitted arm: training.learning_rate."""
    learning_rate_choice: Literal["every", "training-folds"] = "every"
    """every: each listed rate is compared on its own. training-folds: each arm has one rate in each fold, chosen within
    its training studies from the same list for both arms. An analysis setting: it changes no run."""
    budgets: tuple[Budget, ...] = ()
    """Empty: the budget of `training`."""
    freezings: tuple[Freezing | None, ...] = ()
    """Freezing of fine-tuned networks; null in the list: nothing frozen. Empty: training.freezing."""
    optimizers: tuple[Optimizer, ...] = ()
    """Empty: training.optimizer."""
    losses: tuple[Loss, ...] = ()
    """Empty: training.loss."""
    architecture: Architecture = Architecture()
    training: TrainingConfig = TrainingConfig()
    inference: InferenceConfig = InferenceConfig()
    metric: NamedOrFull = MetricDefinition()
    unit_of_analysis: Unit = Field(default_factory=_default_unit)
    """Unit of the unpaired tests: each test position averaged over the folds (as in the paper), or every study.
    Default: fold-averaged for a rotation, per-study for the other designs, in which positions have no meaning."""

    undefined: Undefined = "exclude"
    """How means and tests treat PPV without a predicted lesion."""
    margin: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Margin of equivalence and non-inferiority, absolute, in fractions such as sensitivity: declare it before the data
    are seen. None: the report claims neither. An analysis setting: it changes no run."""
    goal: Goal | None = None
    """None: the default goals for sensitivity and for PPV, without annotation time."""
    primary_endpoint: FractionMetric | None = None
    """The metric that the verdict rests on; None: that of `goal`, or PPV. It is frozen with the first plan."""

    @model_validator(mode="after")
    def _check_consistency(self) -> ExperimentSpec:
        faults = [
            *self._sizes_and_folds(),
            *self._duplicates(),
            *self._arms(),
            *self._sources(),
            *self._stripping(),
            *self._trainings(),
        ]
        if faults:
            raise ValueError("\n".join(dict.fromkeys(faults)))
        return self

    @property
    def fold_numbers(self) -> tuple[int, ...]:
        """The folds to run."""
        return self.folds or tuple(range(1, self.target.fold_count + 1))

    @property
    def network_depths(self) -> tuple[int, ...]:
        """The depths to train."""
        return self.depths or (self.architecture.depth,)

    @property
    def main_depth(self) -> int:
        """The depth of a model name without depth and of a rater's rows: architecture.depth if it is trained."""
        return self.architecture.depth if self.architecture.depth in self.network_depths else self.network_depths[0]

    @property
    def endpoint(self) -> Endpoint:
        """The primary endpoint: its metric, for the first source at the main depth and the first value of each axis."""
        fine_tuned = self._first_way("fine-tuned", self.sources[0].model) if self.sources else None
        return Endpoint(
            metric=self.primary_endpoint or (self.goal.metric if self.goal else DEFAULT_METRIC),
            fine_tuned=fine_tuned,
            de_novo=self._first_way("de-novo", None) if self.de_novo else None,
        )

    def architecture_at(self, depth: int) -> Architecture:
        """The experiment's architecture at this depth."""
        return self.architecture.model_copy(update={"depth": depth})

    def task_of(self, cohort: Slug) -> Task:
        """The task for which the studies of a cohort are preprocessed."""
        return next((s.task for s in self.sources if s.cohort == cohort and s.task), self.task)

    def variants(self, arm: TrainedArm) -> tuple[TrainingAxes, ...]:
        """All training variants of an arm: every combination of the values of its axes."""
        chosen = {name: self._listed(name, arm) or (None,) for name in axes_in(TrainingAxes)}
        return tuple(TrainingAxes(**dict(zip(chosen, values, strict=True))) for values in product(*chosen.values()))

    def training_of(self, arm: TrainedArm, axes: TrainingAxes) -> TrainingConfig:
        """All settings of one training. Raises ValueError if they contradict each other."""
        changes = axes.as_training()
        if arm == "de-novo":
            changes |= {name: None for name in axes_in(TrainingAxes) if AXES[name].fine_tuned_only}
        return TrainingConfig.model_validate(self.training.model_dump() | changes)

    def lists(self) -> dict[str, tuple[Any, ...]]:
        """The values of every listed axis by the name of the list, such as `depths` or `learning_rates of de-novo`."""
        found: dict[str, tuple[Any, ...]] = {}
        for name in filter(None, (axis.listed for axis in AXES.values())):
            values = getattr(self, name)
            found |= (
                {f"{name} of {arm}": own for arm, own in values.items()} if isinstance(values, dict) else {name: values}
            )
        return found

    def _first_way(self, arm: TrainedArm, source: Slug | None) -> ModelAxes:
        # Of cross-site, the networks for a hospital that gave no training study.
        trained_on = OTHER_SITES if self.target.design == "cross-site" else self.target.train_site(1)
        chosen = {"learning_rate": None} if self.learning_rate_choice == "training-folds" else {}
        return ModelAxes(
            arm=arm,
            source=source,
            training_size=0,
            depth=self.main_depth,
            train_site=trained_on,
            **(self.variants(arm)[0].values() | chosen),
        )

    def _listed(self, name: str, arm: TrainedArm) -> tuple[Any, ...]:
        """The values of a training axis for an arm; empty: the value of `training`."""
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
                yield f"training_sizes: wanted at least one study, found {n}"
        if self.target.design != "rotation" and self.unit_of_analysis == "fold-averaged":
            yield (
                "unit_of_analysis: fold-averaged needs a rotation, which draws the positions in a subset at random; "
                f"found {self.target.design}; use per-study"
            )
        for fold in self.folds:
            if not 1 <= fold <= self.target.fold_count:
                yield f"folds: wanted 1 to {self.target.fold_count}, found {fold}"

    def _duplicates(self) -> Iterable[str]:
        for name, values in self.lists().items():
            if len(set(values)) < len(values):
                yield f"{name}: wanted each value once, found {list(values)}"
        models = [source.model for source in self.sources]
        if len(set(models)) < len(models):
            yield f"sources: wanted each model once, found {models}"

    def _arms(self) -> Iterable[str]:
        if not self.sources and not self.de_novo and self.rater_tested_on == "nothing":
            yield "nothing to do: wanted sources, de_novo or rater_tested_on, found none of them"
        if "de-novo" in self.learning_rates and not self.de_novo:
            yield "learning_rates: found values for de-novo, but de_novo is false"
        if not self.sources and (self.freezings or "fine-tuned" in self.learning_rates):
            yield "freezings, learning_rates: found values for fine-tuned, but there is no source to fine-tune from"
        if self.learning_rate_choice == "training-folds":
            arms = [*(["fine-tuned"] if self.sources else []), *(["de-novo"] if self.de_novo else [])]
            listed = {arm: list(self.learning_rates.get(cast(TrainedArm, arm), ())) for arm in arms}
            if any(set(own) != set(listed[arms[0]]) or len(own) < 2 for own in listed.values()):
                yield (
                    "learning_rate_choice: training-folds wants the same two or more learning_rates for "
                    f"{' and '.join(arms)}; found {listed}"
                )
        if self.freezings and self.training.freezing is not None:
            yield "freezings: wanted either freezings or training.freezing, found both"

    def _stripping(self) -> Iterable[str]:
        stripped = [name for name, cohort in self.cohorts.items() if cohort.strip]
        whole = [name for name, cohort in self.cohorts.items() if not cohort.strip]
        if stripped and whole:
            yield (
                f"cohorts: strip is declared for {', '.join(stripped)} but not for {', '.join(whole)}; stripped and "
                "whole heads do not mix: give each strip: deepbet or, if its images come skull-stripped, strip: already"
            )

    def _sources(self) -> Iterable[str]:
        for name in [self.target.cohort, *(s.cohort for s in self.sources if s.cohort)]:
            if name not in self.cohorts:
                yield f"cohorts: {name!r} is used but not defined; defined are {sorted(self.cohorts)}"
        channels = self.task.channel_names
        for source in self.sources:
            task = source.task or self.task
            if task.name == self.task.name and not same_task(task, self.task):
                theirs, ours = told_apart(task, self.task)
                yield f"source {source.model}: task {theirs} is not the experiment's {ours}; give it another name"
            if source.cohort == self.target.cohort:
                yield (
                    f"source {source.model}: {source.cohort} is the target; "
                    "a model must not be tested on its training studies"
                )
            if source.cohort and not same_task(self.task_of(source.cohort), task):
                yield f"source {source.model}: cohort {source.cohort} is also preprocessed for another task"
            declared = source.adaptation.channels if source.adaptation else {}
            used = {name for origin in declared.values() for name in origin.taken_from}
            found = task.channel_names
            if (declared and declared.keys() != set(channels)) or not used <= set(found):
                yield (
                    f"source {source.model}: adaptation must declare the origin of each of {', '.join(channels)} "
                    f"among the channels {', '.join(found)} of {task.name}; "
                    f"found {', '.join(declared)} from {', '.join(sorted(used))}"
                )
            elif not declared and found != channels:
                yield (
                    f"source {source.model}: {task.name} has channels {', '.join(found)}, the experiment has "
                    f"{', '.join(channels)}; declare adaptation.channels"
                )
            if source.adaptation and source.adaptation.head == "reinitialise" and self.default_tested_on != "nothing":
                yield (
                    f"source {source.model}: a default model with a reinitialised head cannot be tested; "
                    "set default_tested_on: nothing"
                )

    def _trainings(self) -> Iterable[str]:
        deepest = max(self.network_depths)
        owners = [("training", self.training), *((f"source {s.model}", s.training) for s in self.sources)]
        for owner, training in owners:
            if training is not None:
                yield from window_faults(owner, training.patch_voxels, deepest, self.inference)
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
    """An ExperimentSpec resolved against the store: its studies, its source weights and all its runs."""

    SCHEMA: ClassVar[int] = 2
    """1: every run was written whole, with its studies and settings."""

    spec: ExperimentSpec
    manifest: Digest
    """Manifest of the target cohort."""
    split: Digest
    """The split into subsets."""
    versions: ResultVersions
    """Result versions of the code that made this plan."""
    runs: Annotated[
        tuple[RunSpec, ...], BeforeValidator(whole, json_schema_input_type=PooledRuns | tuple[RunSpec, ...])
    ]
    endpoint: Endpoint | None = None
    """The primary endpoint of the experiment's first plan, which later plans repeat; None: planned by an earlier
    version, so that of `spec`. It plays no part in any run."""
    left_out: tuple[LeftOut, ...] = ()
    """Sites of the target cohort whose policies forbid their studies' use; none of these studies is in any run."""

    @classmethod
    def named_form(cls, form: Mapping[str, Any]) -> dict[str, Any]:
        """Everything; what was left out, only if anything was."""
        return {name: value for name, value in super().named_form(form).items() if value or name != "left_out"}

    def stored_form(self) -> dict[str, Any]:
        """With the runs as PooledRuns."""
        own = self.model_dump(mode="json", exclude={"runs"})
        return {"schema": self.SCHEMA, "runs": pooled(self.runs).model_dump(mode="json")} | own

    @property
    def first_endpoint(self) -> Endpoint:
        """The primary endpoint that was planned first."""
        return self.endpoint or self.spec.endpoint
