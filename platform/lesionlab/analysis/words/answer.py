"""The answer of an experiment, line by line."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lesionlab.analysis.statistics.answer import Answer, Finding, PairFinding, RaterFinding, UntrainedFinding
from lesionlab.analysis.statistics.cautions import Caution
from lesionlab.analysis.statistics.comparisons import Unit
from lesionlab.analysis.statistics.conditions import Stratum
from lesionlab.analysis.statistics.effects import Effect, PairedMeans
from lesionlab.analysis.statistics.summary import Summary
from lesionlab.analysis.words import budget, cautions, curves, headline, verdicts
from lesionlab.analysis.words.models import METRICS, RATER, model_name, model_title, stratum_name
from lesionlab.analysis.words.numbers import capital, count_of, mean_se, n_of, p_equals, signed
from lesionlab.analysis.words.reasons import note, undefined_for
from storage_schemas.metrics import PRIMARY

PAPERS_TESTS = "The paper's own tests"
STUDIES_NEEDED = "Labelled studies needed"
NUMBERS_BEHIND, KEEP_IN_MIND = "The numbers behind it", "Limitations"


@dataclass(frozen=True)
class AnswerText:
    """One line each."""

    headline: tuple[str, ...]
    """Three short sentences."""
    picture: tuple[str, ...]
    """The difference as lines of text, for a screen."""
    notes: tuple[str, ...]
    """What the intervals of the headline cover, when its endpoint was chosen, and cautions that belong beside it."""
    secondary: tuple[str, ...]
    paper: tuple[str, ...]
    """The verdicts of the paper's own tests."""
    curves: tuple[str, ...]
    """What each arm needs to reach a target."""
    findings: tuple[str, ...]
    cautions: tuple[str, ...]

    @property
    def unfolded(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """What is read after the headline: title and lines of each part that there is."""
        titled = (
            (headline.secondary_title(len(self.secondary)), self.secondary),
            (PAPERS_TESTS, self.paper),
            (STUDIES_NEEDED, self.curves),
            (NUMBERS_BEHIND, self.findings),
            (KEEP_IN_MIND, self.cautions),
        )
        return tuple((title, lines) for title, lines in titled if lines)

    def text(self) -> str:
        """Join all lines, for a screen."""
        parts = [line for title, lines in self.unfolded for line in (f"{title}:", *(f"  {line}" for line in lines))]
        return "\n".join([*self.headline, *self.picture, *(f"  {note}" for note in self.notes), *parts])


def answer_text(answer: Answer) -> AnswerText:
    """Write the whole answer."""
    return AnswerText(
        headline=headline.sentences(answer.headline),
        picture=headline.ruler(answer.headline),
        notes=(*headline.notes(answer.headline), *_sentences(answer.cautions, beside_headline=True)),
        secondary=headline.secondary(answer.headline.endpoints),
        paper=_by_stratum(
            [
                *((one.stratum, verdicts.one_arm_only(one)) for one in answer.open),
                *((verdict.stratum, verdicts.sentence(verdict)) for verdict in answer.verdicts),
            ]
        ),
        curves=_by_stratum([(own.learned.stratum, curves.sentences(own)) for own in answer.curves]),
        findings=(
            *(_in_stratum(stratum_name(finding.stratum), _finding(finding)) for finding in answer.findings),
            *_by_stratum([(own.learned.stratum, curves.sentences_of_few(own)) for own in answer.curves_of_few]),
            *map(budget.sentences, answer.budget),
        ),
        cautions=_sentences(answer.cautions, beside_headline=False),
    )


def counted(effect: Effect, unit: Unit) -> str:
    """What n is of: tested studies, or positions in the test subset, each averaged over the folds."""
    return "positions" if effect.test == "unpaired-t" and unit == "fold-averaged" else "studies"


def _sentences(found: Iterable[Caution], *, beside_headline: bool) -> tuple[str, ...]:
    chosen = (one for one in found if isinstance(one, cautions.BESIDE_HEADLINE) is beside_headline)
    return tuple(dict.fromkeys(map(cautions.sentence, chosen)))


def _by_stratum(said: Sequence[tuple[Stratum, str]]) -> tuple[str, ...]:
    """Put the sentences of a stratum together; what holds in several strata is said once."""
    strata: dict[str, list[str]] = {}
    for stratum in dict.fromkeys(stratum for stratum, _ in said):
        for sentence in dict.fromkeys(sentence for where, sentence in said if where == stratum):
            strata.setdefault(sentence, []).append(stratum_name(stratum))
    return tuple(_in_stratum(", ".join(filter(None, where)), sentence) for sentence, where in strata.items())


def _in_stratum(stratum: str, sentence: str) -> str:
    return f"{capital(stratum)}: {sentence}" if stratum else sentence


def _finding(finding: Finding) -> str:
    if isinstance(finding, PairFinding):
        return _pair(finding)
    if isinstance(finding, UntrainedFinding):
        model = finding.line.condition
        untrained = ", not trained on the target" if model.arm == "default" else ""
        means = _means([finding.line.measures[metric].summary for metric in PRIMARY])
        name = model_title(model) if model.arm == "other" else capital(model_title(model))
        return f"{name}{untrained}: {means}."
    return _versus_rater(finding)


def _pair(finding: PairFinding) -> str:
    size = count_of(finding.pair.model.training_size, "labelled study")
    paired = [test.paired for test in finding.tests.values() if test.paired is not None]
    arms = ([means.model for means in paired], [means.other for means in paired])
    means = "; ".join(f"{model_name(model)}, {_means(own)}" for model, own in zip(finding.pair, arms, strict=True))
    lost = [f" {_lost(means)}." for means in paired if means.lost.total]
    return f"{size}: {means}. Difference: {_differences(finding.tests.values(), finding.unit)}.{''.join(lost)}"


def _lost(means: PairedMeans) -> str:
    """`PPV leaves out 3 of 12 studies: undefined for fine-tuned in 2, for both in 1`."""
    tested = count_of(means.model.n + means.lost.total, "study")
    metric = METRICS[means.model.metric]
    return f"{capital(metric)} leaves out {means.lost.total} of {tested}: {undefined_for(means.lost)}"


def _versus_rater(finding: RaterFinding) -> str:
    name = capital(model_title(finding.model))
    return f"{name}, versus {RATER}: {_differences(finding.tests.values(), finding.unit)}."


def _means(summaries: Sequence[Summary]) -> str:
    """`sensitivity 0.55 ± 0.02 (n = 60), PPV 0.66 ± 0.02 (n = 52)`."""
    if not any(summary.n for summary in summaries):
        return "no defined value" if any(summary.undefined for summary in summaries) else "no results"
    return ", ".join(f"{METRICS[summary.metric]} {mean_se(summary)} (n = {summary.n})" for summary in summaries)


def _differences(tests: Iterable[Effect], unit: Unit) -> str:
    return ", ".join(f"{METRICS[test.metric]} {_difference(test, unit)}" for test in tests)


def _difference(effect: Effect, unit: Unit) -> str:
    """`+0.02 (p = 0.614, n = 10 positions, not significant)`."""
    if effect.p is None or effect.difference is None:
        return f"not testable ({note(effect)})"
    significant = "significant" if effect.significant else "not significant"
    n = f"n = {n_of([effect])} {counted(effect, unit)}"
    return f"{signed(effect.difference, 2)} ({p_equals(effect.p)}, {n}, {significant})"
