"""Compute mean ± standard error of every condition and metric, and count what was left out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import fmean, stdev

from lesionlab.analysis.statistics.conditions import Condition, rows_by_condition, values_by_study
from lesionlab.analysis.statistics.rows import Row
from storage_schemas.experiments import Undefined
from storage_schemas.metrics import METRICS, Metric


@dataclass(frozen=True)
class Summary:
    """One metric of one condition over the tested studies."""

    condition: Condition
    metric: Metric
    mean: float | None
    """None where no study has a value."""
    se: float | None
    """SD / √n over the studies, SD with n − 1; None below two studies."""
    n: int
    """Studies with a value."""
    undefined: int
    """Tested studies for which the metric was undefined."""
    as_worst: int = 0
    """Of these, the ones that count in the mean as the worst; the others are left out of it."""

    @property
    def tested(self) -> int:
        """Tested studies."""
        return self.n + self.undefined - self.as_worst


def summarise(
    rows: Iterable[Row], conditions: Iterable[Condition], undefined: Undefined = "exclude"
) -> tuple[Summary, ...]:
    """Compute mean ± SE for every condition and metric, in the order given; a study counts once over its seeds."""
    by_condition = rows_by_condition(rows)
    return tuple(
        _summary(by_condition.get(condition, []), condition, metric, undefined)
        for condition in conditions
        for metric in METRICS
    )


def _summary(rows: Sequence[Row], condition: Condition, metric: Metric, undefined: Undefined) -> Summary:
    kept = [value for value in values_by_study(rows, condition, metric, undefined).values() if value is not None]
    defined = [value for value in values_by_study(rows, condition, metric).values() if value is not None]
    lacking = len({row.study for row in rows}) - len(defined)
    return summary_of(condition, metric, kept, undefined=lacking, as_worst=len(kept) - len(defined))


def summary_of(
    condition: Condition, metric: Metric, values: Sequence[float], undefined: int = 0, as_worst: int = 0
) -> Summary:
    """Compute mean ± SE of one value per study."""
    return Summary(
        condition=condition,
        metric=metric,
        mean=fmean(values) if values else None,
        se=stdev(values) / sqrt(len(values)) if len(values) > 1 else None,
        n=len(values),
        undefined=undefined,
        as_worst=as_worst,
    )
