"""The study as a value: StudySpec (what a person writes in YAML), and Plan and RunSpec (what it becomes, cell by cell).

Every default is the paper's (Wahlig et al. 2023) or, where it is silent, the one that DECISIONS.md argues for.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from storage_schemas.base import Digest, Document, Sha256, Slug
from storage_schemas.cohorts import CohortPlan
from storage_schemas.definitions import MetricDefinition, NamedOrFull
from storage_schemas.manifests import ManifestEntry
from storage_schemas.models import Adaptation, Architecture, InferenceConfig, ModelName
from storage_schemas.results import Arm, CellColumns
from storage_schemas.tasks import TaskName


class Elastic(Document):
    """Elastic augmentation (Simard et al. 2003): a smooth random displacement of the whole head."""

    control_spacing_mm: Annotated[float, Field(gt=0)] = 32.0
    """Distance of the control points that are moved independently."""
    sd_mm: Annotated[float, Field(ge=0)] = 3.0
    """Standard deviation of each control point's displacement along each axis."""


class Freezing(Document):
    """Weights of the source that a fine-tuning leaves as they are for a while.

    Only what was taken over as it is: tensors that were adapted or start fresh learn from the first step. Batch
    normalisation whose weights are frozen also keeps, and normalises by, the source's statistics.
    """

    part: Literal["encoder", "all-but-head"]
    epochs: Annotated[int, Field(ge=1)] | None = None
    """Frozen for so many epochs; None: to the end."""


class TrainingConfig(Document):
    """One training, in full. Raises ValueError with every contradiction that it holds."""

    patch_voxels: Annotated[int, Field(gt=0)] = 96
    """Edge of a cubic patch on the study grid; 96 voxels are 96 mm at 1 mm."""
    patches_per_study: Annotated[int, Field(gt=0)] = 60
    """Per augmented volume; half of them contain lesion, half do not."""
    augmentations: Annotated[int, Field(ge=1)] = 3
    """Elastically deformed copies of each study: 60 × 3 = 180 patches a study."""
    elastic: Elastic = Elastic()
    epochs: Annotated[int, Field(ge=1)] = 30
    batch_size: Annotated[int, Field(ge=1)] = 8
    """Patches per step over all workers together."""
    learning_rate: Annotated[float, Field(gt=0)] = 1e-4
    """Adam; the paper's exponent is lost in print, see DECISIONS.md."""
    steps: Annotated[int, Field(ge=1)] | None = None
    """Optimiser steps in all, in place of `epochs`: the same budget at every training size; the last epoch ends where
    they are reached. None: by epochs."""
    warmup_steps: Annotated[int, Field(ge=0)] = 0
    """The learning rate rises linearly over so many steps, of which the last has all of it."""
    freezing: Freezing | None = None
    """Only where weights were taken over from a source; a de novo training ignores it."""
    workers: Annotated[int, Field(ge=1)] = 1
    """Data-parallel workers; they share out each batch, so their number changes rounding only."""

    @model_validator(mode="after")
    def _holds_together(self) -> TrainingConfig:
        faults = []
        if self.patches_per_study % 2:
            faults.append(
                "patches_per_study: wanted an even number (half with lesion, half without), "
                f"found {self.patches_per_study}"
            )
        if self.batch_size % self.workers:
            faults.append(f"batch_size: wanted a multiple of the {self.workers} workers, found {self.batch_size}")
        if self.steps is not None and self.warmup_steps > self.steps:
            faults.append(f"warmup_steps: wanted at most the {self.steps} steps in all, found {self.warmup_steps}")
        thaws_after = self.freezing.epochs if self.freezing else None
        if self.steps is None and thaws_after is not None and thaws_after >= self.epochs:
            faults.append(
                f"freezing: wanted fewer than the {self.epochs} epochs in all, or null for to the end; "
                f"found {thaws_after}"
            )
        if faults:
            raise ValueError("; ".join(faults))
        return self


class Cohort(Document):
    """Where the studies of one cohort come from."""

    simulate: CohortPlan | None = None
    """How to simulate it; None: a BIDS dataset must be given at run time."""


class Target(Document):
    """The labelled studies of the question, in equal subsets that take turns as test set."""

    cohort: Slug
    subsets: Annotated[int, Field(ge=2)] = 6
    subset_size: Annotated[int, Field(ge=1)] = 10
    split_seed: int = 0
    """Of the random assignment of studies to subsets."""


class Source(Document):
    """A default model: trained once on another pathology, registered under its name."""

    model: Slug
    cohort: Slug | None = None
    """Trained from this cohort where the registry does not have it; None: it must be registered already."""
    training: TrainingConfig | None = None
    """None: as the study's own trainings."""
    adaptation: Adaptation | None = None
    """How its weights are fitted to the study's networks; None: they must fit as they are."""

    @model_validator(mode="after")
    def _training_needs_a_cohort(self) -> Source:
        if self.training is not None and self.cohort is None:
            raise ValueError(f"source {self.model}: training is given but no cohort to train it on")
        return self


