"""Repeat every comparison of sensitivity or PPV at a matched operating point.

Of two models the one that is higher at its own threshold is moved to the threshold at which it is, on the other metric,
as good as its rival: the lowest such threshold for a finding on sensitivity, the highest for one on PPV. What
is then left of the difference is no effect of the threshold. The threshold is chosen per network on its training folds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto

import numpy as np

from lesionlab.analysis.methods.student import paired_t, significant, unpaired_t
from lesionlab.analysis.statistics.comparisons import Unit
from lesionlab.analysis.statistics.conditions import Condition, mean_of_defined, values_by_study
from lesionlab.analysis.statistics.effects import Effect
from lesionlab.analysis.statistics.operating import Curve, Place, crossing, threshold_at
from lesionlab.analysis.statistics.rows import Row
from storage_schemas.base import Digest
from storage_schemas.experiments import Undefined
from storage_schemas.metrics import PRIMARY, Metric


class Fate(Enum):
    """What becomes of a finding."""

    SURVIVES = auto()
    """Still significant in the same direction, by the same test and Bonferroni's m."""
    LOST = auto()
    """Not significant any more, or reversed."""
    UNREACHABLE = auto()
    """At no threshold is the higher model as good as its rival on the other metric."""
    NOT_EXAMINED = auto()
    """The higher model has no probabilities (a rater, an earlier version), or no threshold can be chosen."""
    EMERGES = auto()
    """No finding at the models' own thresholds, but significant at the matched one."""
    NO_FINDING = auto()
    """Significant at neither."""


@dataclass(frozen=True)
class MatchedFinding:
    """One comparison at the models' own thresholds and at the matched ones; a finding if significant at their own."""

    effect: Effect
    fate: Fate
    matched_on: Metric
    thresholds: tuple[float, ...] = ()
    """Of the model that was moved, over its networks."""
    n: int = 0
    """Studies (or positions) of the moved model with a matched threshold and a value."""
    difference: float | None = None
    """In the direction of the effect: its first model minus its second."""
    p: float | None = None
    other_difference: float | None = None
    """The difference on the metric that was matched, as it came out on the test studies."""

    @property
    def p_bonferroni(self) -> float | None:
        """Corrected for the same m as the finding."""
        return None if self.p is None else min(1.0, self.p * self.effect.family)


def matched_findings(
    effects: Sequence[Effect],
    curves: Mapping[Condition, Curve],
    by_condition: Mapping[Condition, Sequence[Row]],
    unit: Unit,
    undefined: Undefined,
) -> tuple[MatchedFinding, ...]:
    """Examine every paper-style comparison of sensitivity or PPV, in the order of the effects."""
    return tuple(
        _examined(effect, curves, by_condition, unit, undefined)
        for effect in effects
        if effect.pair and effect.difference and effect.metric in PRIMARY and effect.pair.other.arm != "other"
    )


def _examined(
    effect: Effect,
    curves: Mapping[Condition, Curve],
    by_condition: Mapping[Condition, Sequence[Row]],
    unit: Unit,
    undefined: Undefined,
) -> MatchedFinding:
    assert effect.pair is not None
    assert effect.difference is not None
    other_metric: Metric = "ppv" if effect.metric == "sensitivity" else "sensitivity"
    first_is_higher = effect.difference > 0
    higher, lower = effect.pair if first_is_higher else (effect.pair.other, effect.pair.model)
    curve = curves.get(higher)
    rival = {metric: values_by_study(by_condition.get(lower, ()), lower, metric, undefined) for metric in PRIMARY}
    choices = {} if curve is None else _choices(curve, rival[other_metric], effect.metric, other_metric)
    if curve is None or not choices:
        return MatchedFinding(effect, Fate.NOT_EXAMINED, other_metric)
    if not any(choice.reaches for choice in choices.values()):
        return MatchedFinding(effect, Fate.UNREACHABLE, other_metric)
    chosen = {run: choice.place for run, choice in choices.items()}
    moved = {metric: curve.at(chosen, metric) for metric in PRIMARY}
    result, n = _tested(effect, moved[effect.metric], rival[effect.metric], curve, by_condition.get(lower, ()), unit)
    left, p = result
    keeps = p is not None and left is not None and left > 0 and significant(p, effect.family)
    sign = 1 if first_is_higher else -1
    beside = _mean_difference(moved[other_metric], rival[other_metric], paired=effect.test == "paired-t")
    return MatchedFinding(
        effect=effect,
        fate=_fate(effect, keeps),
        matched_on=other_metric,
        thresholds=tuple(threshold_at(place) for place in sorted(set(chosen.values()))),
        n=n,
        difference=None if left is None else sign * left,
        p=p,
        other_difference=None if beside is None else sign * beside,
    )


