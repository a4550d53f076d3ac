"""How well the second rater and every model agree with the reference, on the studies that the rater read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from lesionlab.analysis.methods.intervals import Interval, Unit, clustered_mean, unit_of
from lesionlab.analysis.methods.limits_of_agreement import Agreement
from lesionlab.analysis.statistics.conditions import Condition, Group, Stratum
from lesionlab.analysis.statistics.origins import values_by_origin
from lesionlab.analysis.statistics.rows import Row
from lesionlab.analysis.statistics.volume_agreement import volume_agreement
from storage_schemas.experiments import Undefined
from storage_schemas.metrics import FRACTIONS, METRICS, Metric


@dataclass(frozen=True)
class MeanOf:
    """A mean over studies with its 95 % CI."""

    mean: float
    interval: Interval | None
    n: int
    unit: Unit


@dataclass(frozen=True)
class RaterAgreement:
    """One reader of the studies, Grader 2 or a model, against the reference."""

    stratum: Stratum
    condition: Condition
    studies: int
    """That both it and the rater read."""
    patients: int
    means: Mapping[Metric, MeanOf]
    """Of the metrics that have values."""
    volume: Agreement | None
    """Predicted − reference volume in ml; None in tables without volumes."""


def rater_agreement(
    rows: Mapping[Condition, Sequence[Row]], groups: Iterable[Group], undefined: Undefined
) -> tuple[RaterAgreement, ...]:
    """Compute it for the rater first, then for every model; nothing without a rater."""
    found = []
    for group in groups:
        for rater in (condition for condition in group.conditions if condition.arm == "rater"):
            read = {row.study for row in rows.get(rater, ())}
            readers = (rater, *(condition for condition in group.conditions if condition.arm != "rater"))
            for condition in readers:
                own = [row for row in rows.get(condition, ()) if row.study in read]
                if own:
                    found.append(_agreement(group.stratum, condition, own, undefined))
    return tuple(found)


def _agreement(stratum: Stratum, condition: Condition, own: Sequence[Row], undefined: Undefined) -> RaterAgreement:
    means = {metric: mean for metric in METRICS if (mean := mean_of(own, condition, metric, undefined)) is not None}
    return RaterAgreement(
        stratum=stratum,
        condition=condition,
        studies=len({row.study for row in own}),
        patients=len({row.patient for row in own}),
        means=means,
        volume=volume_agreement(own),
    )


def mean_of(rows: Sequence[Row], condition: Condition, metric: Metric, undefined: Undefined) -> MeanOf | None:
    """The mean over studies with its CI over folds or patients; None where no study has a value."""
    values = values_by_origin(rows, condition, metric, undefined)
    if not values:
        return None
    unit = unit_of(values)
    mean = clustered_mean(values, unit)
    return MeanOf(mean.mean, mean.share_interval if metric in FRACTIONS else mean.positive_interval, mean.n, unit)
