"""The sentences of cautions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lesionlab.analysis.methods.intervals import LEAST_CLUSTERS
from lesionlab.analysis.methods.student import ALPHA
from lesionlab.analysis.statistics.budget import BudgetCaution
from lesionlab.analysis.statistics.cautions import (
    Alarm,
    Caution,
    DefaultTestedOnFewer,
    FewComplete,
    FewFolds,
    FewStudies,
    General,
    LearningRatesDiffer,
    NoMeaningYet,
    OtherCorrection,
    Preliminary,
    RaterReadFewer,
    SharedPatients,
    UndefinedValues,
)
from lesionlab.analysis.statistics.changes import Change
from lesionlab.analysis.statistics.elsewhere import TrainedElsewhere
from lesionlab.analysis.statistics.summary import Summary
from lesionlab.analysis.words import budget, elsewhere
from lesionlab.analysis.words.definitions import changed
from lesionlab.analysis.words.models import (
    METRICS,
    RATER,
    arm_name,
    effect_name,
    in_stratum,
    model_title,
    stratum_name,
)
from lesionlab.analysis.words.numbers import capital, count_of, percent
from storage_schemas.metrics import COLUMNS

CONDITIONAL = "Patient-level 95 % CIs are conditional on the trained networks; they exclude training variability."

BESIDE_HEADLINE = (NoMeaningYet, LearningRatesDiffer)
"""Cautions without which the headline would mislead; all others stand at the end of the answer."""

_GENERAL: Mapping[General, str] = {
    General.NOT_SIGNIFICANT: "Not significant means that no difference was shown, not that there is none.",
    General.PATIENT_INTERVALS: f"{CONDITIONAL} They are used with fewer than {LEAST_CLUSTERS} folds, or if a patient "
    "is tested in several folds.",
    General.SIMULATED: "The studies are simulated: they test the method and say nothing about patients.",
}


_OTHER: Mapping[str, str] = {
    "holm": "With Holm's correction instead of Bonferroni's",
    "welch": "With Welch's test instead of pooled variances",
}


def sentence(caution: Caution) -> str:
    """Write one caution."""
    if isinstance(caution, General):
        return _GENERAL[caution]
    if isinstance(caution, BudgetCaution):
        return budget.CAUTIONS[caution]
    if isinstance(caution, Preliminary):
        return f"Preliminary: {caution.missing} of {caution.planned} cells have no results yet."
    if isinstance(caution, NoMeaningYet):
        return (
            f"Tested on {count_of(caution.studies, 'study')} only: these numbers show that the pipeline works on these "
            "scans. They mean nothing yet, high or low."
        )
    if isinstance(caution, FewStudies):
        return f"Few test studies (n = {caution.n}): single studies weigh heavily, and little is known of others."
    if isinstance(caution, FewComplete):
        rests = f"The repeated-measures ANOVA of {METRICS[caution.metric]}{in_stratum(caution.stratum)} rests on"
        if caution.complete == caution.tested:
            return f"{rests} {count_of(caution.tested, 'study')} only."
        of = f"{caution.complete} of {count_of(caution.tested, 'study')}"
        return f"{rests} {of}: those with a value under every model."
    if isinstance(caution, UndefinedValues):
        return _undefined(caution)
    if isinstance(caution, OtherCorrection):
        return f"{_OTHER[caution.by]}: {_changes(caution.changes)}."
    if isinstance(caution, Alarm):
        return _alarm(caution)
    if isinstance(caution, TrainedElsewhere):
        return elsewhere.training(caution)
    return _of_design(caution)


def _of_design(
    caution: SharedPatients | RaterReadFewer | FewFolds | DefaultTestedOnFewer | LearningRatesDiffer,
) -> str:
    if isinstance(caution, FewFolds):
        return (
            f"Few networks: each model was trained in {caution.folds} folds at each size. How much chance in training "
            "matters is known from so few only, so intervals that cover it are wide, and the paper's tests, which do "
            "not cover it, can be significant where these intervals include 0."
        )
    if isinstance(caution, DefaultTestedOnFewer):
        name = arm_name("default", caution.source)
        return (
            f"The {name} was tested on {caution.tested} of {count_of(caution.of, 'study')}: its means, and comparisons "
            "with it, are over other patients than those of the trained models."
        )
    if isinstance(caution, SharedPatients):
        return (
            f"The {count_of(caution.studies, 'test study')} come from {count_of(caution.patients, 'patient')}. The "
            "paper's tests treat them as independent; the confidence intervals and the mixed model do not."
        )
    if isinstance(caution, RaterReadFewer):
        return (
            f"{RATER} read {count_of(caution.read, 'study')}; the networks were tested on {caution.tested}. The "
            f"confidence intervals allow for differences between patients, which make it less certain where a curve "
            f"meets {RATER}."
        )
    rates = "; ".join(f"{own:g} versus {other:g}" for own, other in caution.rates)
    return (
        f"Fine-tuned and de novo also differ in learning rate ({rates}), which may explain part of any difference. "
        "Rates of their own are fair only if each was chosen within the training folds, by the same search."
    )


def _undefined(caution: UndefinedValues) -> str:
    summary = caution.summary
    metric, model = METRICS[summary.metric], f"{model_title(summary.condition)}{in_stratum(caution.stratum)}"
    return (
        f"{capital(metric)} is undefined in {summary.undefined} of {count_of(summary.tested, 'study')} for {model}: "
        f"{COLUMNS[summary.metric].undefined}. {_what_becomes(summary)}."
    )


def _what_becomes(summary: Summary) -> str:
    """Of the studies without a value: `3 count as 0; 1 is left out of the mean`."""
    left_out = summary.undefined - summary.as_worst
    if not summary.as_worst:
        return "These studies are left out of its mean"
    if not left_out:
        return "These studies count as 0"
    counted = f"{summary.as_worst} {'counts' if summary.as_worst == 1 else 'count'} as 0"
    rest = f"{left_out}, without a reference lesion, {'is' if left_out == 1 else 'are'} left out of the mean"
    return f"{counted}; {rest}"


def _alarm(caution: Alarm) -> str:
    rate = caution.rate
    # A lower limit just above 5 % is not written as 5 %.
    digits = int(round(rate.low, 2) <= ALPHA)
    found, low, high = (percent(share, digits) for share in (rate.rate, rate.low, rate.high))
    stratum = f", {stratum_name(caution.stratum)}" if caution.stratum else ""
    return (
        f"Inflated type I error for {METRICS[caution.metric]}{stratum}: at the variances found here, {found} of "
        f"{rate.repetitions} simulated experiments without any effect were significant by this method (99.9 % CI {low} "
        f"to {high}): {rate.method}."
    )


def _changes(changes: Sequence[Change]) -> str:
    return "; ".join(f"{_compared(change)} is {changed(change)}" for change in changes)


def _compared(change: Change) -> str:
    effect = change.before
    size = f" at N = {effect.training_size}" if effect.training_size else ""
    return f"{METRICS[effect.metric]} of {effect_name(effect)}{size}{in_stratum(effect.stratum)}"
