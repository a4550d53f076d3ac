"""The sentences of verdicts by the paper's tests: whether fine-tuning was shown to help."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lesionlab.analysis.methods.student import LEAST_PATIENTS
from lesionlab.analysis.statistics.conditions import Condition
from lesionlab.analysis.statistics.verdicts import (
    Contest,
    Judged,
    NotTestable,
    OneArmOnly,
    Outcome,
    TooFewPatients,
    Verdict,
)
from lesionlab.analysis.words.models import METRICS, variant
from lesionlab.analysis.words.numbers import listed, span
from lesionlab.analysis.words.reasons import note

_LEAD: Mapping[Outcome, str] = {
    Outcome.HIGHER: "gave significantly higher {}",
    Outcome.LOWER: "gave significantly lower {}",
    Outcome.NOT_SHOWN: "showed no significant difference in {}",
    Outcome.NOT_TESTABLE: "could not be tested for {}",
    Outcome.FEW_PATIENTS: f"had fewer than {LEAST_PATIENTS} patients to judge {{}}",
}
"""How a clause starts; also the order in which outcomes are named."""

_OTHER: Mapping[Outcome, str] = {
    Outcome.LOWER: "significantly lower",
    Outcome.NOT_SHOWN: "no significant difference",
    Outcome.NOT_TESTABLE: "not testable",
    Outcome.FEW_PATIENTS: f"fewer than {LEAST_PATIENTS} patients",
}
"""What follows for the other sizes of the same metric: a significant loss in the clause, the rest in brackets."""


def sentence(verdict: Verdict) -> str:
    """Write one verdict, without its stratum."""
    fine_tuning, de_novo = _arms(verdict.contest)
    if isinstance(verdict, Judged):
        n = _paired_n(verdict.n)
        return f"By the paper's paired t tests, compared with {de_novo}, {fine_tuning} {_judgement(verdict)}; {n}."
    if isinstance(verdict, TooFewPatients):
        patients = "only 1 patient" if verdict.patients == 1 else f"only {verdict.patients} patients"
        return f"{_cannot(fine_tuning)}: both arms were tested on {patients}, and a verdict needs {LEAST_PATIENTS}."
    return f"{_cannot(fine_tuning)}: no training size could be tested against {de_novo} ({_reasons(verdict)})."


def one_arm_only(open_question: OneArmOnly) -> str:
    """Write that a stratum has no size with both arms."""
    fine_tuning = _fine_tuning(open_question.sources)
    return f"{_cannot(fine_tuning)}: no training size has both a fine-tuned and a de novo arm."


def _paired_n(n: tuple[int, int]) -> str:
    """`n = 60 paired test studies`, `n = 52 to 60 paired test studies`."""
    return f"n = {span(n)} paired test studies" if n != (1, 1) else "n = 1 paired test study"


def _cannot(fine_tuning: str) -> str:
    return f"These data cannot show whether {fine_tuning} helps"


def _fine_tuning(sources: Sequence[str]) -> str:
    return f"fine-tuning from {listed(sources, 'or')}" if sources else "fine-tuning"


def _arms(contest: Contest) -> tuple[str, str]:
    fine_tuned, de_novo = contest.comparison.ways
    sources = (contest.source,) if contest.source else ()
    named = (_fine_tuning(sources), fine_tuned), ("de novo training", de_novo)
    first, second = (_way(method, way, contest.models) for method, way in named)
    return first, second


def _way(method: str, way: Condition, models: Sequence[Condition]) -> str:
    """`de novo training with learning rate 0.001` if there are several ways, else `de novo training`."""
    choices = variant(way, models)
    return f"{method} with {listed(choices)}" if choices else method


def _reasons(verdict: NotTestable) -> str:
    return "; ".join(dict.fromkeys(note(test) for test in verdict.tests))


def _judgement(verdict: Judged) -> str:
    """`gave significantly higher sensitivity with 10 and 30 labelled studies (no significant …), and …`."""
    alike: dict[tuple[tuple[int, Outcome], ...], list[str]] = {}
    for metric, outcomes in verdict.outcomes.items():
        alike.setdefault(tuple(outcomes.items()), []).append(METRICS[metric])
    clauses = [
        _clause(" and ".join(names), dict(outcomes), first=place == 0)
        for place, (outcomes, names) in enumerate(alike.items())
    ]
    return ", and ".join(clauses)


def _clause(metrics: str, outcomes: Mapping[int, Outcome], first: bool) -> str:
    """One clause. The `first` of a sentence says what the sizes count; an only size is not repeated."""
    sizes_of = {outcome: [size for size, found in outcomes.items() if found is outcome] for outcome in _LEAD}
    (lead, own), *others = ((outcome, sizes) for outcome, sizes in sizes_of.items() if sizes)
    clause = _LEAD[lead].format(metrics)
    if first or len(outcomes) > 1:
        clause += f" with {_sizes(own, list(outcomes))}"
    if first:
        clause += " labelled study" if own == [1] else " labelled studies"
    others_told = {outcome: f"{_OTHER[outcome]} with {_sizes(sizes, list(outcomes))}" for outcome, sizes in others}
    if Outcome.LOWER in others_told:
        clause += f" and {others_told.pop(Outcome.LOWER)}"
    return f"{clause} ({'; '.join(others_told.values())})" if others_told else clause


def _sizes(sizes: Sequence[int], among: Sequence[int]) -> str:
    """`10`; `10 and 30`; `10 to 50` for three or more if no other of the sizes `among` them lies between."""
    if len(sizes) > 2 and [size for size in among if sizes[0] <= size <= sizes[-1]] == list(sizes):
        return f"{sizes[0]} to {sizes[-1]}"
    return listed(sizes)
