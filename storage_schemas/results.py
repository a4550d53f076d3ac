"""The rows of the results: what each Parquet column is called, its type and unit, and where null is allowed.

Sensitivity without a reference lesion and PPV without a predicted lesion are undefined: null, never 0 or 1 in silence.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from storage_schemas.axes import Axes
from storage_schemas.base import Digest, Document, Fraction, Slug, StudyId
from storage_schemas.metrics import Measured, Metric


class RunColumns(Document):
    """Which run a row belongs to."""

    experiment: Slug
    """The ExperimentSpec's name: the scientific study, not the MRI study."""
    run_id: Digest
    task: Slug
    """Its name; what it is stands in the manifest and in the model's card."""


class CellColumns(Axes, RunColumns):
    """The columns that say which cell of the design a row belongs to; each axis as in the cell itself."""

    trained_on: Annotated[int, Field(ge=0)]
    """Target studies trained on; fewer than asked only where a fold of a site or patient design has no more."""


class StudyColumns(CellColumns):
    """Which tested MRI study a row belongs to."""

    study: StudyId
    patient: str
    site: Slug
    position: Annotated[int, Field(ge=1)]
    """Place of the study in its test subset, from 1: the fold-averaged analysis pairs by it."""
    definition: str
    """MetricDefinition that counted, as `name@digest`."""


class StudyRow(Measured, StudyColumns):
    """One tested study under one model, in native space."""

    false_positives: Annotated[int, Field(ge=0)]
    """Predicted lesions that hit no reference lesion."""
    reference_lesions: Annotated[int, Field(ge=0)]
    predicted_lesions: Annotated[int, Field(ge=0)]
    true_positives: Annotated[int, Field(ge=0)]
    """Reference lesions that a prediction hits."""
    reference_ml: Annotated[float, Field(ge=0)]
    predicted_ml: Annotated[float, Field(ge=0)]
    inference_s: Annotated[float, Field(ge=0)]
    """Wall time of whole-head inference, in seconds; the one column that differs between equal runs."""


class LesionRow(StudyColumns):
    """One lesion of the reference or of the prediction."""

    side: Literal["reference", "prediction"]
    lesion: Annotated[int, Field(ge=1)]
    """Component number within its mask."""
    outcome: Literal["true-positive", "missed", "false-positive"]
    """Reference lesions are found or missed, predicted lesions true or spurious."""
    volume_mm3: Annotated[float, Field(gt=0)]
    x_mm: float
    y_mm: float
    z_mm: float
    """Centroid in native world space, RAS+ millimetres."""
    overlap: Fraction
    """Part of the lesion's voxels that the other mask covers."""
    matched: Annotated[int, Field(ge=1)] | None = None
    """Component number of its partner in the other mask; null where the definition does not match one to one."""


class LedgerEntry(Document):
    """What one run did and cost, and what made it; written once and last, so that a run with an entry is complete.

    Provenance, not identity: two entries of one run may differ in all of it but what was tested and trained.
    """

    run_id: Digest
    experiment: Slug
    """The experiment that executed it; others may share its result."""
    tested: Annotated[int, Field(ge=0)]
    """Studies tested; equal to the StudyRows of this run."""
    epochs: Annotated[int, Field(ge=0)]
    steps: Annotated[int, Field(ge=0)]
    final_loss: float | None
    """Mean loss of the last epoch; null where nothing was trained."""
    workers: Annotated[int, Field(ge=1)]
    device: str
    """`cpu`, or the name of the GPU."""
    training_s: Annotated[float, Field(ge=0)]
    """Of the last attempt."""
    evaluation_s: Annotated[float, Field(ge=0)]
    attempts: Annotated[int, Field(ge=1)]
    """How often it was begun; more than 1 where its workers were lost and it went on from a checkpoint."""
    lesionlab: str
    """Version of the package."""
    code: Digest
    """Of all sources of the package: two entries that differ here were made by different code."""
    libraries: dict[str, str]
    """Versions of Python and of the libraries that decide results."""


class Attempts(Document):
    """How often a run was begun; removed when it is complete."""

    count: Annotated[int, Field(ge=1)]


class EffectRow(Document):
    """One statistical comparison, as a line of the study's table."""

    metric: Metric
    test: Literal["rm-anova", "paired-t", "unpaired-t"]
    comparison: str
    training_size: int | None
    n: Annotated[int, Field(ge=0)]
    """Pairs, or subjects of the ANOVA, or values of the first group."""
    n_other: int | None
    """Values of the second group of an unpaired test."""
    undefined: Annotated[int, Field(ge=0)]
    """Values or pairs for which the metric was undefined: left out, or counted as 0 where the study says so."""
    difference: float | None
    statistic: float | None
    p: Fraction | None
    """Null where the test cannot be computed; `note` says why."""
    p_bonferroni: Fraction | None
    family: Annotated[int, Field(ge=1)]
    """m of the Bonferroni correction: comparisons of the same kind in one column of one table."""
    significant: bool
    stratum: str = ""
    """What the compared models share and others of the study do not, such as `depth 3`; empty where nothing varies."""
    note: str = ""
    p_holm: Fraction | None = None
    """Adjusted after Holm over the same family; beside the paper's Bonferroni."""
    p_welch: Fraction | None = None
    """Of an unpaired test without pooled variances, not corrected; beside the paper's pooled test."""
