"""Differences with intervals and, by a declared margin, equivalence: with Grader 2, and of fine-tuned and de novo.

Paired by study, on the very studies that both of a pair have. Ours, not the paper's, which compares models with
Grader 2 unpaired.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from lesionlab.analysis.methods.equivalence import (
    Difference,
    Equivalence,
    difference_of_arms,
    equivalence,
    paired_difference,
)
from lesionlab.analysis.methods.mixed import Observation
from lesionlab.analysis.methods.overlap import fit_overlapping
from lesionlab.analysis.methods.student import LEAST_PATIENTS
from lesionlab.analysis.statistics.arm_comparisons import arm_comparisons, observations
from lesionlab.analysis.statistics.comparisons import pairs_of_methods
from lesionlab.analysis.statistics.conditions import Condition, Group, Stratum
from lesionlab.analysis.statistics.effects import Pair
from lesionlab.analysis.statistics.origins import differences_by_origin
from lesionlab.analysis.statistics.rows import Row
from storage_schemas.experiments import Undefined
from storage_schemas.metrics import FRACTIONS, METRICS, PRIMARY, Metric


class Withheld(Enum):
    """Why nothing is said about equivalence."""

    NO_MARGIN = auto()
    """The experiment declares none."""
    NO_FRACTION = auto()
    """The margin is one of fractions; this metric is none."""
    FEW_PATIENTS = auto()
    """Fewer than LEAST_PATIENTS."""
    NO_INTERVAL = auto()
    """Too few folds or patients, or nothing varies."""


@dataclass(frozen=True)
class Contrast:
    """The difference of one pair of models in one metric."""

    stratum: Stratum
    metric: Metric
    pair: Pair
    """The second is what the first is compared with; of training size 0 both: over all sizes."""
    n: int
    """Studies with a value under both; over all sizes, values of both arms."""
    patients: int
    mean: float | None
    """Mean difference; None without a pair of values."""
    difference: Difference | None
    """With its standard error; None where there is none."""
    equivalence: Equivalence | None
    withheld: Withheld | None
    """Why there is no equivalence test."""


Rows = Mapping[Condition, Sequence[Row]]


def against_rater(
    rows: Rows, groups: Iterable[Group], margin: float | None, undefined: Undefined
) -> tuple[Contrast, ...]:
    """Compare every model, untrained and other ones too, with the second rater on the studies that both read."""
    found = []
    for group in groups:
        raters = [condition for condition in group.conditions if condition.arm == "rater"]
        for pair in [Pair(model, rater) for rater in raters for model in group.conditions if model.arm != "rater"]:
            found += [_paired(rows, group.stratum, pair, metric, margin, undefined) for metric in METRICS]
    return tuple(found)


def between_arms(
    rows: Rows, groups: Iterable[Group], margin: float | None, undefined: Undefined
) -> tuple[Contrast, ...]:
    """Compare fine-tuned with de novo at each size, and over all sizes where the rotation allows an interval that
    covers which studies were trained on (see methods.overlap)."""
    found = []
    for group in groups:
        for pair in pairs_of_methods(group.trained):
            found += [_paired(rows, group.stratum, pair, metric, margin, undefined) for metric in PRIMARY]
        for comparison in arm_comparisons(group):
            if not comparison.pairs:
                continue
            ways = Pair(*comparison.ways)
            for metric in PRIMARY:
                seen = observations(rows, comparison, metric, undefined)
                difference = difference_of_arms(fit_overlapping(seen))
                if difference is not None:
                    found.append(_over_sizes(group.stratum, ways, metric, margin, seen, difference))
    return tuple(found)


def _over_sizes(
    stratum: Stratum,
    ways: Pair,
    metric: Metric,
    margin: float | None,
    seen: Sequence[Observation],
    difference: Difference,
) -> Contrast:
    patients = len({one.patient for one in seen})
    tested, withheld = _equivalence(metric, margin, patients, difference)
    return Contrast(stratum, metric, ways, len(seen), patients, difference.estimate, difference, tested, withheld)


def _paired(
    rows: Rows, stratum: Stratum, pair: Pair, metric: Metric, margin: float | None, undefined: Undefined
) -> Contrast:
    first, second = (rows.get(condition, ()) for condition in pair)
    differences = differences_by_origin(first, second, pair, metric, undefined)
    every = [value for _, own in sorted(differences.items(), key=str) for value in own]
    patients = len({origin.patient for origin in differences})
    difference = paired_difference(differences)
    tested, withheld = _equivalence(metric, margin, patients, difference)
    mean = sum(every) / len(every) if every else None
    return Contrast(stratum, metric, pair, len(every), patients, mean, difference, tested, withheld)


def _equivalence(
    metric: Metric, margin: float | None, patients: int, difference: Difference | None
) -> tuple[Equivalence | None, Withheld | None]:
    if margin is None:
        return None, Withheld.NO_MARGIN
    if metric not in FRACTIONS:
        return None, Withheld.NO_FRACTION
    if patients < LEAST_PATIENTS:
        return None, Withheld.FEW_PATIENTS
    if difference is None:
        return None, Withheld.NO_INTERVAL
    return equivalence(difference, margin), None
