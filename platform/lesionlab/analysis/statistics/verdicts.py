"""One table and what stands beside it in; one sentence an arm comparison out: where fine-tuning was shown to
help, at each training size.

A difference that is not significant is one that was not shown, never one that is not there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from lesionlab.analysis.statistics.arm_comparisons import ArmComparison
from lesionlab.analysis.statistics.conditions import Condition, Metric
from lesionlab.analysis.statistics.sample_sizes import span
from lesionlab.analysis.statistics.supplementary import Supplementary
from lesionlab.analysis.statistics.tables import PerformanceTable, variant
from storage_schemas.results import EffectRow

LEAST_PATIENTS = 6
"""For a verdict. With fewer, not even a sign test could find a difference at 5 % where every patient speaks for the
same arm (2 · 0.5⁵ = 0.06): a significant t test would rest on the normal distribution alone."""

JUDGED: tuple[tuple[Metric, str], ...] = (("sensitivity", "sensitivity"), ("ppv", "PPV"))

_Outcome = Literal["higher", "lower", "not shown", "not testable", "few"]

_FIRST: Mapping[_Outcome, str] = {
    "higher": "had significantly higher {}",
    "lower": "had significantly lower {}",
    "not shown": "showed no significant difference in {}",
    "not testable": "could not be tested in {}",
    "few": f"had fewer than {LEAST_PATIENTS} patients for a verdict on {{}}",
}
"""What a clause leads with; the order in which outcomes are told."""
_ALSO: Mapping[_Outcome, str] = {
    "lower": "significantly lower",
    "not shown": "not shown",
    "not testable": "could not be tested",
    "few": f"fewer than {LEAST_PATIENTS} patients",
}
"""What follows of the same metric at other sizes."""


def verdicts(table: PerformanceTable, supplementary: Supplementary) -> list[str]:
    """One for every way of fine-tuning against every way of training de novo; none where no two meet at one size."""
    return [
        _verdict(table, arm_comparison, supplementary)
        for arm_comparison in table.arm_comparisons
        if arm_comparison.pairs
    ]


def tests_between(table: PerformanceTable, fine_tuned: Condition, de_novo: Condition) -> dict[Metric, EffectRow]:
    """Fine-tuned against de novo at one size, by the metrics that are judged."""
    (line,) = (line for line in table.lines if line.condition == fine_tuned)
    return {metric: line.measures[metric].between_methods[de_novo.model] for metric, _ in JUDGED}


def fine_tuning_from(*sources: str | None) -> str:
    """`fine-tuning from glioma`."""
    named = ", ".join(source for source in sources if source)
    return f"fine-tuning from {named}" if named else "fine-tuning"


def _verdict(table: PerformanceTable, arm_comparison: ArmComparison, supplementary: Supplementary) -> str:
    tuning = _named(fine_tuning_from(table.source), arm_comparison.fine_tuned[0], table)
    training = _named("de novo training", arm_comparison.de_novo[0], table)
    by_size = {
        fine_tuned.training_size: tests_between(table, fine_tuned, de_novo)
        for fine_tuned, de_novo in arm_comparison.pairs
    }
    every = [test for tests in by_size.values() for test in tests.values()]
    testable = [test for test in every if test.p is not None]
    cannot = f"These data cannot say whether {tuning} helps: "
    if not testable:
        reasons = "; ".join(dict.fromkeys(test.note for test in by_size[max(by_size)].values()))
        return f"{cannot}at no training size could it be tested against {training} ({reasons})."
    most = max(_patients(test, supplementary) for test in testable)
    if most < LEAST_PATIENTS:
        patients = "1 patient" if most == 1 else f"{most} patients"
        return f"{cannot}both arms were tested on {patients}, and a verdict needs {LEAST_PATIENTS} at least."
    n = span(test.n for test in testable)
    return (
        f"{tuning[:1].upper()}{tuning[1:]}, compared with {training}, {_judgement(by_size, supplementary)}; "
        f"paired over {n} test studies."
    )


def _named(method: str, model: Condition, table: PerformanceTable) -> str:
    """`de novo training (learning rate 0.001)` where there are several ways, else `de novo training`."""
    words = ", ".join(variant(model, table.models))
    return f"{method} ({words})" if words else method


def _judgement(by_size: Mapping[int, Mapping[Metric, EffectRow]], supplementary: Supplementary) -> str:
    """`had significantly higher sensitivity with 10 and 30 labelled studies (not shown with 20), and …`."""
    alike: dict[tuple[_Outcome, ...], list[str]] = {}
    for metric, name in JUDGED:
        outcomes = tuple(_outcome(tests[metric], supplementary) for tests in by_size.values())
        alike.setdefault(outcomes, []).append(name)
    told = [
        _told(" and ".join(names), dict(zip(by_size, outcomes, strict=True)), first=place == 0)
        for place, (outcomes, names) in enumerate(alike.items())
    ]
    if all(clause.startswith("had ") for clause in told):
        told[1:] = [clause.removeprefix("had ") for clause in told[1:]]
    return ", and ".join(told)


def _told(names: str, outcomes: Mapping[int, _Outcome], first: bool) -> str:
    """One clause. The `first` of a sentence says what the sizes count; an only size is not said again."""
    where = {told: [size for size, found in outcomes.items() if found == told] for told in _FIRST}
    (lead, own), *others = ((told, sizes) for told, sizes in where.items() if sizes)
    clause = _FIRST[lead].format(names)
    if first or len(outcomes) > 1:
        clause += f" with {_listed(own, list(outcomes))}"
    if first:
        clause += " labelled study" if own == [1] else " labelled studies"
    also = [(told, f"{_ALSO[told]} with {_listed(sizes, list(outcomes))}") for told, sizes in others]
    significant = [words for told, words in also if told == "lower"]
    rest = "; ".join(words for told, words in also if told != "lower")
    return " and ".join([clause, *significant]) + (f" ({rest})" if rest else "")


def _listed(sizes: Sequence[int], among: Sequence[int]) -> str:
    """`10`; `10 and 30`; `10 to 50` for three or more with no other of the sizes `among` them."""
    if len(sizes) > 2 and [size for size in among if sizes[0] <= size <= sizes[-1]] == list(sizes):
        return f"{sizes[0]} to {sizes[-1]}"
    *most, last = map(str, sizes)
    return f"{', '.join(most)} and {last}" if most else last


def _outcome(test: EffectRow, supplementary: Supplementary) -> _Outcome:
    if test.p is None or test.difference is None:
        return "not testable"
    if _patients(test, supplementary) < LEAST_PATIENTS:
        return "few"
    if not test.significant:
        return "not shown"
    return "higher" if test.difference > 0 else "lower"


def _patients(test: EffectRow, supplementary: Supplementary) -> int:
    """Patients with a pair of values."""
    about = (test.stratum, test.metric, test.comparison, test.training_size)
    found = (p for p in supplementary.sizes if (p.stratum, p.metric, p.comparison, p.training_size) == about)
    return next((paired.size.patients for paired in found), 0)