def _fate(effect: Effect, keeps: bool) -> Fate:
    if effect.significant:
        return Fate.SURVIVES if keeps else Fate.LOST
    return Fate.EMERGES if keeps else Fate.NO_FINDING


@dataclass(frozen=True)
class _Choice:
    """A threshold, and whether the model is as good as its rival there."""

    place: Place
    reaches: bool


def _choices(curve: Curve, rival: Mapping[str, float | None], metric: Metric, other: Metric) -> dict[Digest, _Choice]:
    """The threshold of every network whose training studies both models were tested on.

    Where no threshold reaches the rival, the one that comes closest.
    """
    found = {}
    for network in curve.networks:
        studies = {s for s in network.trained_on if s in curve.network_of and rival.get(s) is not None}
        target = mean_of_defined([rival[study] for study in sorted(studies)])
        mean_T = curve.mean_T(other, studies)
        if target is None or np.isnan(mean_T).all():
            continue
        reached = np.flatnonzero(~np.isnan(mean_T) & (mean_T >= target))
        if reached.size:
            place, step = (int(reached[0]), -1) if metric == "sensitivity" else (int(reached[-1]), 1)
            found[network.run_id] = _Choice(crossing(mean_T, place, step, target), True)
        else:
            found[network.run_id] = _Choice(float(np.nanargmax(mean_T)), False)
    return found


def _tested(
    effect: Effect,
    moved: Mapping[str, float | None],
    rival: Mapping[str, float | None],
    curve: Curve,
    rival_rows: Sequence[Row],
    unit: Unit,
) -> tuple[tuple[float | None, float | None], int]:
    """Difference (higher − lower) and p of the same test, and its n."""
    if effect.test == "paired-t":
        pairs = [(a, b) for s, a in moved.items() if a is not None and (b := rival.get(s)) is not None]
        result = paired_t([a for a, _ in pairs], [b for _, b in pairs])
        return (result.difference, result.p), len(pairs)
    if unit == "per-study":
        own, theirs = ([v for v in values.values() if v is not None] for values in (moved, rival))
    else:
        own = _by_position(moved, curve.positions)
        theirs = _by_position(rival, {row.study: row.position for row in rival_rows})
    result = unpaired_t(own, theirs)
    return (result.difference, result.p), len(own)


def _by_position(values: Mapping[str, float | None], position_of: Mapping[str, int]) -> list[float]:
    """One value for each position in the test subset: the mean over the folds (the paper's unit)."""
    found: dict[int, list[float | None]] = {}
    for study, value in values.items():
        found.setdefault(position_of[study], []).append(value)
    means = (mean_of_defined(found[position]) for position in sorted(found))
    return [mean for mean in means if mean is not None]


def _mean_difference(
    moved: Mapping[str, float | None], rival: Mapping[str, float | None], *, paired: bool
) -> float | None:
    both = {s for s, value in moved.items() if value is not None and rival.get(s) is not None} if paired else None
    means = [mean_of_defined([v for s, v in values.items() if both is None or s in both]) for values in (moved, rival)]
    return None if means[0] is None or means[1] is None else means[0] - means[1]
