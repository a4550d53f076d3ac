"""The budget control in words: whether the effect of the training size is only due to more optimiser steps."""

from __future__ import annotations

from collections.abc import Mapping

from lesionlab.analysis.methods.mixed import Term
from lesionlab.analysis.statistics.budget import BudgetCaution, BudgetControl, BudgetFinding
from lesionlab.analysis.words.models import METRICS, comparison_name
from lesionlab.analysis.words.numbers import limit, signed

FINDINGS: Mapping[BudgetFinding, str] = {
    BudgetFinding.NOT_FITTED: "A slope could not be estimated, so data and steps cannot be told apart.",
    BudgetFinding.NO_EFFECT: "No effect of the training size is shown under epochs, so there is none to explain.",
    BudgetFinding.BEYOND_STEPS: "Performance rises under equal steps too: the effect of the training size is not only "
    "due to more steps.",
    BudgetFinding.PERHAPS_STEPS: "No rise is shown under equal steps: the effect of the training size may be due to "
    "more steps only.",
}

CAUTIONS: Mapping[BudgetCaution, str] = {
    BudgetCaution.NOT_RUN: "No budget control: larger training sets also had more optimiser steps. To separate the "
    "two, also train with equal steps at every size. In the experiment file: `budgets: [{epochs: 30}, {steps: 2000}]`.",
    BudgetCaution.NOT_KNOWN: "No budget control: the table does not say how long each network was trained. If larger "
    "training sets also had more optimiser steps, part of their effect may be due to that.",
}


def sentences(control: BudgetControl) -> str:
    """Write the slope under each budget, and what they say together."""
    slopes = ", ".join(f"{_slope(slope.term)} under {slope.budget.text()}" for slope in control.slopes)
    depth = control.comparison.conditions[0].depth
    about = f"{METRICS[control.metric]} per doubling of N, {comparison_name(control.comparison)}, depth {depth}"
    return f"Budget control, {about}: {slopes}. {FINDINGS[control.finding]}"


def _slope(term: Term | None) -> str:
    return "not fitted" if term is None else f"{signed(term.estimate)} [{limit(term.low)}, {limit(term.high)}]"
