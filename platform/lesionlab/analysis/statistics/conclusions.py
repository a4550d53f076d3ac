"""Compare what an experiment concludes under two metric definitions.

A conclusion is what an endpoint shows, a verdict of the paper's tests, the number of labelled studies that a way of
training needs to reach its aim, or whether a saving is claimed. The comparisons behind them are in `changes`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, auto

from lesionlab.analysis.methods.curve import Crossing
from lesionlab.analysis.statistics.compute import Statistics
from lesionlab.analysis.statistics.conditions import Condition, Stratum
from lesionlab.analysis.statistics.endpoints import Judgement
from lesionlab.analysis.statistics.headline import SavingClaim, judged_curves
from lesionlab.analysis.statistics.learning import Aim, Learning
from lesionlab.analysis.statistics.verdicts import Verdict, same_decision, verdicts
from storage_schemas.metrics import Metric


class CrossingChange(Enum):
    """How the number of labelled studies that an arm needs changes."""

    NOW_REACHED = auto()
    NO_LONGER_REACHED = auto()
    OTHER_SIZE = auto()
    NOW_ESTIMATED = auto()
    """There were no results before."""
    NO_LONGER_ESTIMATED = auto()


@dataclass(frozen=True)
class EndpointConclusion:
    """What one endpoint shows; the primary one decides the headline."""

    before: Judgement
    after: Judgement
    primary: bool

    @property
    def stratum(self) -> Stratum:
        """Of the comparison."""
        return self.before.stratum

    @property
    def changed(self) -> bool:
        """Whether it shows something else; the size of the difference is no part of it."""
        return self.before.decision is not self.after.decision


@dataclass(frozen=True)
class VerdictConclusion:
    """The verdict of the paper's tests on one arm comparison."""

    before: Verdict
    after: Verdict

    @property
    def stratum(self) -> Stratum:
        """Of the comparison."""
        return self.before.stratum

    @property
    def changed(self) -> bool:
        """Whether the verdict is another; the number of studies behind it is no part of it."""
        return not same_decision(self.before, self.after)


@dataclass(frozen=True)
class CrossingConclusion:
    """How many labelled studies one way of training needs to reach the aim."""

    stratum: Stratum
    metric: Metric
    way: Condition
    aim: Aim | None
    before: Crossing | None
    after: Crossing | None
    change: CrossingChange | None

    @property
    def changed(self) -> bool:
        """Whether it is another number."""
        return self.change is not None


@dataclass(frozen=True)
class SavingConclusion:
    """Whether one arm comparison supports the claim of a saving."""

    curves: Learning
    before: SavingClaim
    after: SavingClaim

    @property
    def stratum(self) -> Stratum:
        """Of the comparison."""
        return self.curves.stratum

    @property
    def changed(self) -> bool:
        """Whether a saving is claimed under one definition only."""
        return (self.before is SavingClaim.CLAIMED) != (self.after is SavingClaim.CLAIMED)


Conclusion = EndpointConclusion | VerdictConclusion | CrossingConclusion | SavingConclusion


def conclusions(before: Statistics, after: Statistics) -> tuple[Conclusion, ...]:
    """Pair all conclusions of one design, in its order, including those that stay the same."""
    return (
        *_endpoints(before, after),
        *_verdicts(before, after),
        *_of_curves(before, after),
    )


def _endpoints(before: Statistics, after: Statistics) -> Iterable[Conclusion]:
    for own, theirs in zip(before.endpoints.every, after.endpoints.every, strict=True):
        yield EndpointConclusion(own, theirs, primary=own is before.endpoints.primary)


def _verdicts(before: Statistics, after: Statistics) -> Iterable[Conclusion]:
    for table, other in zip(before.tables, after.tables, strict=True):
        pairs = zip(verdicts(table, before.supplementary), verdicts(other, after.supplementary), strict=True)
        yield from (VerdictConclusion(own, theirs) for own, theirs in pairs)


def _of_curves(before: Statistics, after: Statistics) -> Iterable[Conclusion]:
    own, theirs = (judged_curves(found.endpoints, found.supplementary.learning) for found in (before, after))
    for first, second in zip(own, theirs, strict=True):
        one, other = first.learned, second.learned
        for arm, changed in zip(one.arms, other.arms, strict=True):
            crossings = arm.crossing, changed.crossing
            yield CrossingConclusion(
                one.stratum, one.metric, arm.way, one.aim or other.aim, *crossings, _change(*crossings)
            )
        if one.saving or other.saving:
            yield SavingConclusion(one, first.claim, second.claim)


def _change(before: Crossing | None, after: Crossing | None) -> CrossingChange | None:
    if before is None or after is None:
        if before is after:
            return None
        return CrossingChange.NO_LONGER_ESTIMATED if after is None else CrossingChange.NOW_ESTIMATED
    if before.reached != after.reached:
        return CrossingChange.NOW_REACHED if after.reached else CrossingChange.NO_LONGER_REACHED
    return CrossingChange.OTHER_SIZE if before.reached and round(before.studies) != round(after.studies) else None
