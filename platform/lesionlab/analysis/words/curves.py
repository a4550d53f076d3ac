"""Learning curves in words: what each arm needs to reach a target, and what fine-tuning saves."""

from __future__ import annotations

import numpy as np

from lesionlab.analysis.methods.curve import Crossing, Direction, Saving
from lesionlab.analysis.methods.intervals import Interval
from lesionlab.analysis.methods.intervals import Unit as ClusterUnit
from lesionlab.analysis.methods.student import LEAST_PATIENTS
from lesionlab.analysis.statistics.effects import Lost
from lesionlab.analysis.statistics.headline import JudgedCurves, SavingClaim
from lesionlab.analysis.statistics.learning import Aim, AimKind, Learning
from lesionlab.analysis.words import savings
from lesionlab.analysis.words.models import METRICS, RATER, model_name
from lesionlab.analysis.words.numbers import capital, count_of, percent
from lesionlab.analysis.words.reasons import undefined_for

_NOT_REACHED = "not reached"


def sentences(curves: JudgedCurves) -> str:
    """Write what one metric's learning curves say, without their stratum."""
    learned = curves.learned
    metric = METRICS[learned.metric]
    if learned.aim is None:
        return (
            f"There is no {metric} to reach, as neither a second rater nor de novo training has one. Declare a target: "
            "goal in the experiment file, --target for a table."
        )
    reached = [f"{model_name(arm.way)}, {crossing(arm.crossing)}" for arm in learned.arms if arm.crossing]
    if not reached:
        return f"No results to compare with the target, a {metric} of {_aim(learned.aim)}, yet."
    needed = f"Labelled studies needed for a {metric} of {_aim(learned.aim)}: {'; '.join(reached)}."
    return " ".join(part for part in (needed, _saved(curves), _evidence(learned)) if part)


def sentences_of_few(curves: JudgedCurves) -> str:
    """The same for too few patients."""
    return f"{sentences(curves)} Fewer than {LEAST_PATIENTS} patients: no verdict."


def crossing(found: Crossing) -> str:
    """`14 [10, 22]`, `≤ 10 [≤ 10, 22]`, `31 [24, not reached]`, `50 (by definition)`, `not reached with 50`."""
    if found.defined:
        return f"{found.studies:.0f} (by definition)"
    shown = _studies(found, found.studies) if found.reached else f"{_NOT_REACHED} with {found.largest}"
    if found.interval is None or (not found.reached and not np.isfinite(found.interval.low)):
        return shown
    return f"{shown} [{_studies(found, found.interval.low)}, {_studies(found, found.interval.high)}]"


def aim_name(aim: Aim) -> str:
    """`Grader 2`, `declared target`, `de novo with 50 studies`."""
    if aim.kind is AimKind.DECLARED:
        return "declared target"
    if aim.kind is AimKind.RATER or aim.model is None:
        return RATER
    return f"{model_name(aim.model)} with {count_of(aim.model.training_size, 'study')}"


def clusters(count: int, unit: ClusterUnit) -> str:
    """What a confidence interval is over: `6 folds`."""
    return count_of(count, unit)


def _aim(aim: Aim) -> str:
    """`0.63 (Grader 2, n = 10)`, `0.60 (declared target)`."""
    n = "" if aim.n is None else f", n = {aim.n}"
    return f"{aim.mean:.2f} ({aim_name(aim)}{n})"


def _studies(found: Crossing, studies: float) -> str:
    if not np.isfinite(studies):
        return _NOT_REACHED
    return f"≤ {found.smallest}" if studies <= found.smallest else f"{studies:.0f}"


def _evidence(learned: Learning) -> str:
    """`60 test studies; 95 % CI over 6 folds.`"""
    studies = f"{count_of(learned.studies, 'test study')}{_paired(learned)}"
    if not learned.has_intervals:
        return f"{studies}."
    conditional = ", conditional on the trained networks" if learned.unit == "patient" else ""
    return f"{studies}; 95 % CI over {clusters(learned.clusters, learned.unit)}{conditional}."


