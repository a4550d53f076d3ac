"""Define the rows of the result tables: name, type and unit of each Parquet column, and where null is allowed.

Sensitivity without a reference lesion and PPV without a predicted lesion are undefined: they are null, never 0 or 1.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from storage_schemas.axes import Axes
from storage_schemas.base import Digest, Document, Fraction, Seconds, Slug, StudyId
from storage_schemas.metrics import Measured, Metric


class RunColumns(Document):
    """Columns that identify the run of a row."""

    experiment: Slug
    """Name of the ExperimentSpec."""
    run_id: Digest
    task: Slug
    """Name of the task; the manifest and the model card hold its definition."""


class CellColumns(Axes, RunColumns):
    """Columns that identify the cell of the design, with the axes as in Cell."""

    trained_on: Annotated[int, Field(ge=0)]
    """Target studies trained on; fewer than `training_size` only if a fold of a site or patient design has fewer."""


class StudyColumns(CellColumns):
    """Columns that identify the tested MRI study of a row."""

    study: StudyId
    patient: str
    site: Slug
    position: Annotated[int, Field(ge=1)]
    """Position of the study in its test subset, from 1; the fold-averaged analysis pairs by it."""
    definition: str
    """The MetricDefinition that was applied, as `name@digest`."""


class StudyRow(Measured, StudyColumns):
    """Result of one model on one tested study, in native space."""

    false_positives: Annotated[int, Field(ge=0)]
    """Predicted lesions that do not hit a reference lesion."""
    reference_lesions: Annotated[int, Field(ge=0)]
    predicted_lesions: Annotated[int, Field(ge=0)]
    true_positives: Annotated[int, Field(ge=0)]
    """Reference lesions that are hit by a predicted lesion."""
    reference_ml: Annotated[float, Field(ge=0)]
    predicted_ml: Annotated[float, Field(ge=0)]
    inference_s: Annotated[float, Field(ge=0)]
    """Wall time of whole-head inference in seconds; the only column that differs between equal runs."""

    @property
    def lacks_surface(self) -> bool:
        """Whether surface distances are defined but were not measured yet when the row was written."""
        return self.assd_mm is None and self.reference_ml > 0 and self.predicted_ml > 0


class LesionRow(StudyColumns):
    """One lesion of the reference mask or of the predicted mask."""

    side: Literal["reference", "prediction"]
    lesion: Annotated[int, Field(ge=1)]
    """Component number within its mask."""
    outcome: Literal["true-positive", "missed", "false-positive"]
    """true-positive or missed for a reference lesion; true-positive or false-positive for a predicted lesion."""
    volume_mm3: Annotated[float, Field(gt=0)]
    x_mm: float
    y_mm: float
    z_mm: float
    """Centroid in native world space, RAS+ millimetres."""
    overlap: Fraction
    """Fraction of the lesion's voxels that the other mask covers."""
    matched: Annotated[int, Field(ge=1)] | None = None
    """Component number of the matched lesion in the other mask; null if the definition does not match one to one."""
    peak: Fraction | None = None
    """Highest predicted probability in the lesion, rounded down to the 8-bit scale; null if only a mask is stored."""


class OperatingRow(StudyColumns):
    """The prediction of one tested study, thresholded at one of the THRESHOLDS, by the row's definition.

    The last three columns describe the voxels with a probability from this threshold up to the next, for calibration.
    """

    threshold: Fraction
    """Voxels with at least this probability are lesion."""
    reference_lesions: Annotated[int, Field(ge=0)]
    predicted_lesions: Annotated[int, Field(ge=0)]
    true_positives: Annotated[int, Field(ge=0)]
    false_positives: Annotated[int, Field(ge=0)]
    voxels: Annotated[int, Field(ge=0)]
    lesion_voxels: Annotated[int, Field(ge=0)]
    """Of these, the ones in the reference mask."""
    probability_sum: Annotated[float, Field(ge=0)]
    """Sum of their probabilities, at the middle of each level."""

    @property
    def sensitivity(self) -> float | None:
        """Fraction of reference lesions detected; None without reference lesions."""
        return self.true_positives / self.reference_lesions if self.reference_lesions else None

    @property
    def ppv(self) -> float | None:
        """Fraction of predicted lesions that are true positives; None without predicted lesions."""
        return 1 - self.false_positives / self.predicted_lesions if self.predicted_lesions else None


