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

FractionMetric = Literal["sensitivity", "ppv", "dice"]
"""Metrics from 0 to 1 where higher is better; an experiment may declare a goal for them."""

Metric = Literal[FractionMetric, "false_positives"]


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
    # Undefined Dice is not counted as 0: both masks are empty, or it was not computed.
    dice: Annotated[Fraction | None, MetricColumn("Dice", "Dice", "both masks empty")] = None
    """Voxelwise Dice; null if both masks are empty."""
    false_positives: Annotated[
        Annotated[float, Field(ge=0)] | None, MetricColumn("False positives", "false positives")
    ] = None
    """Predicted lesions that do not hit a reference lesion; defined even if both masks are empty."""

    def measured(self, metric: Metric) -> float | None:
        """The value of a metric."""
        value: float | None = getattr(self, metric)
        return value


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
