"""Declare the metrics of a tested study, each once, with everything that tables, tests and readers need.

Rows, the reader of external tables, means, tests and sheets take their metrics from here. To add a metric, add its name
to Metric, a field to Measured, and the code to `evaluation` that computes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, cast, get_args

from pydantic import Field

from storage_schemas.base import Document, Fraction

FractionMetric = Literal["sensitivity", "ppv", "f1", "dice"]
"""Metrics from 0 to 1 where higher is better; an experiment may declare a goal for them."""

Metric = Literal[FractionMetric, "false_positives", "assd_mm", "hd95_mm"]


@dataclass(frozen=True)
class Worst:
    """What an undefined value counts as where the experiment says `worst`."""

    value: float
    if_defined: FractionMetric
    """Only in a study that has this metric. Where there was nothing to find, finding nothing is not the worst."""


@dataclass(frozen=True)
class MetricColumn:
    """How to show and average a metric."""

    title: str
    """Column heading in reports."""
    name: str
    """Name within a sentence."""
    undefined: str = ""
    """Why the metric may be undefined: `no predicted lesion`."""
    worst: Worst | None = None
    """None: an undefined value stays undefined."""
    digits: int = 2
    """Decimals of a single value in tables."""
    primary: bool = False
    """Whether the paper reports it: shown in its tables, verdicts, learning curves and the null test. Others have extra
    tables."""


class Measured(Document):
    """The metrics of one tested study, in native space; null: undefined or not measured."""

    sensitivity: Annotated[
        Fraction | None,
        MetricColumn("Sensitivity", "sensitivity", "no reference lesion", primary=True),
    ] = None
    """true_positives / reference_lesions; null without a reference lesion."""
    ppv: Annotated[
        Fraction | None,
        MetricColumn("PPV", "PPV", "no predicted lesion", worst=Worst(0.0, if_defined="sensitivity"), primary=True),
    ] = None
    """(predicted_lesions − false_positives) / predicted_lesions; null without a predicted lesion."""
    f1: Annotated[Fraction | None, MetricColumn("F1", "F1", "neither mask has a lesion")] = None
    """Lesionwise: the harmonic mean of sensitivity and PPV; 0 if only one mask has lesions, null if neither has."""
    # Undefined Dice is not counted as 0: both masks are empty, or it was not computed.
    dice: Annotated[Fraction | None, MetricColumn("Dice", "Dice", "both masks empty")] = None
    """Voxelwise Dice; null if both masks are empty."""
    false_positives: Annotated[
        Annotated[float, Field(ge=0)] | None, MetricColumn("False positives", "false positives", digits=0)
    ] = None
    """Predicted lesions that do not hit a reference lesion; defined even if both masks are empty."""

    assd_mm: Annotated[
        Annotated[float, Field(ge=0)] | None,
        MetricColumn("ASSD (mm)", "average symmetric surface distance", "a mask is empty, or not measured"),
    ] = None
    """Average symmetric surface distance of the whole masks, in mm; null if either mask is empty, or in rows of before
    it was measured."""
    hd95_mm: Annotated[
        Annotated[float, Field(ge=0)] | None,
        MetricColumn("HD95 (mm)", "95 % Hausdorff distance", "a mask is empty, or not measured"),
    ] = None
    """Larger one of the two directed 95th percentiles of the surface distances, in mm; null as `assd_mm`."""

    def measured(self, metric: Metric) -> float | None:
        """The value of a metric. F1 follows from sensitivity and PPV where the row has no column of it."""
        value: float | None = getattr(self, metric)
        return f1_of(self.sensitivity, self.ppv) if metric == "f1" and value is None else value


def f1_of(sensitivity: float | None, ppv: float | None) -> float | None:
    """Harmonic mean of lesionwise sensitivity and PPV; None if both are undefined: neither mask has a lesion.

    If one is undefined, one mask alone has lesions, and F1 is 0, as 2 TP / (2 TP + FP + FN) is.
    """
    if sensitivity is None and ppv is None:
        return None
    found, right = sensitivity or 0.0, ppv or 0.0
    return 2 * found * right / (found + right) if found + right else 0.0


COLUMNS: Mapping[Metric, MetricColumn] = {
    cast(Metric, name): mark
    for name, field in Measured.model_fields.items()
    for mark in field.metadata
    if isinstance(mark, MetricColumn)
}
"""All metrics by name, in the order of the tables."""

METRICS: tuple[Metric, ...] = tuple(COLUMNS)
PRIMARY: tuple[Metric, ...] = tuple(metric for metric in METRICS if COLUMNS[metric].primary)
FRACTIONS: tuple[FractionMetric, ...] = get_args(FractionMetric)
