"""Put together the answer of an experiment: the headline, the paper's verdicts, the numbers behind them, and cautions.

What was not tested is not claimed, and what cannot be answered is said to be open.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from lesionlab.analysis.methods.student import LEAST_PATIENTS
from lesionlab.analysis.statistics.budget import BudgetControl
from lesionlab.analysis.statistics.cautions import Caution, cautions
from lesionlab.analysis.statistics.comparisons import Unit
from lesionlab.analysis.statistics.conditions import Condition, Stratum
from lesionlab.analysis.statistics.effects import Effect, Pair
from lesionlab.analysis.statistics.endpoints import Endpoints
from lesionlab.analysis.statistics.headline import Headline, JudgedCurves, headline, judged_curves
from lesionlab.analysis.statistics.supplementary import Supplementary
from lesionlab.analysis.statistics.tables import Line, PerformanceTable
from lesionlab.analysis.statistics.verdicts import (
    OneArmOnly,
    Verdict,
    one_arm_only,
    tests_between,
    verdicts,
)
from storage_schemas.metrics import PRIMARY, Metric


@dataclass(frozen=True)
class PairFinding:
    """Fine-tuned and de novo at one size: means over the same studies, and tests."""

    stratum: Stratum
    pair: Pair
    tests: Mapping[Metric, Effect]
    unit: Unit


@dataclass(frozen=True)
class UntrainedFinding:
    """Means of a default model or the second rater."""

    stratum: Stratum
    line: Line


@dataclass(frozen=True)
class RaterFinding:
    """The tests of a model of the largest size versus the second rater."""

    stratum: Stratum
    model: Condition
    tests: Mapping[Metric, Effect]
    unit: Unit


Finding = PairFinding | UntrainedFinding | RaterFinding


@dataclass(frozen=True)
class Answer:
    """What the experiment says: the headline, the numbers behind it, and what a reader must keep in mind."""

    headline: Headline
    """By the primary endpoint."""
    open: tuple[OneArmOnly, ...]
    verdicts: tuple[Verdict, ...]
    """By the paper's paired t tests."""
    curves: tuple[JudgedCurves, ...]
    """Of enough patients for a verdict."""
    findings: tuple[Finding, ...]
    curves_of_few: tuple[JudgedCurves, ...]
    """Of fewer than LEAST_PATIENTS patients."""
    budget: tuple[BudgetControl, ...]
    cautions: tuple[Caution, ...]


def answer(
    tables: Sequence[PerformanceTable],
    supplementary: Supplementary,
    endpoints: Endpoints,
    missing: int,
    planned: int,
    simulated: bool,
) -> Answer:
    """Put the answer together; `missing` of the `planned` cells have no results yet."""
    curves = judged_curves(endpoints, supplementary.learning)
    return Answer(
        headline=headline(endpoints, supplementary, tables),
        open=one_arm_only(tables),
        verdicts=tuple(verdict for table in tables for verdict in verdicts(table, supplementary)),
        curves=tuple(own for own in curves if own.learned.patients >= LEAST_PATIENTS),
        findings=tuple(finding for table in tables for finding in _findings(table)),
        curves_of_few=tuple(own for own in curves if own.learned.patients < LEAST_PATIENTS),
        budget=supplementary.budget,
        cautions=cautions(tables, supplementary, missing, planned, simulated),
    )


def _findings(table: PerformanceTable) -> Iterable[Finding]:
    lines = {line.condition: line for line in table.lines}
    pairs = [pair for comparison in table.arm_comparisons for pair in comparison.pairs]
    for pair in sorted(pairs, key=lambda pair: pair.model.training_size):
        tests = tests_between(table, pair)
        yield PairFinding(table.stratum, pair, tests, table.unit)
    for line in table.lines:
        if not line.condition.trained:
            yield UntrainedFinding(table.stratum, line)
    largest = max((model.training_size for model in table.models), default=0)
    for model in table.models:
        tests = {metric: test for metric in PRIMARY if (test := lines[model].measures[metric].against_rater)}
        if model.training_size == largest and tests:
            yield RaterFinding(table.stratum, model, tests, table.unit)