class StudySpec(Document):
    """A whole study. Raises ValueError with every contradiction that it holds."""

    name: Slug
    title: str
    task: TaskName
    spacing_mm: Annotated[float, Field(gt=0)] = 1.0
    """Isotropic study grid."""
    cohorts: dict[Slug, Cohort]
    target: Target
    sources: tuple[Source, ...] = ()
    training_sizes: Annotated[tuple[int, ...], Field(min_length=1)]
    seeds: Annotated[tuple[int, ...], Field(min_length=1)] = (0,)
    architecture: Architecture = Architecture()
    training: TrainingConfig = TrainingConfig()
    inference: InferenceConfig = InferenceConfig()
    metric: NamedOrFull = MetricDefinition()
    unit_of_analysis: Literal["fold-averaged", "per-study"] = "fold-averaged"
    """Of the unpaired tests: each test position averaged over the folds (reproduces the paper), or every study."""

    @model_validator(mode="after")
    def _holds_together(self) -> StudySpec:
        faults = []
        size, most = self.target.subset_size, self.target.subset_size * (self.target.subsets - 1)
        for n in self.training_sizes:
            if n % size or not size <= n <= most:
                faults.append(
                    f"training_sizes: wanted whole subsets of {size}, from {size} to {most} studies; found {n}"
                )
        if len(set(self.training_sizes)) < len(self.training_sizes):
            faults.append(f"training_sizes: found one twice in {list(self.training_sizes)}")
        if len(set(self.seeds)) < len(self.seeds):
            faults.append(f"seeds: found one twice in {list(self.seeds)}")
        names = [source.model for source in self.sources]
        if len(set(names)) < len(names):
            faults.append(f"sources: found one model twice in {names}")
        for name in [self.target.cohort, *(s.cohort for s in self.sources if s.cohort)]:
            if name not in self.cohorts:
                faults.append(f"cohorts: {name!r} is used but not described; described are {sorted(self.cohorts)}")
        scale = 2**self.architecture.depth
        for owner, training in [
            ("training", self.training),
            *((f"source {s.model}", s.training) for s in self.sources),
        ]:
            if training is not None and training.patch_voxels % scale:
                faults.append(
                    f"{owner}: patch_voxels must be a multiple of {scale} for a U-Net of depth "
                    f"{self.architecture.depth}; found {training.patch_voxels}"
                )
            if training is not None and training.patch_voxels < self.inference.step_voxels:
                faults.append(
                    f"inference: step_voxels must not exceed the patch of {owner} ({training.patch_voxels}), "
                    f"or windows leave gaps; found {self.inference.step_voxels}"
                )
        if faults:
            raise ValueError("; ".join(faults))
        return self


class Cell(Document):
    """One cell of the design: what varies between the runs of one study."""

    arm: Arm
    source: Slug | None
    training_size: Annotated[int, Field(ge=0)]
    fold: Annotated[int, Field(ge=1)]
    seed: int

    def title(self) -> str:
        """How people call this cell: `fine-tuned from glioma, 10 studies, fold 2`."""
        who = f"{self.arm} from {self.source}" if self.arm == "fine-tuned" else self.arm
        if self.arm == "default":
            return f"default model {self.source}, fold {self.fold}"
        studies = "1 study" if self.training_size == 1 else f"{self.training_size} studies"
        return f"{who}, {studies}, fold {self.fold}" + (f", seed {self.seed}" if self.seed else "")


class Parent(Document):
    """The default model that a run starts from, by the very weights."""

    model: ModelName
    weights_sha256: Sha256
    adaptation: Adaptation | None = None
    """None: architecture, channels and head must be the source's own."""


class RunSpec(Document):
    """One run, complete: equal RunSpecs give equal weights and equal rows; `run_id` is its digest."""

    study_name: Slug
    task: TaskName
    channels: tuple[str, ...]
    spacing_mm: Annotated[float, Field(gt=0)]
    cell: Cell | None
    """None: a default model in the making, which is tested on nothing."""
    cohort: Slug
    train: tuple[ManifestEntry, ...]
    test: tuple[ManifestEntry, ...]
    parent: Parent | None
    architecture: Architecture
    training: TrainingConfig
    inference: InferenceConfig
    metric: MetricDefinition
    seed: int
    code_version: Digest
    """Of the code that decides the result."""

    @property
    def run_id(self) -> Digest:
        """Name of this run everywhere: in keys, in Ray, in tables."""
        return self.digest()

    def columns(self) -> CellColumns:
        """The columns that every result row of this run carries. Raises ValueError for a run without a cell."""
        if self.cell is None:
            raise ValueError(f"run {self.run_id} makes a default model and has no rows")
        return CellColumns(
            study_name=self.study_name,
            run_id=self.run_id,
            task=self.task,
            arm=self.cell.arm,
            source=self.cell.source,
            training_size=self.cell.training_size,
            fold=self.cell.fold,
            seed=self.cell.seed,
            depth=self.architecture.depth,
        )


class Plan(Document):
    """A StudySpec resolved against the store: which studies, which weights, every run."""

    spec: StudySpec
    manifest: Digest
    """Of the target cohort."""
    runs: tuple[RunSpec, ...]
