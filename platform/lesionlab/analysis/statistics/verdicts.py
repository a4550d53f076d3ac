"""Judge every arm comparison: whether fine-tuning was shown to help, at each training size.

A difference that is not significant is one that was not shown, never one that is not there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from lesionlab.analysis.methods.student import LEAST_PATIENTS
from lesionlab.analysis.statistics.arm_comparisons import ArmComparison
from lesionlab.analysis.statistics.conditions import Condition, Stratum
from lesionlab.analysis.statistics.effects import Effect, Pair
from lesionlab.analysis.statistics.supplementary import Supplementary
from lesionlab.analysis.statistics.tables import PerformanceTable
from storage_schemas.metrics import PRIMARY, Metric


class Outcome(Enum):
    """What the test of fine-tuned versus de novo showed for one metric at one size."""

    HIGHER = auto()
    """Significantly higher after fine-tuning."""
    LOWER = auto()
    NOT_SHOWN = auto()
    """Not significant."""
    NOT_TESTABLE = auto()
    FEW_PATIENTS = auto()
    """Fewer than LEAST_PATIENTS."""


@dataclass(frozen=True)
class Contest:
    """Which way of fine-tuning is judged against which way of training de novo."""

    comparison: ArmComparison
    source: str | None
    """Default model of the table."""
    models: tuple[Condition, ...]
    """Of the table: an arm with several ways is named by what differs among them."""

    @property
    def stratum(self) -> Stratum:
        """Of the comparison."""
        return self.comparison.stratum


@dataclass(frozen=True)
class Judged:
    """The outcome of each metric at each training size that both arms share."""

    contest: Contest
    outcomes: Mapping[Metric, Mapping[int, Outcome]]
    n: tuple[int, int]
    """Least and greatest number of paired test studies."""

    @property
    def stratum(self) -> Stratum:
        """Of the comparison."""
        return self.contest.stratum


@dataclass(frozen=True)
class NotTestable:
    """No verdict: no size has a test; these are those of the largest size, with their reasons."""

    contest: Contest
    tests: tuple[Effect, ...]

    @property
    def stratum(self) -> Stratum:
        """Of the comparison."""
        return self.contest.stratum


@dataclass(frozen=True)
class TooFewPatients:
    """No verdict: both arms were tested on fewer than LEAST_PATIENTS patients."""

    contest: Contest
    patients: int

    @property
    def stratum(self) -> Stratum:
        """Of the comparison."""
        return self.contest.stratum


@dataclass(frozen=True)
class OneArmOnly:
    """No verdict: in this stratum no size has both arms for these default models."""

    stratum: Stratum
    sources: tuple[str, ...]


Verdict = Judged | NotTestable | TooFewPatients
"""On one arm comparison."""


def verdicts(table: PerformanceTable, supplementary: Supplementary) -> list[Verdict]:
    """Judge every way of fine-tuning against every way of training de novo that share a training size."""
    return [
        _verdict(Contest(comparison, table.source, table.models), table, supplementary)
        for comparison in table.arm_comparisons
        if comparison.pairs
    ]


def same_decision(one: Verdict, other: Verdict) -> bool:
    """Return whether two verdicts on one comparison say the same; the numbers behind them may differ."""
    if isinstance(one, Judged) and isinstance(other, Judged):
        return one.outcomes == other.outcomes
    return type(one) is type(other)


def one_arm_only(tables: Sequence[PerformanceTable]) -> tuple[OneArmOnly, ...]:
    """Collect, by stratum, the default models of tables in which no fine-tuned model meets a de novo one."""
    sources: dict[Stratum, list[str]] = {}
    for table in tables:
        if table.arm_comparisons and not any(comparison.pairs for comparison in table.arm_comparisons):
            sources.setdefault(table.stratum, []).extend([table.source] if table.source else [])
    return tuple(OneArmOnly(stratum, tuple(names)) for stratum, names in sources.items())


def tests_between(table: PerformanceTable, pair: Pair) -> dict[Metric, Effect]:
    """Return the tests of fine-tuned versus de novo at one size, by judged metric."""
    (line,) = (line for line in table.lines if line.condition == pair.model)
    return {metric: line.measures[metric].between_methods[pair.other.way] for metric in PRIMARY}


def _verdict(contest: Contest, table: PerformanceTable, supplementary: Supplementary) -> Verdict:
    by_size = {pair.model.training_size: tests_between(table, pair) for pair in contest.comparison.pairs}
    testable = [test for tests in by_size.values() for test in tests.values() if test.p is not None]
    if not testable:
        return NotTestable(contest, tuple(by_size[max(by_size)].values()))
    most = max(_patients(test, supplementary) for test in testable)
    if most < LEAST_PATIENTS:
        return TooFewPatients(contest, most)
    counts = [test.n for test in testable]
    outcomes = {
        metric: {size: _outcome(tests[metric], supplementary) for size, tests in by_size.items()} for metric in PRIMARY
    }
    return Judged(contest, outcomes, (min(counts), max(counts)))


def _outcome(test: Effect, supplementary: Supplementary) -> Outcome:
    if test.p is None or test.difference is None:
        return Outcome.NOT_TESTABLE
    if _patients(test, supplementary) < LEAST_PATIENTS:
        return Outcome.FEW_PATIENTS
    if not test.significant:
        return Outcome.NOT_SHOWN
    return Outcome.HIGHER if test.difference > 0 else Outcome.LOWER


def _patients(test: Effect, supplementary: Supplementary) -> int:
    """Patients with a pair of values."""
    about = (test.stratum, test.metric, test.pair)
    found = (p for p in supplementary.sizes if (p.stratum, p.metric, p.pair) == about)
    return next((paired.size.patients for paired in found), 0)
