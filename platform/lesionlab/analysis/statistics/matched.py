"""Repeat every comparison of sensitivity or PPV at matched operating points.

One of the two models is moved to the threshold at which it is, on the other metric, as good as its rival, which keeps
its own: the lowest such threshold for a comparison of sensitivity, the highest for one of PPV. What is then left of
the difference is no effect of the threshold. Either model can be moved, and the results may differ, so both are tried
wherever the moved one has probabilities and a threshold can be chosen for each of its networks, on their training
folds.
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

MISSED_BY = 0.05
"""A match failed where the matched metric differs by more than this on the test studies. Chosen by us."""


class Fate(Enum):
    """What becomes of a comparison."""

    SURVIVES = auto()
    """A finding that is still significant in its direction, by the same test and m, whichever model is moved."""
    DEPENDS = auto()
    """It is, or becomes, significant if one of the models is moved and not if the other is."""
    LOST = auto()
    """A finding that is not significant any more, or reversed, whichever model is moved."""
    NOT_EXAMINED = auto()
    """Neither model can be moved: no probabilities (a rater, an earlier version), or no threshold for some network."""
    EMERGES = auto()
    """No finding at the models' own thresholds, but significant in one direction whichever model is moved."""
    NO_FINDING = auto()
    """Significant at neither."""


@dataclass(frozen=True)
class Moved:
    """One comparison with one of its models moved. Differences are in the direction of the effect: first − second."""

    model: Condition
    reached: bool
    """False: at no threshold is it as good as its rival on the other metric; the rest is unknown."""
    thresholds: tuple[float, ...] = ()
    """Over its networks."""
    n: int = 0
    """Studies (or positions) of the moved model with a value."""
    difference: float | None = None
    p: float | None = None
    other_difference: float | None = None
    """The difference on the metric that was matched, as it came out on the test studies."""

    @property
    def missed(self) -> bool:
        """Whether the match failed on the test studies."""
        return self.other_difference is not None and abs(self.other_difference) > MISSED_BY


@dataclass(frozen=True)
class MatchedFinding:
    """One comparison at the models' own thresholds and at matched ones; a finding if significant at their own."""

    effect: Effect
    fate: Fate
    matched_on: Metric
    moves: tuple[Moved, ...] = ()
    """Each model that can be moved, the first of the comparison first."""

    def p_bonferroni(self, moved: Moved) -> float | None:
        """Corrected for the same m as the finding."""
        return None if moved.p is None else min(1.0, moved.p * self.effect.family)


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
    other_metric: Metric = "ppv" if effect.metric == "sensitivity" else "sensitivity"
    first, second = effect.pair
    moves = []
    for model, rival in ((first, second), (second, first)):
        curve, rows = curves.get(model), by_condition.get(rival, ())
        values = {metric: values_by_study(rows, rival, metric, undefined) for metric in PRIMARY}
        moved = None if curve is None else _moved(effect, curve, values, rows, other_metric, unit)
        if moved is not None:
            moves.append(moved)
    return MatchedFinding(effect, _fate(effect, moves), other_metric, tuple(moves))


def _moved(
    effect: Effect,
    curve: Curve,
    rival: Mapping[Metric, Mapping[str, float | None]],
    rival_rows: Sequence[Row],
    other_metric: Metric,
    unit: Unit,
) -> Moved | None:
    """The comparison with this model moved; None if a threshold cannot be chosen for each of its networks."""
    choices = _choices(curve, rival[other_metric], effect.metric, other_metric)
    if not choices or set(choices) != {network.run_id for network in curve.networks}:
        return None
    if not any(choice.reaches for choice in choices.values()):
        return Moved(curve.condition, reached=False)
    chosen = {run: choice.place for run, choice in choices.items()}
    moved = {metric: curve.at(chosen, metric) for metric in PRIMARY}
    (left, p), n = _tested(effect, moved[effect.metric], rival[effect.metric], curve, rival_rows, unit)
    beside = _mean_difference(moved[other_metric], rival[other_metric], paired=effect.test == "paired-t")
    sign = 1 if effect.pair and curve.condition == effect.pair.model else -1
    return Moved(
        model=curve.condition,
        reached=True,
        thresholds=tuple(threshold_at(place) for place in sorted(set(chosen.values()))),
        n=n,
        difference=None if left is None else sign * left,
        p=p,
        other_difference=None if beside is None else sign * beside,
    )


def _fate(effect: Effect, moves: Sequence[Moved]) -> Fate:
    if not moves:
        return Fate.NOT_EXAMINED
    signs = [_sign(effect, moved) for moved in moves]
    if effect.significant:
        own = np.sign(effect.difference or 0)
        kept = [sign == own for sign in signs]
        return Fate.SURVIVES if all(kept) else Fate.DEPENDS if any(kept) else Fate.LOST
    if not any(signs):
        return Fate.NO_FINDING
    return Fate.EMERGES if len(set(signs)) == 1 else Fate.DEPENDS


def _sign(effect: Effect, moved: Moved) -> float:
    """Direction of a significant difference with this model moved, 0 if there is none.

    A model that at no threshold is as good as its rival on the other metric: if it is the higher one, the rest of the
    difference is unknown; if it is the lower one, its rival is better on both.
    """
    if not moved.reached:
        assert effect.pair is not None
        own = float(np.sign(effect.difference or 0))
        is_lower = (moved.model == effect.pair.model) == (own < 0)
        return own if is_lower and effect.significant else 0.0
    if moved.p is None or moved.difference is None or not significant(moved.p, effect.family):
        return 0.0
    return float(np.sign(moved.difference))


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
    """Difference (moved − rival) and p of the same test, and its n."""
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
