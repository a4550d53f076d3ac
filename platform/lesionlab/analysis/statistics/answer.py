"""Tables, what stands beside them and what is missing in; the study's answer in plain words out, as cautious as the
numbers are.

Every sentence is computed: what was not tested is not claimed, what cannot be answered is said to be open.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lesionlab.analysis.statistics.cautions import cautions
from lesionlab.analysis.statistics.comparisons import Unit
from lesionlab.analysis.statistics.conditions import count_of
from lesionlab.analysis.statistics.sample_sizes import counted, n_text
from lesionlab.analysis.statistics.supplementary import Supplementary
from lesionlab.analysis.statistics.tables import Line, PerformanceTable, mean_se, p_words
from lesionlab.analysis.statistics.verdicts import JUDGED, LEAST_PATIENTS, fine_tuning_from, tests_between, verdicts
from storage_schemas.results import EffectRow


@dataclass(frozen=True)
class Answer:
    """What the study says: the verdict, the numbers behind it, and what a reader must keep in mind."""

    verdicts: tuple[str, ...]
    findings: tuple[str, ...]
    cautions: tuple[str, ...]

    def text(self) -> str:
        """The whole answer for a screen."""
        return "\n".join([*self.verdicts, *(f"  {line}" for line in (*self.findings, *self.cautions))])


def answer(
    tables: Sequence[PerformanceTable], supplementary: Supplementary, missing: int, planned: int, simulated: bool
) -> Answer:
    """The answer from all tables of a study; `missing` of the `planned` cells have no results yet."""
    enough = [learned for learned in supplementary.learning if learned.patients >= LEAST_PATIENTS]
    few = [learned for learned in supplementary.learning if learned.patients < LEAST_PATIENTS]
    return Answer(
        verdicts=_by_stratum(
            [
                *_without_a_partner(tables),
                *((table.stratum, verdict) for table in tables for verdict in verdicts(table, supplementary)),
                *((learned.stratum, learned.text()) for learned in enough),
            ]
        ),
        findings=tuple(_in_stratum(table.stratum, line) for table in tables for line in _findings(table))
        + _by_stratum(
            [
                (learned.stratum, f"{learned.text()} Fewer than {LEAST_PATIENTS} patients: no verdict.")
                for learned in few
            ]
        )
        + tuple(f"Budget control: {control.text()}" for control in supplementary.budget),
        cautions=cautions(tables, supplementary, missing, planned, simulated),
    )


def _by_stratum(said: Sequence[tuple[str, str]]) -> tuple[str, ...]:
    """Sentences of the same stratum together; what holds in several strata is said once."""
    strata: dict[str, list[str]] = {}
    for stratum in dict.fromkeys(stratum for stratum, _ in said):
        for sentence in dict.fromkeys(sentence for where, sentence in said if where == stratum):
            strata.setdefault(sentence, []).append(stratum)
    return tuple(_in_stratum(", ".join(where), sentence) for sentence, where in strata.items())


def _without_a_partner(tables: Sequence[PerformanceTable]) -> list[tuple[str, str]]:
    """By stratum, one sentence on all tables in which no fine-tuned model meets a de novo one."""
    sources: dict[str, list[str]] = {}
    for table in tables:
        if not any(arm_comparison.pairs for arm_comparison in table.arm_comparisons):
            sources.setdefault(table.stratum, []).extend([table.source] if table.source else [])
    return [
        (
            stratum,
            f"These data cannot say whether {fine_tuning_from(*names)} helps: the study does not have both "
            "arms, fine-tuned and de novo, at one size.",
        )
        for stratum, names in sources.items()
    ]


def _findings(table: PerformanceTable) -> list[str]:
    lines = {line.condition: line for line in table.lines}
    pairs = sorted(
        (pair for arm_comparison in table.arm_comparisons for pair in arm_comparison.pairs),
        key=lambda p: p[0].training_size,
    )
    findings = [_finding(table, lines[fine_tuned], lines[de_novo]) for fine_tuned, de_novo in pairs]
    for line in table.lines:
        if not line.condition.trained:
            untrained = ", untrained on the target" if line.condition.arm == "default" else ""
            findings.append(f"{_capital(line.condition.title())}{untrained}: {_both(line, 0)}.")
    largest = max((model.training_size for model in table.models), default=0)
    graded = {model: _graded(lines[model], table.unit) for model in table.models if model.training_size == largest}
    return findings + [
        f"{_capital(model.title())}, against Grader 2: {', '.join(told)}." for model, told in graded.items() if told
    ]


def _finding(table: PerformanceTable, fine_tuned: Line, de_novo: Line) -> str:
    tests = tests_between(table, fine_tuned.condition, de_novo.condition)
    n = tests["sensitivity"].n
    differences = ", ".join(f"{name} {_difference(tests[metric], table.unit)}" for metric, name in JUDGED)
    size = count_of(fine_tuned.condition.training_size, "labelled study")
    means = "; ".join(f"{line.condition.model} {_both(line, n)}" for line in (fine_tuned, de_novo))
    return f"{size}: {means}. Difference: {differences}."


def _graded(line: Line, unit: Unit) -> list[str]:
    """`sensitivity +0.02 (p = 0.614, n = 10 positions, not significant)` of each metric that was tested."""
    tests = ((name, line.measures[metric].against_rater) for metric, name in JUDGED)
    return [f"{name} {_difference(test, unit)}" for name, test in tests if test is not None]


def _both(line: Line, tested: int) -> str:
    """Both means of a model; with n where they rest on other studies than the `tested` pairs."""
    found, ppv = line.measures["sensitivity"].summary, line.measures["ppv"].summary
    if found.mean is None and ppv.mean is None:
        return "without results" if not found.undefined else "without a defined value"
    studies = "" if found.n == tested else f" (n = {count_of(found.n, 'study')})"
    return f"found {mean_se(found)} of the lesions with PPV {mean_se(ppv)}{studies}"


def _difference(effect: EffectRow, unit: Unit) -> str:
    if effect.p is None or effect.difference is None:
        return f"not testable ({effect.note})"
    n = f"n = {n_text([effect])} {counted(effect, unit)}"
    difference = f"{effect.difference:+.2f}".replace("-", "−")
    return f"{difference} ({p_words(effect)}, {n}, {'' if effect.significant else 'not '}significant)"


def _in_stratum(stratum: str, sentence: str) -> str:
    return f"{_capital(stratum)}: {sentence}" if stratum else sentence


def _capital(text: str) -> str:
    """The first letter alone, so that names keep theirs."""
    return text[:1].upper() + text[1:]
