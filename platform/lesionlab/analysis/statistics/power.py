"""Compute what an experiment can show before it is run: the smallest difference between the arms, and the seeds needed.

It is for the arm comparison that a verdict rests on: fine-tuned − de novo over all training sizes, by the mixed model
with training subset × arm.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto

import numpy as np

from lesionlab.analysis.methods.mixed import NotFitted
from lesionlab.analysis.methods.overlap import fit_overlapping
from lesionlab.analysis.methods.power import COUNTED, MOST_SEEDS, Precision, Rotation, precision, seeds_needed
from lesionlab.analysis.statistics.arm_comparisons import arm_comparisons, observations
from lesionlab.analysis.statistics.conditions import conditions, groups, rows_by_condition
from lesionlab.analysis.statistics.rows import Row
from storage_schemas.experiments import ExperimentSpec, Undefined
from storage_schemas.metrics import PRIMARY, Metric

SHOWN_SEEDS = (1, 2, 3, 5, 10)
"""Numbers of seeds in the table, besides the experiment's own."""

Sds = Mapping[str, float]
"""By random effect, and `residual`: the COUNTED at least."""


class NoPower(Enum):
    """Why there is nothing to compute."""

    ONE_ARM = auto()
    NO_ROTATION = auto()


@dataclass(frozen=True)
class Need:
    """What a target difference needs."""

    difference: float
    seeds: int | None
    """The fewest with which it is shown with 80 % power; None if no number suffices."""
    floor: float
    """The smallest difference with MOST_SEEDS seeds."""
    limit: str
    """The random effect with the largest part of the variance then."""


@dataclass(frozen=True)
class MetricPower:
    """What the design can show of one metric."""

    metric: Metric
    sd: Sds
    now: Precision
    """With the experiment's own folds and seeds."""
    table: Mapping[tuple[int, int], float]
    """Smallest difference by (subsets, seeds); each subset is tested in one fold."""
    need: Need | None

    @property
    def share(self) -> Mapping[str, float]:
        """Part of the variance of the difference by random effect."""
        square = self.now.standard_error**2
        return {name: self.now.variance.get(name, 0.0) / square for name in COUNTED}


@dataclass(frozen=True)
class Power:
    """What the design can show."""

    rotation: Rotation
    seeds: int
    metrics: tuple[MetricPower, ...]


def rotation_of(spec: ExperimentSpec) -> Rotation | NoPower:
    """The rotation of an experiment that compares both arms, or why there is none."""
    if not spec.sources or not spec.de_novo:
        return NoPower.ONE_ARM
    if spec.target.design != "rotation":
        return NoPower.NO_ROTATION
    sizes = tuple(sorted(spec.training_sizes))
    return Rotation(spec.target.subsets, spec.target.subset_size, sizes, spec.fold_numbers)


def power_of(spec: ExperimentSpec, sds: Mapping[Metric, Sds], difference: float | None) -> Power | NoPower | NotFitted:
    """What the experiment can show at these SDs, and what a true difference of this size needs."""
    rotation, seeds = rotation_of(spec), len(spec.seeds)
    if isinstance(rotation, NoPower):
        return rotation
    found = []
    for metric, sd in sds.items():
        now = precision(rotation, sd, seeds)
        if isinstance(now, NotFitted):
            return now
        need = None if difference is None else _need(rotation, sd, difference)
        found.append(MetricPower(metric, sd, now, _table(rotation, sd, seeds), need))
    return Power(rotation, seeds, tuple(found))


def sds_of(rows: Iterable[Row], undefined: Undefined = "exclude") -> Mapping[Metric, Sds | NotFitted]:
    """The SDs of both endpoints in results, as the model of the test finds them; or why it was not fitted.

    Of several arm comparisons (sources, depths, …) the variances are averaged.
    """
    by_condition = rows_by_condition(rows)
    compared = [
        comparison
        for group in groups(conditions(row for own in by_condition.values() for row in own))
        for comparison in arm_comparisons(group)
        if comparison.fine_tuned and comparison.de_novo
    ]
    found: dict[Metric, Sds | NotFitted] = {}
    for metric in PRIMARY:
        fits = [fit_overlapping(observations(by_condition, own, metric, undefined)) for own in compared]
        fitted = [fit.sd for fit in fits if fit.not_fitted is None]
        why = next((fit.not_fitted for fit in fits if fit.not_fitted is not None), NotFitted.ONE_ARM)
        found[metric] = (
            {name: _root_mean_square([sd.get(name, 0.0) for sd in fitted]) for name in COUNTED} if (fitted) else why
        )
    return found


def _root_mean_square(values: Sequence[float]) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


def _table(rotation: Rotation, sd: Sds, seeds: int) -> dict[tuple[int, int], float]:
    subsets = rotation.subsets
    more = [_with_subsets(rotation, number) for number in (subsets + (subsets + 1) // 2, 2 * subsets)]
    table = {}
    for design in (rotation, *more):
        for number in sorted({*SHOWN_SEEDS, seeds}):
            found = precision(design, sd, number)
            if not isinstance(found, NotFitted):
                table[design.subsets, number] = found.smallest_difference()
    return table


def _with_subsets(rotation: Rotation, subsets: int) -> Rotation:
    return replace(rotation, subsets=subsets, folds=tuple(range(1, subsets + 1)))


def _need(rotation: Rotation, sd: Sds, difference: float) -> Need:
    most = precision(rotation, sd, MOST_SEEDS)
    assert not isinstance(most, NotFitted), "the rotation was asked before"
    limit = max(COUNTED, key=lambda name: most.variance.get(name, 0.0))
    return Need(difference, seeds_needed(rotation, sd, difference), most.smallest_difference(), limit)