def _paired(learned: Learning) -> str:
    """`, of which those with a PPV under both arms count: 52 with N = 10 (undefined for de novo in 8)`."""
    if not any(lost.total for lost in learned.lost.values()):
        return ""
    sizes = [_size(size, learned.studies, lost) for size, lost in sorted(learned.lost.items())]
    return f", of which those with a {METRICS[learned.metric]} under both arms count: {', '.join(sizes)}"


def _size(size: int, studies: int, lost: Lost) -> str:
    why = f" ({undefined_for(lost)})" if lost.total else ""
    return f"{studies - lost.total} with N = {size}{why}"


def _saved(curves: JudgedCurves) -> str:
    """What fine-tuning saves: no more than the headline may say of this metric."""
    learned, claim = curves.learned, curves.claim
    saving, metric = learned.saving, METRICS[learned.metric]
    if saving is None:
        return ""
    if saving.direction is Direction.OPEN:
        return f"No saving can be estimated: {savings.why_open(learned)}."
    if saving.direction is Direction.BOTH_AT_SMALLEST:
        smallest = next(arm.crossing.smallest for arm in learned.arms if arm.crossing)
        return f"Both arms already reach it at the smallest size ({smallest}); savings cannot be estimated."
    told = f"fine-tuning {_by_the_means(saving)}{_hours(saving, learned.annotation_minutes)}"
    neither = f"; in {percent(saving.neither)} of draws neither arm reaches it" if saving.neither >= 0.01 else ""
    return {
        SavingClaim.CLAIMED: f"{capital(told)}.",
        SavingClaim.NOT_SUPPORTED: f"Not claimed, as {savings.unsupported(curves.judged, metric)}: by the means, "
        f"{told}.",
        SavingClaim.NOT_SHOWN: f"No difference is shown, as the CI includes 0; by the means, {told}{neither}.",
        SavingClaim.NO_INTERVAL: f"No difference is shown, as there is no CI; by the means, {told}.",
        SavingClaim.FLAT: "No saving can be claimed: de novo's mean at the largest size is not shown to be above that "
        "at the smallest, so fewer studies may do as well.",
        SavingClaim.FEW_PATIENTS: f"By the means, {told}.",
    }.get(claim, "No saving can be judged without a training size that both arms share.")


def _by_the_means(saving: Saving) -> str:
    """`saves about 21 labelled studies (95 % CI 15 to 30)`, `needs at least 3 more labelled studies`."""
    low, _ = saving.size
    limits = _limits(saving.interval, _sign(saving))
    if saving.direction is Direction.SAME:
        return f"needs as many labelled studies as de novo{limits.replace('CI', 'CI of the saving')}"
    much = f"{'about' if saving.is_exact else 'at least'} {round(low)}"
    studies = "labelled study" if round(low) == 1 else "labelled studies"
    more = saving.direction is Direction.MORE
    return f"needs {much} more {studies}{limits}" if more else f"saves {much} {studies}{limits}"


def _hours(saving: Saving, minutes: float | None) -> str:
    """`, or 11 hours of annotation (95 % CI at least 8) at 30 minutes per study`."""
    if minutes is None:
        return ""
    limits = _limits(saving.interval, _sign(saving) * minutes / 60)
    return f", or {saving.size[0] * minutes / 60:.0f} hours of annotation{limits} at {minutes:g} minutes per study"


def _sign(saving: Saving) -> int:
    """The interval is written as a saving, or as what is needed more."""
    return 1 if saving.least >= 0 else -1


def _limits(interval: Interval | None, times: float) -> str:
    """` (95 % CI 5 to 40)`, in studies or, by hours per study, in hours."""
    return "" if interval is None else f" (95 % CI {savings.studies(interval, times)})"
