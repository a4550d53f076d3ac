"""Describe each model at every threshold of its probabilities: FROC, average precision, and a threshold chosen without
the test study.

A threshold for a network is chosen on its own training studies, by the predictions of those networks of the same model
that were *not* trained on them: each training study is a test study of another fold. No test study, and no prediction
of a network for a study that it was trained on, takes part in the choice. See DECISIONS.md for what leaks all the same.
"""

# S studies, T thresholds

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lesionlab.analysis.methods.intervals import ClusteredMean, Origin, clustered_mean, unit_of
from lesionlab.analysis.statistics.conditions import Condition, condition_of
from lesionlab.analysis.statistics.origins import study_origins
from storage_schemas.base import Digest
from storage_schemas.experiments import Undefined
from storage_schemas.metrics import Metric
from storage_schemas.probabilities import THRESHOLDS
from storage_schemas.results import OperatingRow

Array = NDArray[np.float64]
Place = float
"""Place of a threshold among THRESHOLDS, from 0; between two of them values are interpolated linearly, as in a ROC."""

_METRICS: tuple[Metric, ...] = ("sensitivity", "ppv", "false_positives")

FALSE_POSITIVES_WANTED = 1.0
"""Per study, of the operating point that the FROC literature reports most."""


@dataclass(frozen=True)
class Network:
    """One run of a model: who it was trained on, and its results."""

    run_id: Digest
    fold: int
    trained_on: frozenset[str]


@dataclass(frozen=True, eq=False)
class Curve:
    """One model at every threshold, by study; a study counts once over its seeds. NaN: undefined."""

    condition: Condition
    studies: tuple[str, ...]
    values_ST: Mapping[Metric, Array]
    """Sensitivity, PPV and number of false positives."""
    origins: Mapping[str, Origin]
    positions: Mapping[str, int]
    networks: tuple[Network, ...]
    network_of: Mapping[str, tuple[Digest, ...]]
    """The networks that tested each study."""
    by_network_T: Mapping[tuple[Digest, str], Mapping[Metric, Array]]

    def mean_T(self, metric: Metric, studies: Collection[str] | None = None) -> Array:
        """Mean over these studies, or all, where the metric is defined; NaN where it is for none."""
        kept = [place for place, study in enumerate(self.studies) if studies is None or study in studies]
        return nanmean(self.values_ST[metric][kept])

    def at(self, place_of: Mapping[Digest, Place], metric: Metric) -> dict[str, float | None]:
        """The value of every study at the threshold that was chosen for its network.

        Studies whose networks have no threshold are left out; None where the metric is undefined.
        """
        found: dict[str, float | None] = {}
        for study in self.studies:
            chosen = [(run, place) for run in self.network_of[study] if (place := place_of.get(run)) is not None]
            values = [value_at(self.by_network_T[run, study][metric], place) for run, place in chosen]
            defined = [value for value in values if not np.isnan(value)]
            if values:
                found[study] = float(np.mean(defined)) if defined else None
        return found


@dataclass(frozen=True)
class Estimate:
    """A mean with a 95 % confidence interval over folds, or over patients with too few folds."""

    mean: float
    low: float | None
    high: float | None
    unit: str
    n: int
    """Studies, or folds."""


@dataclass(frozen=True)
class OperatingPoint:
    """A model at thresholds that were chosen on the training folds."""

    thresholds: tuple[float, ...]
    """Each that was chosen, in ascending order; none: none could be chosen."""
    folds: int
    """Folds with a threshold."""
    sensitivity: Estimate | None
    false_positives: Estimate | None


@dataclass(frozen=True)
class Operating:
    """What the report shows of one model."""

    curve: Curve
    average_precision: Estimate | None
    at_wanted: OperatingPoint
    """At one false positive a study."""


def curves(
    rows: Iterable[OperatingRow], trained_on: Mapping[Digest, Collection[str]], undefined: Undefined
) -> dict[Condition, Curve]:
    """The curve of every model that has probabilities, from its rows at all thresholds."""
    by_model: dict[Condition, list[OperatingRow]] = defaultdict(list)
    for row in rows:
        by_model[condition_of(row)].append(row)
    return {model: _curve(model, own, trained_on, undefined) for model, own in by_model.items()}


def describe(curve: Curve, pooled: Mapping[int, tuple[Array, Array, Array, Array]]) -> Operating:
    """Average precision, and the operating point at one false positive a study."""
    found = {network.run_id: one_false_positive(curve, network.trained_on) for network in curve.networks}
    threshold_of = {run: place for run, place in found.items() if place is not None}
    folds = {network.fold for network in curve.networks if network.run_id in threshold_of}
    precisions = {fold: average_precision(*counts) for fold, counts in pooled.items()}
    return Operating(
        curve=curve,
        average_precision=_over_folds(precisions),
        at_wanted=OperatingPoint(
            thresholds=tuple(threshold_at(place) for place in sorted(set(threshold_of.values()))),
            folds=len(folds),
            sensitivity=estimate(curve, curve.at(threshold_of, "sensitivity"), share=True),
            false_positives=estimate(curve, curve.at(threshold_of, "false_positives"), share=False),
        ),
    )


def one_false_positive(curve: Curve, studies: Collection[str]) -> Place | None:
    """The lowest threshold with at most one false positive a study over these studies; None without any.

    False positives may rise again below it (large components fall apart), so it is the lowest of all that fit.
    """
    mean_T = curve.mean_T("false_positives", studies)
    places = np.flatnonzero(~np.isnan(mean_T) & (mean_T <= FALSE_POSITIVES_WANTED))
    return crossing(mean_T, int(places[0]), -1, FALSE_POSITIVES_WANTED) if places.size else None


