"""Tables and what is missing in; the study's answer in plain words out, as cautious as the numbers are.

Every sentence is computed: what was not tested is not claimed, what cannot be answered is said to be open.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lesionlab.analysis.comparisons import pairs_of_methods
from lesionlab.analysis.conditions import Condition, Metric, count_of
from lesionlab.analysis.tables import Line, PerformanceTable, mean_se, p_words
from storage_schemas.results import EffectRow

SMALL_N = 30
"""Below this many test studies the answer says that they are few."""

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


def answer(tables: Sequence[PerformanceTable], missing: int, planned: int, simulated: bool) -> Answer:
    """The answer from one table per default model; `missing` of the `planned` cells have no results yet."""
    cautions = []
    if missing:
        cautions.append(f"Preliminary: {missing} of {planned} cells have no results yet.")
    for table in tables:
        cautions += _cautions(table)
    if simulated:
        cautions.append("The studies are simulated: this tests the method, and says nothing about patients.")
    return Answer(
        verdicts=tuple(_verdict(table) for table in tables),
        findings=tuple(line for table in tables for line in _findings(table)),
        cautions=tuple(dict.fromkeys(cautions)),
    )


def _verdict(table: PerformanceTable) -> str:
    lines, pairs = _pairs(table)
    if not pairs:
        return (
            "These data cannot say whether fine-tuning helps: the study does not have both arms, "
            "fine-tuned and de novo, at one size."
        )
    testable = [tuned for tuned, _ in pairs if any(_test(lines[tuned], metric).p is not None for metric, _ in _JUDGED)]
    if not testable:
        reasons = dict.fromkeys(_test(lines[pairs[-1][0]], metric).note for metric, _ in _JUDGED)
        return (
            f"These data cannot say whether fine-tuning from {table.source} helps: at no training size could it be "
            f"tested against de novo training ({'; '.join(reasons)})."
        )
    largest = testable[-1]
    n = max(_test(lines[largest], metric).n for metric, _ in _JUDGED)
    return (
        f"With {count_of(largest.training_size, 'labelled study')}, fine-tuning from {table.source} "
        f"{_judgement(lines[largest])}, compared with de novo training (paired over {count_of(n, 'test study')})."
    )


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
            f"fine-tuned from {tuned.source} {_both(lines[tuned], tested)}; de novo {_both(lines[fresh], tested)}. "
            f"Difference: {', '.join(f'{name} {_difference(effect)}' for name, effect in effects)}."
        )
    findings += [
        f"{line.condition.title().capitalize()}, untrained on the target: {_both(line, 0)}."
        for line in table.lines
        if line.condition.arm == "default"
    ]
    return findings + _saving(lines, pairs)


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


def _saving(lines: dict[Condition, Line], pairs: Sequence[tuple[Condition, Condition]]) -> list[str]:
    """Whether fewer labelled studies do, by the means alone; only where all means are over equally many studies."""
    models = [model for pair in pairs for model in pair]
    behind = {lines[model].measures[metric].summary.n for model in models for metric, _ in _JUDGED}
    if len(pairs) < 2 or len(behind) > 1 or min(behind) < 2:
        return []
    *_, (_, full) = pairs

    def reaches(tuned: Condition) -> bool:
        return all(_mean(lines[tuned], metric) >= _mean(lines[full], metric) for metric, _ in _JUDGED)

    enough = next((tuned for tuned, _ in pairs[:-1] if reaches(tuned)), None)
    de_novo = f"de novo training with {count_of(full.training_size, 'study')}"
    if enough is None:
        return [f"With fewer studies, fine-tuning from {pairs[0][0].source} did not reach both means of {de_novo}."]
    return [
        f"By the means alone (no test), fine-tuning from {enough.source} with "
        f"{count_of(enough.training_size, 'study')} did at least as well in sensitivity and PPV as {de_novo}."
    ]


def _mean(line: Line, metric: Metric) -> float:
    mean = line.measures[metric].summary.mean
    assert mean is not None, "a model with at least two values has a mean"
    return mean


def _cautions(table: PerformanceTable) -> list[str]:
    lines, pairs = _pairs(table)
    cautions = []
    tests = [_test(lines[tuned], metric) for tuned, _ in pairs for metric, _ in _JUDGED]
    n = max((test.n for test in tests), default=0)
    if 0 < n < SMALL_N:
        cautions.append(f"Few test studies (n = {n}): intervals are wide, and single studies weigh much.")
    if any(test.p is not None and not test.significant for test in tests):
        cautions.append("Not significant means not shown; it does not mean that there is no difference.")
    for line in table.lines:
        for metric, name in _JUDGED:
            summary = line.measures[metric].summary
            if summary.undefined:
                why = "no lesion predicted" if metric == "ppv" else "no lesion in the reference"
                cautions.append(
                    f"{name} of {line.condition.title()}: undefined in {summary.undefined} of "
                    f"{summary.undefined + summary.n} studies ({why}), which are left out of its mean."
                )
    return cautions


def _pairs(table: PerformanceTable) -> tuple[dict[Condition, Line], list[tuple[Condition, Condition]]]:
    """Lines by model, and the fine-tuned and de novo models that meet, by size."""
    lines = {line.condition: line for line in table.lines}
    return lines, sorted(pairs_of_methods(list(lines)), key=lambda pair: pair[0].training_size)


def _test(tuned: Line, metric: Metric) -> EffectRow:
    effect = tuned.measures[metric].between_methods
    assert effect is not None, "every fine-tuned model with a de novo partner has a paired test"
    return effect
