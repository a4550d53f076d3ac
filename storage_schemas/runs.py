"""The run as a value: how a network is trained (TrainingConfig), which cell of a design it is, and RunSpec, all of it.

Every default is the paper's (Wahlig et al. 2023) or, where it is silent, the one that DECISIONS.md argues for.
"""

from __future__ import annotations

from math import ceil
from typing import Annotated, Any

from pydantic import Field, model_validator

from storage_schemas.axes import Axes, Freezing, Loss, Optimizer, axes_of
from storage_schemas.base import Digest, Document, Named, Sha256, Slug
from storage_schemas.definitions import MetricDefinition
from storage_schemas.identity import Aside, Neutral, identity, identity_digest
from storage_schemas.manifests import ManifestEntry
from storage_schemas.models import Adaptation, Architecture, InferenceConfig, ModelName, Precision
from storage_schemas.results import CellColumns
from storage_schemas.tasks import Task
from storage_schemas.versions import ResultVersions


class Elastic(Document):
    """Elastic augmentation (Simard et al. 2003): a smooth random displacement of the whole head."""

    control_spacing_mm: Annotated[float, Field(gt=0)] = 32.0
    """Distance of the control points that are moved independently."""
    sd_mm: Annotated[float, Field(ge=0)] = 3.0
    """Standard deviation of each control point's displacement along each axis."""


class TrainingConfig(Document):
    """One training, in full. Raises ValueError with every contradiction that it holds."""

    patch_voxels: Annotated[int, Field(gt=0)] = 96
    """Edge of a cubic patch on the model grid; 96 voxels are 96 mm at 1 mm."""
    patches_per_study: Annotated[int, Field(gt=0)] = 60
    """Per augmented volume; half of them contain lesion, half do not."""
    augmentations: Annotated[int, Field(ge=1)] = 3
    """Elastically deformed copies of each study: 60 × 3 = 180 patches a study."""
    elastic: Elastic = Elastic()
    epochs: Annotated[int, Field(ge=1)] = 30
    batch_size: Annotated[int, Field(ge=1)] = 8
    """Patches per step over all workers together."""
    learning_rate: Annotated[float, Field(gt=0)] = 1e-4
    """Adam's; the paper's exponent is lost in print, see DECISIONS.md."""
    optimizer: Annotated[Optimizer, Neutral("adam")] = "adam"
    """adamw: with a weight decay of 0.01. sgd: with Nesterov momentum of 0.99; it wants a learning rate about a hundred
    times that of Adam (nnU-Net: 1e-2)."""
    steps: Annotated[int, Field(ge=1)] | None = None
    """Optimiser steps in all, in place of `epochs`: the same budget at every training size; the last epoch ends where
    they are reached. None: by epochs."""
    warmup_steps: Annotated[int, Field(ge=0)] = 0
    """The learning rate rises linearly over so many steps, of which the last has all of it."""
    freezing: Freezing | None = None
    """Only where weights were taken over from a source; a de novo training ignores it."""
    precision: Precision = "fp32"
    loss: Annotated[Loss, Neutral("cross-entropy")] = "cross-entropy"
    workers: Annotated[int, Field(ge=1), Aside()] = 1
    """Data-parallel workers; they share out each batch, so their number changes rounding only."""

    def steps_per_epoch(self, studies: int) -> int:
        """With so many studies to train on; a step is one batch, whatever the number of workers."""
        return ceil(studies * self.augmentations * self.patches_per_study / self.batch_size)

    def all_steps(self, studies: int) -> int:
        """The whole training's."""
        return self.steps or self.epochs * self.steps_per_epoch(studies)

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
            raise ValueError("\n".join(faults))
        return self


