"""The metrics of a tested study: each declared once, with all that tables, tests and readers need to treat it.

Rows, the reader of tables from elsewhere, means, tests and sheets take their metrics from here. A new metric is its
name in Metric, a field of Measured, and the code of `evaluation` that computes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, cast, get_args

from pydantic import Field

from storage_schemas.base import Document, Fraction

FractionMetric = Literal["sensitivity", "ppv", "dice"]
"""From 0 to 1, where more is better: an experiment may declare a goal for it."""

Metric = Literal[FractionMetric, "false_positives"]


@dataclass(frozen=True)
class MetricColumn:
    """What there is to know of a metric to show it and to average it."""

    title: str
    """Heads a column of tables that people read."""
    name: str
    """Within a sentence."""
    undefined: str = ""
    """Why a study may have none: `no predicted lesion`."""
    worst: float | None = None
    """What an undefined value counts for where the experiment says `worst`; None: it stays undefined."""
    primary: bool = False
    """The paper's: in its tables, verdicts, learning curves and the null test. The others stand in tables of ours."""


class Measured(Document):
    """The metrics of one tested study, in native space; null: undefined, or not measured."""

    sensitivity: Annotated[
        Fraction | None,
        MetricColumn("Sensitivity", "sensitivity", "no reference lesion", worst=0.0, primary=True),
    ] = None
    """true_positives / reference_lesions; null without a reference lesion."""
    ppv: Annotated[Fraction | None, MetricColumn("PPV", "PPV", "no predicted lesion", worst=0.0, primary=True)] = None
    """(predicted_lesions − false_positives) / predicted_lesions; null without a predicted lesion."""
    # Undefined Dice is not the worst: both masks are empty, or nobody computed it.
    dice: Annotated[Fraction | None, MetricColumn("Dice", "Dice", "both masks empty")] = None
    """Voxelwise; null where both masks are empty."""
    false_positives: Annotated[
        Annotated[float, Field(ge=0)] | None, MetricColumn("False positives", "false positives")
    ] = None
    """Predicted lesions that hit no reference lesion; defined also without a lesion in either mask."""

    def measured(self, metric: Metric) -> float | None:
        """Its value of a metric."""
        value: float | None = getattr(self, metric)
        return value


COLUMNS: Mapping[Metric, MetricColumn] = {
    cast(Metric, name): mark
    for name, field in Measured.model_fields.items()
    for mark in field.metadata
    if isinstance(mark, MetricColumn)
}
"""Every metric by its name, in the order of the tables."""

METRICS: tuple[Metric, ...] = tuple(COLUMNS)
PRIMARY: tuple[Metric, ...] = tuple(metric for metric in METRICS if COLUMNS[metric].primary)
FRACTIONS: tuple[FractionMetric, ...] = get_args(FractionMetric)
