"""What may be said of the labelled studies that fine-tuning saves: one claim, wherever it is said."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from lesionlab.analysis.methods.curve import Direction, Saving
from lesionlab.analysis.methods.intervals import Interval
from lesionlab.analysis.statistics.endpoints import Decision, Judgement
from lesionlab.analysis.statistics.headline import Headline, SavingClaim
from lesionlab.analysis.statistics.learning import Aim, AimKind, Learning
from lesionlab.analysis.words.models import METRICS, RATER
from lesionlab.analysis.words.numbers import count_of, fixed, whole_number

_DIGITS = 2

_OF_AN_ESTIMATE: Mapping[SavingClaim, str] = {
    SavingClaim.CLAIMED: "",
    SavingClaim.NOT_SUPPORTED: ", not claimed",
    SavingClaim.NOT_SHOWN: ", not shown",
    SavingClaim.NO_INTERVAL: ", not shown",
}
"""What a table's cell adds after the number, for those claims that have a number."""


def sentence(found: Headline) -> str:
    """Write the third sentence of the headline."""
    no = "No saving of labelled studies"
    learned, claim = found.learned, found.claim
    if claim is SavingClaim.ONE_ARM:
        return f"{no} can be estimated from one arm alone."
    if learned is None and found.endpoints.primary is None:
        return f"{no} can be estimated without networks that were trained on them."
    if learned is not None and found.endpoints.primary is None:
        return f"{no} can be judged without a training size that both arms share."
    if learned is None or learned.saving is None or learned.aim is None or claim is SavingClaim.NO_TARGET:
        return f"{no} can be estimated: there is no target to reach."
    saving, metric = learned.saving, METRICS[learned.metric]
    if claim is SavingClaim.CLAIMED:
        return _claimed(learned, saving, learned.aim)
    if claim is SavingClaim.FLAT:
        return f"{no} can be claimed: {_flat(learned)}."
    estimate = f"the estimate is {saving_text(saving)}"
    return {
        SavingClaim.NOT_SUPPORTED: f"{no} is claimed, as {unsupported(found.judged, metric)}; {estimate}.",
        SavingClaim.NOT_SHOWN: f"{no} is shown; {estimate}.",
        SavingClaim.NO_INTERVAL: f"{no} is shown; {estimate}.",
        SavingClaim.BOTH_AT_SMALLEST: f"{no} can be estimated: both arms reach {aim_phrase(learned.aim, metric)} with "
        "the fewest already.",
        SavingClaim.OPEN: f"{no} can be estimated: {why_open(learned)}.",
        SavingClaim.FEW_PATIENTS: f"{no} can be estimated from so few patients.",
    }[claim]


def covers(found: Headline) -> str:
    """What the interval of the third sentence covers; nothing where that has none."""
    learned = found.learned
    if learned is None or learned.saving is None or learned.saving.interval is None:
        return ""
    if found.claim not in _OF_AN_ESTIMATE:
        return ""
    if learned.unit == "patient":
        return "Interval of the saving: it covers which patients were tested, for these very networks."
    return (
        "Interval of the saving: it covers which patients were tested and chance in training, and takes the networks "
        "of different folds as independent."
    )


def cell(saving: Saving, claim: SavingClaim) -> str:
    """`21 (95 % CI 15 to 30)`, `14 (95 % CI 2 to 18), not claimed`; empty where there is none to estimate."""
    return saving_text(saving) + _OF_AN_ESTIMATE[claim] if claim in _OF_AN_ESTIMATE else ""


def saving_text(saving: Saving) -> str:
    """`21 (95 % CI 15 to 30)`, `21 (no CI)`."""
    ci = f"95 % CI {studies(saving.interval)}" if saving.interval else "no CI"
    return f"{_estimate(saving)} ({ci})"