class EpochRow(Document):
    """One epoch of a training. Two executions of one run may differ in its times and memory."""

    epoch: Annotated[int, Field(ge=1)]
    step: Annotated[int, Field(ge=1)]
    """Steps until its end, over the whole run."""
    loss: float
    """Mean over its steps and the workers."""
    learning_rate: Annotated[float, Field(ge=0)]
    """At its last step."""
    seconds: Annotated[float, Field(ge=0)]
    """Of the process that finished it, without the checkpoint; so are the following, on the first worker."""
    waiting_s: Annotated[float, Field(ge=0)]
    """Of these, the ones in which training waited for patches."""
    patches_per_s: Annotated[float, Field(ge=0)]
    """Of all workers together."""
    peak_memory_mib: Annotated[float, Field(ge=0)]
    """On a GPU the largest memory of its tensors in this epoch; on a CPU that of the process since its start."""


class LedgerEntry(Document):
    """Provenance and cost of one run. It is written once and last, so a run with an entry is complete.

    Two executions of one run may differ in everything except the studies tested and the training.
    """

    run_id: Digest
    experiment: Slug
    """The experiment that executed the run; others may share its result."""
    tested: Annotated[int, Field(ge=0)]
    """Number of studies tested, equal to the number of StudyRows of this run."""
    epochs: Annotated[int, Field(ge=0)]
    steps: Annotated[int, Field(ge=0)]
    final_loss: float | None
    """Mean loss of the last epoch; null if nothing was trained."""
    workers: Annotated[int, Field(ge=1)]
    device: str
    """`cpu`, or the name of the GPU."""
    training_s: Seconds
    """Training time of the last attempt, in seconds."""
    evaluation_s: Seconds
    """Evaluation time, in seconds."""
    attempt: str = ""
    """Name of the attempt whose files count, see `KeyPattern.of`; empty: the files lie in the run's own folder."""
    attempts: Annotated[int, Field(ge=1)]
    """Number of times the run was started; more than 1 if workers were lost and it resumed from a checkpoint."""
    lesionlab: str
    """Version of the lesionlab package."""
    code: Digest
    """Digest of all source files of the package; if two entries differ here, different code made them."""
    libraries: dict[str, str]
    """Versions of Python and of the libraries that affect results."""
    withdrawn: tuple[StudyId, ...] = ()
    """Studies that it was trained on or tested with and that were withdrawn since; their rows are gone."""
    finished_at: str = ""
    """UTC, ISO 8601, by the clock of the machine that finished it; empty: written by an earlier version."""


class EffectRow(Document):
    """One statistical comparison: a row of the experiment's comparison table."""

    metric: Metric
    test: Literal["rm-anova", "paired-t", "unpaired-t"]
    comparison: str
    training_size: int | None
    n: Annotated[int, Field(ge=0)]
    """Number of pairs, of subjects of the ANOVA, or of values in the first group."""
    n_other: int | None
    """Number of values in the second group of an unpaired test."""
    undefined: Annotated[int, Field(ge=0)]
    """Number of values or pairs with an undefined metric; excluded, or counted as 0 if the experiment says so."""
    difference: float | None
    statistic: float | None
    p: Fraction | None
    """Null if the test cannot be computed; `note` gives the reason."""
    p_bonferroni: Fraction | None
    family: Annotated[int, Field(ge=1)]
    """m of the Bonferroni correction: the number of comparisons of the same kind in one column of one table."""
    significant: bool
    stratum: str = ""
    """The stratum that the compared models share, such as `depth 3`; empty if the experiment has only one."""
    note: str = ""
    p_holm: Fraction | None = None
    """Holm-adjusted over the same family; reported beside the paper's Bonferroni correction."""
    p_welch: Fraction | None = None
    """Uncorrected p of Welch's unpaired test; reported beside the paper's test with pooled variances."""
