"""Define a run: its training settings (TrainingConfig), its cell of the design (Cell), and the complete RunSpec.

Every default is from the paper (Wahlig et al. 2023); where the paper gives none, DECISIONS.md explains the choice.
"""

from __future__ import annotations

from math import ceil
from typing import Annotated, Any

from pydantic import Field, model_validator

from storage_schemas.axes import Augmentation, Axes, Freezing, Loss, Optimizer, axes_of
from storage_schemas.base import Digest, Document, Named, NonNegative, Positive, Sha256, Slug
from storage_schemas.definitions import MetricDefinition
from storage_schemas.identity import Aside, Neutral, identity, identity_digest
from storage_schemas.manifests import ManifestEntry
from storage_schemas.models import Adaptation, Architecture, InferenceConfig, ModelName, Precision
from storage_schemas.results import CellColumns
from storage_schemas.tasks import Task
from storage_schemas.versions import ResultVersions


class Elastic(Document):
    """Elastic augmentation (Simard et al. 2003): a smooth random displacement of the whole head."""

    control_spacing_mm: Positive = 32.0
    """Distance between control points, which are displaced independently."""
    sd_mm: NonNegative = 3.0
    """Standard deviation of each control point's displacement along each axis."""


class TrainingConfig(Document):
    """All settings of one training. Raises ValueError that lists every contradiction."""

    patch_voxels: Annotated[int, Field(gt=0, le=512)] = 96
    """Edge length of a cubic patch on the model grid; 96 voxels are 96 mm at 1 mm."""
    patches_per_study: Annotated[int, Field(gt=0)] = 60
    """Patches per augmented volume and epoch; half contain lesion, half do not."""
    augmentations: Annotated[int, Field(ge=1)] = 3
    """Elastically deformed copies of each study; 60 patches × 3 copies = 180 patches per study. With every-patch the
    number of patches is the same, and there are no copies."""
    augmentation: Annotated[Augmentation, Neutral("fixed-copies")] = "fixed-copies"
    elastic: Elastic = Elastic()
    epochs: Annotated[int, Field(ge=1)] = 30
    batch_size: Annotated[int, Field(ge=1)] = 8
    """Patches per step, over all workers."""
    micro_batch: Annotated[Annotated[int, Field(ge=1)] | None, Aside()] = None
    """Most patches that a worker passes through the network at once, for devices with little memory; the gradients of a
    batch add up, so it changes rounding only. None: its whole share of the batch."""
    learning_rate: Positive = 1e-4
    """For Adam. The exponent is missing in the printed paper; see DECISIONS.md."""
    optimizer: Annotated[Optimizer, Neutral("adam")] = "adam"
    """adamw: weight decay 0.01. sgd: Nesterov momentum 0.99; needs about a hundred times Adam's learning rate (nnU-Net
    uses 1e-2)."""
    steps: Annotated[int, Field(ge=1)] | None = None
    """Total optimiser steps instead of `epochs`: the same budget at every training size. The last epoch may be partial.
    None: `epochs` applies."""
    warmup_steps: Annotated[int, Field(ge=0)] = 0
    """Number of steps over which the learning rate rises linearly; the last of them uses the full rate."""
    freezing: Freezing | None = None
    """Applies to tensors copied from a source; de novo training ignores it."""
    precision: Precision = "fp32"
    loss: Annotated[Loss, Neutral("cross-entropy")] = "cross-entropy"
    workers: Annotated[int, Field(ge=1), Aside()] = 1
    """Data-parallel workers; they split each batch, in shares that may differ by one patch, so their number changes
    rounding only."""

    def steps_per_epoch(self, studies: int) -> int:
        """Steps per epoch for this number of training studies; a step is one batch, whatever the number of workers."""
        return ceil(studies * self.augmentations * self.patches_per_study / self.batch_size)

    def all_steps(self, studies: int) -> int:
        """Total steps for this number of training studies."""
        return self.steps or self.epochs * self.steps_per_epoch(studies)

    @model_validator(mode="after")
    def _check_consistency(self) -> TrainingConfig:
        faults = []
        if self.patches_per_study % 2:
            faults.append(
                "patches_per_study: wanted an even number (half with lesion, half without), "
                f"found {self.patches_per_study}"
            )
        if self.batch_size < self.workers:
            faults.append(f"batch_size: wanted a patch for each of the {self.workers} workers, found {self.batch_size}")
        if self.micro_batch is not None and self.loss != "cross-entropy":
            faults.append(
                f"micro_batch: wanted the loss cross-entropy, found {self.loss}; soft Dice is one of the whole batch, "
                "so it cannot be added up from parts"
            )
        if self.steps is not None and self.warmup_steps > self.steps:
            faults.append(f"warmup_steps: wanted at most the {self.steps} steps in total, found {self.warmup_steps}")
        frozen_epochs = self.freezing.epochs if self.freezing else None
        if self.steps is None and frozen_epochs is not None and frozen_epochs >= self.epochs:
            faults.append(
                f"freezing: wanted fewer than the {self.epochs} epochs in total, or null to freeze to the end; "
                f"found {frozen_epochs}"
            )
        if faults:
            raise ValueError("\n".join(faults))
        return self


