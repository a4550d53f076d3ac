"""Tables, what stands beside them and what is missing in; the study's answer in plain words out, as cautious as the
numbers are.

Every sentence is computed: what was not tested is not claimed, what cannot be answered is said to be open.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lesionlab.analysis.statistics.beside import Beside
from lesionlab.analysis.statistics.cautions import cautions
from lesionlab.analysis.statistics.comparisons import Unit
from lesionlab.analysis.statistics.conditions import count_of
from lesionlab.analysis.statistics.counts import counted, n_text
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


def answer(tables: Sequence[PerformanceTable], beside: Beside, missing: int, planned: int, simulated: bool) -> Answer:
    """The answer from all tables of a study; `missing` of the `planned` cells have no results yet."""
    enough = [learned for learned in beside.learning if learned.patients >= LEAST_PATIENTS]
    few = [learned for learned in beside.learning if learned.patients < LEAST_PATIENTS]
    return Answer(
        verdicts=_by_setting(
            [
                *_without_a_partner(tables),
                *((table.setting, verdict) for table in tables for verdict in verdicts(table, beside)),
                *((learned.setting, learned.text()) for learned in enough),
            ]
        ),
        findings=tuple(_in_setting(table.setting, line) for table in tables for line in _findings(table))
        + _by_setting(
            [
                (learned.setting, f"{learned.text()} Fewer than {LEAST_PATIENTS} patients: no verdict.")
                for learned in few
            ]
        )
        + tuple(f"Budget control: {control.text()}" for control in beside.budget),
        cautions=cautions(tables, beside, missing, planned, simulated),
    )


def _by_setting(said: Sequence[tuple[str, str]]) -> tuple[str, ...]:
    """Sentences of the same setting together; what holds in several settings is said once."""
    settings: dict[str, list[str]] = {}
    for setting in dict.fromkeys(setting for setting, _ in said):
        for sentence in dict.fromkeys(sentence for where, sentence in said if where == setting):
            settings.setdefault(sentence, []).append(setting)
    return tuple(_in_setting(", ".join(where), sentence) for sentence, where in settings.items())


def _without_a_partner(tables: Sequence[PerformanceTable]) -> list[tuple[str, str]]:
    """By setting, one sentence on all tables in which no fine-tuned model meets a de novo one."""
    sources: dict[str, list[str]] = {}
    for table in tables:
        if not any(contest.pairs for contest in table.contests):
            sources.setdefault(table.setting, []).extend([table.source] if table.source else [])
    return [
        (
            setting,
            f"These data cannot say whether {fine_tuning_from(*names)} helps: the study does not have both "
            "arms, fine-tuned and de novo, at one size.",
        )
        for setting, names in sources.items()
    ]


def _findings(table: PerformanceTable) -> list[str]:
    lines = {line.condition: line for line in table.lines}
    pairs = sorted((pair for contest in table.contests for pair in contest.pairs), key=lambda p: p[0].training_size)
    findings = [_finding(table, lines[tuned], lines[fresh]) for tuned, fresh in pairs]
    for line in table.lines:
        if not line.condition.trained:
            untrained = ", untrained on the target" if line.condition.arm == "default" else ""
            findings.append(f"{_capital(line.condition.title())}{untrained}: {_both(line, 0)}.")
    largest = max((model.training_size for model in table.models), default=0)
    graded = {model: _graded(lines[model], table.unit) for model in table.models if model.training_size == largest}
    return findings + [
        f"{_capital(model.title())}, against Grader 2: {', '.join(told)}." for model, told in graded.items() if told
    ]


def _finding(table: PerformanceTable, tuned: Line, fresh: Line) -> str:
    tests = tests_between(table, tuned.condition, fresh.condition)
    n = tests["sensitivity"].n
    differences = ", ".join(f"{name} {_difference(tests[metric], table.unit)}" for metric, name in JUDGED)
    return (
        f"{count_of(tuned.condition.training_size, 'labelled study')}: {tuned.condition.model} {_both(tuned, n)}; "
        f"{fresh.condition.model} {_both(fresh, n)}. Difference: {differences}."
    )


def _graded(line: Line, unit: Unit) -> list[str]:
    """`sensitivity +0.02 (p = 0.614, n = 10 positions, not significant)` of each metric that was tested."""
    tests = ((name, line.measures[metric].against_grader) for metric, name in JUDGED)
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


def _in_setting(setting: str, sentence: str) -> str:
    return f"{_capital(setting)}: {sentence}" if setting else sentence


def _capital(text: str) -> str:
    """The first letter alone, so that names keep theirs."""
    return text[:1].upper() + text[1:]
