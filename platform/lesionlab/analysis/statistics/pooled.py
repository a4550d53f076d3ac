"""Lesions pooled over all studies beside the mean of the studies' shares, and false positives where there is no lesion.

The mean of shares counts each study equally, the pooled share each lesion: patients with many lesions decide it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from lesionlab.analysis.methods.intervals import Interval, Origin, Unit, unit_of
from lesionlab.analysis.methods.pooled import pooled_share
from lesionlab.analysis.statistics.conditions import Condition
from lesionlab.analysis.statistics.origins import study_origins
from lesionlab.analysis.statistics.rater_agreement import MeanOf, mean_of
from lesionlab.analysis.statistics.rows import Row
from storage_schemas.experiments import Undefined
from storage_schemas.metrics import Metric
from storage_schemas.results import StudyRow


@dataclass(frozen=True)
class PooledShare:
    """Hits / lesions of all studies and seeds together."""

    hits: int
    lesions: int
    share: float
    interval: Interval | None
    unit: Unit


@dataclass(frozen=True)
class Pooled:
    """Both ways to average one metric of one model."""

    condition: Condition
    metric: Metric
    mean: MeanOf | None
    """Of the studies' shares."""
    pooled: PooledShare | None
    """None in tables without counts, and without a lesion."""


@dataclass(frozen=True)
class FalsePositives:
    """False positives of one model in studies with and without a reference lesion."""

    condition: Condition
    studies: int
    per_study: float
    """Over all studies; a study counts once over its seeds."""
    interval: Interval | None
    most: float
    """In one study."""
    lesion_free: int
    """Studies without a reference lesion."""
    lesion_free_clean: int
    """Of these, studies without any false positive, under every seed."""
    per_lesion_free: float | None
    """False positives per study without a reference lesion; None without such a study."""


def pooled(
    rows: Mapping[Condition, Sequence[Row]], models: Sequence[Condition], undefined: Undefined
) -> tuple[Pooled, ...]:
    """Compute sensitivity and PPV both ways for every model with counts."""
    found = []
    for condition in models:
        own = rows.get(condition, ())
        counted = [row for row in own if isinstance(row, StudyRow)]
        if not counted:
            continue
        hits: dict[Metric, list[tuple[int, int]]] = {
            "sensitivity": [(row.true_positives, row.reference_lesions) for row in counted],
            "ppv": [(row.predicted_lesions - row.false_positives, row.predicted_lesions) for row in counted],
        }
        for metric, counts in hits.items():
            mean = mean_of(own, condition, metric, undefined)
            found.append(Pooled(condition, metric, mean, _pooled(counted, counts)))
    return tuple(found)


def _pooled(rows: Sequence[StudyRow], counts: Sequence[tuple[int, int]]) -> PooledShare | None:
    origins = study_origins(rows)
    by_origin: dict[Origin, list[tuple[float, float]]] = defaultdict(list)
    for row, count in zip(rows, counts, strict=True):
        by_origin[origins[row.study]].append(count)
    unit = unit_of(by_origin)
    share = pooled_share(by_origin, unit)
    if share is None:
        return None
    hits, lesions = (sum(count[place] for count in counts) for place in (0, 1))
    return PooledShare(hits, lesions, share.mean, share.share_interval, unit)


def false_positives(rows: Mapping[Condition, Sequence[Row]], models: Sequence[Condition]) -> tuple[FalsePositives, ...]:
    """Count them for every model that has counts."""
    found = []
    for condition in models:
        own = [row for row in rows.get(condition, ()) if row.measured("false_positives") is not None]
        mean = mean_of(own, condition, "false_positives", "exclude")
        if mean is None:
            continue
        by_study: dict[str, list[float]] = defaultdict(list)
        for row in own:
            by_study[row.study].append(row.measured("false_positives") or 0.0)
        free = sorted({row.study for row in own if row.measured("sensitivity") is None})
        found.append(
            FalsePositives(
                condition=condition,
                studies=len(by_study),
                per_study=mean.mean,
                interval=mean.interval,
                most=max(map(fmean, by_study.values())),
                lesion_free=len(free),
                lesion_free_clean=sum(not any(by_study[study]) for study in free),
                per_lesion_free=fmean(fmean(by_study[study]) for study in free) if free else None,
            )
        )
    return tuple(found)