class Cell(Axes):
    """One cell of the design: the values that vary between runs; None: the ExperimentSpec's common value."""

    def model(self) -> str:
        """Name of its arm in tables and logs: `fine-tuned from glioma`."""
        return {
            "de-novo": "de novo",
            "fine-tuned": f"fine-tuned from {self.source}",
            "default": f"default model {self.source}",
            "rater": "second rater",
            "other": str(self.source),
        }[self.arm]

    def title(self) -> str:
        """Name of the cell in tables and logs: `fine-tuned from glioma, 10 studies, depth 3, fold 2`."""
        parts = [self.model()]
        if self.training_size:
            parts.append("1 study" if self.training_size == 1 else f"{self.training_size} studies")
        if self.arm != "rater":
            parts += [axis.words(getattr(self, name)) for name, axis in _TITLE_AXES.items() if self._differs(name)]
        parts.append(f"fold {self.fold}" + (f" (tested on {self.test_site})" if self.test_site else ""))
        if self.seed:
            parts.append(f"seed {self.seed}")
        return ", ".join(parts)

    def _differs(self, name: str) -> bool:
        """Whether the cell's value on an axis is set and is not the default."""
        return bool(getattr(self, name) != Cell.model_fields[name].default)


_TITLE_AXES = axes_of("stratum", "method or stratum", "method")


class Parent(Document):
    """The default model that a run starts from, identified by the sha256 of its weights."""

    model: Annotated[ModelName, Aside()]
    weights_sha256: Sha256
    adaptation: Adaptation | None = None
    """None: architecture and channels must equal the source's; the head is loaded too."""


class RunSpec(Named):
    """One complete run; equal ids give equal weights and equal rows.

    The id is the digest of everything that determines the result (see `decides`), and is stored with the run.
    """

    experiment: Slug
    task: Task
    channels: tuple[str, ...]
    spacing_mm: Annotated[float, Field(gt=0)]
    cell: Cell | None
    """None: the run trains a default model and tests no study."""
    cohort: Slug
    manifest: Digest
    """The cohort's manifest when the run was planned."""
    train: tuple[ManifestEntry, ...]
    test: tuple[ManifestEntry, ...]
    parent: Parent | None
    architecture: Architecture
    training: TrainingConfig
    inference: InferenceConfig
    metric: MetricDefinition
    seed: int
    versions: ResultVersions
    """Result versions of the code that planned the run; only code with the same versions executes it."""

    @property
    def run_id(self) -> Digest:
        """The name of the run in keys, in Ray and in tables."""
        return self.id

    def name_digest(self) -> Digest:
        """The digest of everything that determines the result."""
        return identity_digest(self.decides())

    def decides(self) -> dict[str, Any]:
        """Everything that determines the result, as plain values; the only definition of a run's identity.

        It includes the studies in order, each by label (which determines its random draws) and volume digest; the cell;
        the parent weights; the settings; and the result versions of the stages that the run uses. A volume's digest
        includes the version of preprocessing. It excludes names of experiments, cohorts and models, workers, device and
        source code.
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
            raise ValueError(f"run {self.run_id} trains a default model and has no rows")
        return CellColumns(
            experiment=self.experiment,
            run_id=self.run_id,
            task=self.task.name,
            trained_on=len(self.train),
            **self.cell.values(),
        )