class Cell(Axes):
    """One cell of the design: what varies between the runs of one study; None: as the ExperimentSpec says for all."""

    def model(self) -> str:
        """How people call its arm: `fine-tuned from glioma`."""
        return {
            "de-novo": "de novo",
            "fine-tuned": f"fine-tuned from {self.source}",
            "default": f"default model {self.source}",
            "rater": "second rater",
        }[self.arm]

    def title(self) -> str:
        """How people call this cell: `fine-tuned from glioma, 10 studies, depth 3, fold 2`."""
        parts = [self.model()]
        if self.training_size:
            parts.append("1 study" if self.training_size == 1 else f"{self.training_size} studies")
        if self.arm != "rater":
            parts += [axis.words(getattr(self, name)) for name, axis in _BESIDE.items() if self._tells(name)]
        parts.append(f"fold {self.fold}" + (f" (tested on {self.test_site})" if self.test_site else ""))
        if self.seed:
            parts.append(f"seed {self.seed}")
        return ", ".join(parts)

    def _tells(self, name: str) -> bool:
        """Whether it has a value that does not go without saying."""
        return bool(getattr(self, name) != Cell.model_fields[name].default)


_BESIDE = axes_of("stratum", "method or stratum", "method")


class Parent(Document):
    """The default model that a run starts from, by the very weights."""

    model: Annotated[ModelName, Aside()]
    weights_sha256: Sha256
    adaptation: Adaptation | None = None
    """None: architecture, channels and head must be the source's own."""


class RunSpec(Named):
    """One run, complete: equal ids give equal weights and equal rows.

    The id is the identity of what decides the result, see `decides`; it is stored with the run.
    """

    experiment: Slug
    task: Task
    channels: tuple[str, ...]
    spacing_mm: Annotated[float, Field(gt=0)]
    cell: Cell | None
    """None: a default model in the making, which is tested on nothing."""
    cohort: Slug
    manifest: Digest
    """Of that cohort, as it was when the run was planned."""
    train: tuple[ManifestEntry, ...]
    test: tuple[ManifestEntry, ...]
    parent: Parent | None
    architecture: Architecture
    training: TrainingConfig
    inference: InferenceConfig
    metric: MetricDefinition
    seed: int
    versions: ResultVersions
    """Of the code that planned the run; a run is executed by code of the same versions only."""

    @property
    def run_id(self) -> Digest:
        """Name of this run everywhere: in keys, in Ray, in tables."""
        return self.id

    def name_digest(self) -> Digest:
        """The digest of what decides the result."""
        return identity_digest(self.decides())

    def decides(self) -> dict[str, Any]:
        """What decides the result, as plain values: the one place that says what a run's identity is made of.

        The studies by label (all draws follow from it) and volume digest, in order; the cell; what the run starts from;
        its settings; and the result versions of the rooms that it passes through. A volume's digest holds the version
        of preprocessing. Not in it: names of experiments, cohorts and models, workers, device, source text.
        """
        parts: dict[str, Any] = {
            "train": [[entry.study, entry.volume] for entry in self.train],
            "test": [[entry.study, entry.volume] for entry in self.test],
            "cell": self.cell,
        }
        if self.test:
            parts |= {"metric": self.metric, "evaluation": self.versions.evaluation}
        if self.cell is None or self.cell.arm != "rater":
            parts |= {
                "channels": self.channels,
                "parent": self.parent,
                "architecture": self.architecture,
                "inference": self.inference,
                "inference_version": self.versions.inference,
                "patch_voxels": self.training.patch_voxels,
                "seed": self.seed,
            }
        if self.train:
            parts |= {
                "training": self.training,
                "augmentation_version": self.versions.augmentation,
                "training_version": self.versions.training,
            }
        plain: dict[str, Any] = identity(parts)
        return plain

    def columns(self) -> CellColumns:
        """The columns that every result row of this run carries. Raises ValueError for a run without a cell."""
        if self.cell is None:
            raise ValueError(f"run {self.run_id} makes a default model and has no rows")
        return CellColumns(
            experiment=self.experiment,
            run_id=self.run_id,
            task=self.task.name,
            trained_on=len(self.train),
            **self.cell.values(),
        )
