"""Tables, what stands beside them and what is missing in; the study's answer in plain words out, as cautious as the
numbers are.

Every sentence is computed: what was not tested is not claimed, what cannot be answered is said to be open.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lesionlab.analysis.statistics.beside import Beside
from lesionlab.analysis.statistics.cautions import cautions
from lesionlab.analysis.statistics.comparisons import pairs_of_methods
from lesionlab.analysis.statistics.conditions import Condition, Metric, count_of
from lesionlab.analysis.statistics.tables import Line, Measure, PerformanceTable, mean_se, p_words
from storage_schemas.results import EffectRow

LEAST_PATIENTS = 6
"""For a verdict. With fewer, not even a sign test could find a difference at 5 % where every patient speaks for the
same arm (2 · 0.5⁵ = 0.06): a significant t test would rest on the normal distribution alone."""

_JUDGED: tuple[tuple[Metric, str], ...] = (("sensitivity", "sensitivity"), ("ppv", "PPV"))


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
                *((table.setting, _verdict(table, beside)) for table in tables if _pairs(table)[1]),
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
        if not _pairs(table)[1]:
            sources.setdefault(table.setting, []).extend([table.source] if table.source else [])
    return [
        (
            setting,
            f"These data cannot say whether fine-tuning{_from(', '.join(names))} helps: the study does not have both "
            "arms, fine-tuned and de novo, at one size.",
        )
        for setting, names in sources.items()
    ]


def _verdict(table: PerformanceTable, beside: Beside) -> str:
    lines, pairs = _pairs(table)
    helps = f"whether fine-tuning{_from(table.source)} helps"
    testable = [tuned for tuned, _ in pairs if any(_test(lines[tuned], metric).p is not None for metric, _ in _JUDGED)]
    if not testable:
        reasons = dict.fromkeys(_test(lines[pairs[-1][0]], metric).note for metric, _ in _JUDGED)
        return (
            f"These data cannot say {helps}: at no training size could it be tested against de novo training "
            f"({'; '.join(reasons)})."
        )
    largest = testable[-1]
    patients = _patients(_test(lines[largest], "sensitivity"), beside)
    if patients < LEAST_PATIENTS:
        return (
            f"These data cannot say {helps}: both arms were tested on {patients} "
            f"{'patient' if patients == 1 else 'patients'}, and a verdict needs {LEAST_PATIENTS} at least."
        )
    n = max(_test(lines[largest], metric).n for metric, _ in _JUDGED)
    return (
        f"With {count_of(largest.training_size, 'labelled study')}, fine-tuning{_from(table.source)} "
        f"{_judgement(lines[largest])}, compared with de novo training (paired over {count_of(n, 'test study')})."
    )


def _patients(effect: EffectRow, beside: Beside) -> int:
    """Patients with a pair of values, of whichever metric has more of them."""
    same = (effect.setting, effect.comparison, effect.training_size)
    found = [paired for paired in beside.sizes if (paired.setting, paired.comparison, paired.training_size) == same]
    return max((paired.size.patients for paired in found), default=0)


def _judgement(tuned: Line) -> str:
    """`had significantly higher sensitivity and PPV`, or whatever the two tests allow to say."""
    said: dict[str, list[str]] = {}
    for metric, name in _JUDGED:
        said.setdefault(_outcome(_test(tuned, metric)), []).append(name)
    return " and ".join(f"{outcome} {' and '.join(names)}" for outcome, names in said.items())


def _outcome(effect: EffectRow) -> str:
    if effect.p is None or effect.difference is None:
        return "could not be tested in"
    if not effect.significant:
        return "showed no significant difference in"
    return f"had significantly {'higher' if effect.difference > 0 else 'lower'}"


def _findings(table: PerformanceTable) -> list[str]:
    lines, pairs = _pairs(table)
    findings = []
    for tuned, fresh in pairs:
        effects = [(name, _test(lines[tuned], metric)) for metric, name in _JUDGED]
        tested = effects[0][1].n
        findings.append(
            f"{count_of(tuned.training_size, 'labelled study')}: "
            f"{tuned.model} {_both(lines[tuned], tested)}; {fresh.model} {_both(lines[fresh], tested)}. "
            f"Difference: {', '.join(f'{name} {_difference(effect)}' for name, effect in effects)}."
        )
    for line in table.lines:
        if not line.condition.trained:
            untrained = ", untrained on the target" if line.condition.arm == "default" else ""
            findings.append(f"{_capital(line.condition.title())}{untrained}: {_both(line, 0)}.")
    largest = max((line.condition.training_size for line in table.lines), default=0)
    graded = [line for line in table.lines if line.condition.training_size == largest and _graded(line)]
    return findings + [
        f"{_capital(line.condition.title())}, against Grader 2: {', '.join(_graded(line))}." for line in graded
    ]


def _graded(line: Line) -> list[str]:
    """`sensitivity +0.02 (p = 0.614, n = 10, not significant)` of each metric that has a test against Grader 2."""
    measures: list[tuple[str, Measure]] = [(name, line.measures[metric]) for metric, name in _JUDGED]
    return [f"{name} {_difference(m.against_grader)}" for name, m in measures if m.against_grader is not None]


def _both(line: Line, tested: int) -> str:
    """Both means of a model; with n where they rest on other studies than the `tested` pairs."""
    found, ppv = line.measures["sensitivity"].summary, line.measures["ppv"].summary
    if found.mean is None and ppv.mean is None:
        return "without results" if not found.undefined else "without a defined value"
    studies = "" if found.n == tested else f" (n = {found.n})"
    return f"found {mean_se(found)} of the lesions with PPV {mean_se(ppv)}{studies}"


def _difference(effect: EffectRow) -> str:
    if effect.p is None or effect.difference is None:
        return f"not testable ({effect.note})"
    judged = "significant" if effect.significant else "not significant"
    return f"{effect.difference:+.2f} ({p_words(effect)}, n = {effect.n}, {judged})"


def _pairs(table: PerformanceTable) -> tuple[dict[Condition, Line], list[tuple[Condition, Condition]]]:
    """Lines by model, and the fine-tuned and de novo models that meet, by size."""
    lines = {line.condition: line for line in table.lines}
    return lines, sorted(pairs_of_methods(list(lines)), key=lambda pair: pair[0].training_size)


def _test(tuned: Line, metric: Metric) -> EffectRow:
    effect = tuned.measures[metric].between_methods
    assert effect is not None, "every fine-tuned model with a de novo partner has a paired test"
    return effect


def _from(source: str | None) -> str:
    return f" from {source}" if source else ""


def _in_setting(setting: str, sentence: str) -> str:
    return f"{_capital(setting)}: {sentence}" if setting else sentence


def _capital(text: str) -> str:
    """The first letter alone, so that names keep theirs."""
    return text[:1].upper() + text[1:]