def crossing(mean_T: Array, place: int, step: int, target: float) -> Place:
    """Go from a threshold that fits towards its neighbour that does not, until the mean is the target."""
    beyond = place + step
    if not 0 <= beyond < len(mean_T) or np.isnan(mean_T[beyond]) or mean_T[beyond] == mean_T[place]:
        return float(place)
    part = (target - mean_T[place]) / (mean_T[beyond] - mean_T[place])
    return float(place + step * min(max(part, 0.0), 1.0))


def value_at(values_T: Array, place: Place) -> float:
    """The value at a place; where it is undefined on one side, that of the other."""
    low, high = values_T[int(np.floor(place))], values_T[int(np.ceil(place))]
    part = place - np.floor(place)
    return float(high if np.isnan(low) else low if np.isnan(high) else low + part * (high - low))


def threshold_at(place: Place) -> float:
    """The threshold at a place."""
    return float(np.interp(place, np.arange(len(THRESHOLDS)), THRESHOLDS))


def average_precision(reference_T: Array, predicted_T: Array, hits_T: Array, wrong_T: Array) -> float | None:
    """Area under lesionwise PPV over sensitivity, stepwise over the thresholds from high to low, of pooled lesions.

    Beyond the highest sensitivity that is reached it counts as 0. None without reference lesions.
    """
    if not reference_T[0]:
        return None
    recall_T = hits_T[::-1] / reference_T[::-1]
    precision_T = np.divide(
        predicted_T[::-1] - wrong_T[::-1], predicted_T[::-1], out=np.zeros(len(recall_T)), where=predicted_T[::-1] > 0
    )
    steps_T = np.diff(np.maximum.accumulate(recall_T), prepend=0.0)
    return float((steps_T * precision_T).sum())


def pooled_counts(rows: Iterable[OperatingRow]) -> dict[Condition, dict[int, tuple[Array, Array, Array, Array]]]:
    """Reference lesions, predicted lesions, true and false positives at every threshold, by model and fold."""
    sums: dict[Condition, dict[int, Array]] = defaultdict(dict)
    for row in rows:
        counts_4T = sums[condition_of(row)].setdefault(row.fold, np.zeros((4, len(THRESHOLDS))))
        counts = (row.reference_lesions, row.predicted_lesions, row.true_positives, row.false_positives)
        counts_4T[:, THRESHOLDS.index(row.threshold)] += counts
    return {model: {fold: (c[0], c[1], c[2], c[3]) for fold, c in own.items()} for model, own in sums.items()}


def estimate(curve: Curve, values: Mapping[str, float | None], *, share: bool) -> Estimate | None:
    """The mean over studies, with its interval over the valid unit; None without a value."""
    by_origin: dict[Origin, list[float]] = defaultdict(list)
    for study, value in values.items():
        if value is not None:
            by_origin[curve.origins[study]].append(value)
    if not by_origin:
        return None
    unit = unit_of(by_origin)
    return _estimate(clustered_mean(by_origin, unit), unit, share=share)


def nanmean(values_ST: Array) -> Array:
    """Mean over the first axis where there are values; NaN where there are none."""
    counts_T = (~np.isnan(values_ST)).sum(axis=0)
    sums_T = np.nansum(values_ST, axis=0)
    return np.asarray(np.divide(sums_T, counts_T, out=np.full(values_ST.shape[1:], np.nan), where=counts_T > 0))


def _over_folds(values: Mapping[int, float | None]) -> Estimate | None:
    kept = {Origin(fold, str(fold)): [value] for fold, value in values.items() if value is not None}
    return _estimate(clustered_mean(kept, "fold"), "fold", share=True) if kept else None


def _estimate(mean: ClusteredMean, unit: str, *, share: bool) -> Estimate:
    interval = mean.share_interval if share else mean.positive_interval
    low, high = (None, None) if interval is None else (interval.low, interval.high)
    return Estimate(mean.mean, low, high, unit, mean.n)


def _curve(
    condition: Condition,
    rows: Sequence[OperatingRow],
    trained_on: Mapping[Digest, Collection[str]],
    undefined: Undefined,
) -> Curve:
    tested: dict[tuple[Digest, str], dict[Metric, Array]] = {}
    fold_of: dict[Digest, int] = {}
    for row in rows:
        fold_of[row.run_id] = row.fold
        own = tested.setdefault(
            (row.run_id, row.study),
            {metric: np.full(len(THRESHOLDS), np.nan) for metric in _METRICS},
        )
        place = THRESHOLDS.index(row.threshold)
        ppv = 0.0 if undefined == "worst" and row.ppv is None and row.sensitivity is not None else row.ppv
        for metric, value in zip(_METRICS, (row.sensitivity, ppv, row.false_positives), strict=True):
            own[metric][place] = np.nan if value is None else value
    studies = tuple(sorted({study for _, study in tested}))
    network_of = {
        study: tuple(sorted(run for run, tested_study in tested if tested_study == study)) for study in studies
    }
    return Curve(
        condition=condition,
        studies=studies,
        values_ST={
            metric: np.array([nanmean(np.array([tested[run, s][metric] for run in network_of[s]])) for s in studies])
            for metric in _METRICS
        },
        origins=study_origins(rows),
        positions={row.study: row.position for row in rows},
        networks=tuple(Network(run, fold, frozenset(trained_on.get(run, ()))) for run, fold in sorted(fold_of.items())),
        network_of=network_of,
        by_network_T=tested,
    )