def studies(limits: Interval, times: float = 1) -> str:
    """`15 to 30`, `at least 5`, `at most 8`, `not bounded`; in studies or, by hours per study, in hours."""
    low, high = sorted((times * limits.low, times * limits.high))
    if np.isfinite(low):
        return f"{whole_number(low)} to {whole_number(high)}" if np.isfinite(high) else f"at least {whole_number(low)}"
    return f"at most {whole_number(high)}" if np.isfinite(high) else "not bounded"


def aim_phrase(aim: Aim, metric: str) -> str:
    """`the PPV of de novo training with 50`, `Grader 2's PPV`, `a PPV of 0.63`."""
    if aim.kind is AimKind.DECLARED:
        return f"a {metric} of {fixed(aim.mean, _DIGITS)}"
    if aim.kind is AimKind.RATER or aim.model is None:
        return f"{RATER}'s {metric}"
    return f"the {metric} of de novo training with {aim.model.training_size}"


def unsupported(judged: Judgement | None, metric: str) -> str:
    """Why a saving is not claimed although its interval excludes 0."""
    if judged is None or judged.decision in (Decision.NOT_CLAIMED, Decision.NO_PAIRS, Decision.FEW_PATIENTS):
        return f"no significance is claimed for {metric}"
    if judged.decision is Decision.NOT_SHOWN:
        return f"the difference in {metric} is not significant"
    return f"the difference in {metric} points the other way"


def why_open(learned: Learning) -> str:
    """Why the means leave open how many studies are saved."""
    aim = "the target" if learned.aim is None else aim_phrase(learned.aim, METRICS[learned.metric])
    reached = {arm.fine_tuned: arm.crossing.reached for arm in learned.arms if arm.crossing}
    if any(len(arm.points) < 2 for arm in learned.arms):
        return "it takes several training sizes"
    if reached == {True: False, False: False}:
        return f"neither arm reaches {aim}"
    if reached == {True: False, False: True}:
        return f"fine-tuned networks do not reach {aim}"
    if reached == {True: True, False: False}:
        return f"de novo networks do not reach {aim}, and fine-tuned ones do with the most studies only"
    return f"both arms reach {aim} with about the fewest"


def _estimate(saving: Saving) -> str:
    """`21`, `at least 21`, `−3` where it needs more, `−3 or less`."""
    low, _ = saving.size
    if saving.direction is Direction.SAME:
        return "0"
    number = whole_number(-low if saving.direction is Direction.MORE else low)
    if saving.is_exact:
        return number
    return f"{number} or less" if saving.direction is Direction.MORE else f"at least {number}"


def _flat(learned: Learning) -> str:
    """`the PPV of de novo training rose from 0.50 with 4 to 0.77 with 8, which chance alone may explain`."""
    points = [point for arm in learned.arms if not arm.fine_tuned for point in arm.points]
    whose = f"the {METRICS[learned.metric]} of de novo training"
    if not points:
        return f"{whose} is not shown to rise"
    first, last = ((fixed(point.mean, _DIGITS), point.training_size) for point in (points[0], points[-1]))
    if last[0] <= first[0]:
        return f"{whose} did not rise, from {first[0]} with {first[1]} to {last[0]} with {last[1]}"
    return f"{whose} rose from {first[0]} with {first[1]} to {last[0]} with {last[1]}, which chance alone may explain"


def _claimed(learned: Learning, saving: Saving, aim: Aim) -> str:
    """`It saves about 21 labelled studies (95 % CI 15 to 30) in reaching the PPV of de novo training with 50.`"""
    low, _ = saving.size
    more = saving.direction is Direction.MORE
    about = "about" if saving.is_exact else "at least"
    limits = f" (95 % CI {studies(saving.interval, -1 if more else 1)})" if saving.interval else ""
    much = count_of(round(low), "more labelled study" if more else "labelled study")
    hours = (
        "" if learned.annotation_minutes is None else f", {low * learned.annotation_minutes / 60:.0f} hours of work,"
    )
    goal = aim_phrase(aim, METRICS[learned.metric])
    if more:
        return f"It needs {about} {much}{limits}{hours} to reach {goal}."
    return f"It saves {about} {much}{limits}{hours} in reaching {goal}."
