"""What changes between two metric definitions or corrections, in words."""

from __future__ import annotations

from collections.abc import Mapping

from lesionlab.analysis.methods.curve import Crossing
from lesionlab.analysis.statistics.changes import Change, Difference
from lesionlab.analysis.statistics.conclusions import (
    Conclusion,
    CrossingChange,
    CrossingConclusion,
    EndpointConclusion,
    VerdictConclusion,
)
from lesionlab.analysis.statistics.headline import SavingClaim
from lesionlab.analysis.words import curves, headline, verdicts
from lesionlab.analysis.words.curves import aim_name
from lesionlab.analysis.words.models import METRICS, comparison_name, model_name

_DIFFERENCES: Mapping[Difference, str] = {
    Difference.NOW_TESTABLE: "now testable",
    Difference.NO_LONGER_TESTABLE: "no longer testable",
    Difference.NOW_SIGNIFICANT: "now significant",
    Difference.NO_LONGER_SIGNIFICANT: "no longer significant",
    Difference.REVERSED: "reversed direction",
}

_CROSSINGS: Mapping[CrossingChange, str] = {
    CrossingChange.NOW_REACHED: "now reached",
    CrossingChange.NO_LONGER_REACHED: "no longer reached",
    CrossingChange.OTHER_SIZE: "another number of studies",
    CrossingChange.NOW_ESTIMATED: "now estimated",
    CrossingChange.NO_LONGER_ESTIMATED: "no longer estimated",
}


def changed(change: Change) -> str:
    """`no longer significant, reversed direction`; empty where nothing changes."""
    return ", ".join(_DIFFERENCES[difference] for difference in change.differences)


def about(conclusion: Conclusion) -> str:
    """What is concluded: `verdict of the paper's tests`, `sensitivity: studies for de novo to reach Grader 2`."""
    if isinstance(conclusion, VerdictConclusion):
        return "verdict of the paper's tests"
    if isinstance(conclusion, EndpointConclusion):
        rank = "primary" if conclusion.primary else "secondary"
        judged = conclusion.before
        return f"{rank} endpoint: {METRICS[judged.metric]}, {comparison_name(judged.comparison)}"
    if isinstance(conclusion, CrossingConclusion):
        aim = "the target" if conclusion.aim is None else aim_name(conclusion.aim)
        return f"{METRICS[conclusion.metric]}: labelled studies for {model_name(conclusion.way)} to reach {aim}"
    return f"{METRICS[conclusion.curves.metric]}: saving, {comparison_name(conclusion.curves.comparison)}"


def before_and_after(conclusion: Conclusion) -> tuple[str, str]:
    """The conclusion under either definition."""
    if isinstance(conclusion, VerdictConclusion):
        return verdicts.sentence(conclusion.before), verdicts.sentence(conclusion.after)
    if isinstance(conclusion, EndpointConclusion):
        return headline.result(conclusion.before), headline.result(conclusion.after)
    if isinstance(conclusion, CrossingConclusion):
        return _needed(conclusion.before), _needed(conclusion.after)
    return _claimed(conclusion.before), _claimed(conclusion.after)


def conclusion_change(conclusion: Conclusion) -> str:
    """How it changes; empty where it does not."""
    if not conclusion.changed:
        return ""
    if isinstance(conclusion, VerdictConclusion):
        return "another verdict"
    if isinstance(conclusion, EndpointConclusion):
        return "shows something else"
    if isinstance(conclusion, CrossingConclusion):
        return _CROSSINGS[conclusion.change] if conclusion.change else ""
    return "now claimed" if conclusion.after is SavingClaim.CLAIMED else "no longer claimed"


def summary(changed: int, every: int, definition: str) -> str:
    """`3 of 40 comparisons change direction or significance under msseg-2`."""
    return f"{changed} of {every} comparisons change direction or significance under {definition}"


def conclusions_summary(changed: int, every: int, definition: str) -> str:
    """`1 of 6 conclusions (endpoints, verdicts, labelled studies needed, savings) change under msseg-2`."""
    kinds = "endpoints, verdicts, labelled studies needed, savings"
    return f"{changed} of {every} conclusions ({kinds}) change under {definition}"


def _needed(crossing: Crossing | None) -> str:
    return "no results" if crossing is None else curves.crossing(crossing)


def _claimed(claim: SavingClaim) -> str:
    return "claimed" if claim is SavingClaim.CLAIMED else "not claimed"
