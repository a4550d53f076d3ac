"""Put together what a reader learns first: whether fine-tuning helps, by how much, and how many studies it saves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum, auto

from lesionlab.analysis.methods.curve import Direction, Support
from lesionlab.analysis.methods.student import LEAST_PATIENTS
from lesionlab.analysis.statistics.best_elsewhere import Best, best_elsewhere
from lesionlab.analysis.statistics.endpoints import Decision, Endpoints, Judgement
from lesionlab.analysis.statistics.learning import Learning
from lesionlab.analysis.statistics.supplementary import Supplementary
from lesionlab.analysis.statistics.tables import PerformanceTable
from storage_schemas.endpoints import DEFAULT_METRIC
from storage_schemas.splits import OTHER_SITES


class SavingClaim(Enum):
    """What may be said about the labelled studies that fine-tuning saves."""

    CLAIMED = auto()
    """Its interval excludes 0, and the difference between the arms is significant in the same direction."""
    NOT_SUPPORTED = auto()
    """Its interval, which takes folds as independent, excludes 0; the difference is not significant alike."""
    NOT_SHOWN = auto()
    NO_INTERVAL = auto()
    FLAT = auto()
    """The target is de novo's own mean, and de novo's curve does not rise beyond noise."""
    BOTH_AT_SMALLEST = auto()
    OPEN = auto()
    """The means leave it open."""
    FEW_PATIENTS = auto()
    ONE_ARM = auto()
    NO_TARGET = auto()
    """No target, or no results to compare with it."""


@dataclass(frozen=True)
class JudgedCurves:
    """Learning curves, and the endpoint of their metric: no saving is claimed without it."""

    learned: Learning
    judged: Judgement | None

    @property
    def claim(self) -> SavingClaim:
        """What may be said of the saving."""
        return claim_of(self.learned, self.judged)


def judged_curves(endpoints: Endpoints, learning: Iterable[Learning]) -> tuple[JudgedCurves, ...]:
    """Put curves and endpoints together."""
    return tuple(JudgedCurves(one, endpoints.of(one.comparison, one.metric)) for one in learning)


@dataclass(frozen=True)
class Headline:
    """The endpoints, and the learning curves that the saving is read from."""

    endpoints: Endpoints
    learned: Learning | None
    """Of the primary comparison, or without one of an arm alone; of the goal's metric, or without a goal of the primary
    endpoint's."""
    judged: Judgement | None
    """Of the metric of these curves."""
    claim: SavingClaim
    elsewhere: Best | None = None
    """Where no network was trained on the labelled studies, the best of the models from elsewhere."""


def headline(endpoints: Endpoints, supplementary: Supplementary, tables: Iterable[PerformanceTable] = ()) -> Headline:
    """Put it together."""
    primary, goal = endpoints.primary, supplementary.options.goal
    metric = goal.metric if goal else primary.metric if primary else DEFAULT_METRIC
    learned = next(
        (
            one
            for one in sorted(supplementary.learning, key=lambda one: not _of_new_hospital(one))
            if one.metric == metric and (primary is None or one.comparison == primary.comparison)
        ),
        None,
    )
    judged = None if learned is None else endpoints.of(learned.comparison, learned.metric)
    elsewhere = best_elsewhere(tables, metric) if primary is None and learned is None else None
    return Headline(endpoints, learned, judged, claim_of(learned, judged), elsewhere)


def _of_new_hospital(learned: Learning) -> bool:
    """Whether the networks were tested at sites that they were not trained on, in a design that compares sites."""
    return dict(learned.comparison.stratum.axes).get("train_site") == OTHER_SITES


_UNDECIDED: Mapping[Direction, SavingClaim] = {
    Direction.BOTH_AT_SMALLEST: SavingClaim.BOTH_AT_SMALLEST,
    Direction.OPEN: SavingClaim.OPEN,
}

_UNSUPPORTED: Mapping[Support, SavingClaim] = {
    Support.NO_INTERVAL: SavingClaim.NO_INTERVAL,
    Support.INCLUDES_ZERO: SavingClaim.NOT_SHOWN,
    Support.FLAT: SavingClaim.FLAT,
}

_ALIKE = ((Direction.FEWER, Decision.HIGHER), (Direction.MORE, Decision.LOWER))
"""An arm that performs better needs fewer studies."""


def claim_of(learned: Learning | None, judged: Judgement | None) -> SavingClaim:
    """What may be said of the saving that these curves show; `judged` is the endpoint of their metric."""
    if learned is not None and len(learned.arms) < 2:
        return SavingClaim.ONE_ARM
    if learned is None or learned.saving is None or judged is None:
        return SavingClaim.NO_TARGET
    saving = learned.saving
    if learned.patients < LEAST_PATIENTS:
        return SavingClaim.FEW_PATIENTS
    if saving.support is Support.FLAT:
        return SavingClaim.FLAT
    if saving.direction in _UNDECIDED:
        return _UNDECIDED[saving.direction]
    if saving.support in _UNSUPPORTED:
        return _UNSUPPORTED[saving.support]
    if saving.direction is Direction.SAME:
        return SavingClaim.NOT_SHOWN
    return SavingClaim.CLAIMED if (saving.direction, judged.decision) in _ALIKE else SavingClaim.NOT_SUPPORTED
