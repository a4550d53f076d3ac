"""Study rows in; mean ± standard error of every condition and metric out, with what was left out counted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import fmean, stdev

from lesionlab.analysis.conditions import METRICS, Condition, Metric, values_by_study
from storage_schemas.results import StudyRow


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
    """Tested studies without one: they are left out of the mean."""


def summarise(rows: Sequence[StudyRow], conditions: Iterable[Condition]) -> tuple[Summary, ...]:
    """Mean ± SE for every condition and metric, conditions in the order given; a study counts once over its seeds."""
    return tuple(
        _summary(condition, metric, list(values_by_study(rows, condition, metric).values()))
        for condition in conditions
        for metric in METRICS
    )


def _summary(condition: Condition, metric: Metric, values: Sequence[float | None]) -> Summary:
    kept = [value for value in values if value is not None]
    return Summary(
        condition=condition,
        metric=metric,
        mean=fmean(kept) if kept else None,
        se=stdev(kept) / sqrt(len(kept)) if len(kept) > 1 else None,
        n=len(kept),
        undefined=len(values) - len(kept),
    )
