"""Tables and what stands beside them in; what a reader must keep in mind, one sentence each, out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lesionlab.analysis.methods.intervals import LEAST_CLUSTERS
from lesionlab.analysis.statistics.budget import budget_caution
from lesionlab.analysis.statistics.changes import Change
from lesionlab.analysis.statistics.conditions import Condition, Metric
from lesionlab.analysis.statistics.supplementary import Supplementary
from lesionlab.analysis.statistics.tables import PerformanceTable
from storage_schemas.results import EffectRow

SMALL_N = 30
"""Below this many test studies the answer says that they are few."""

_WHY_UNDEFINED: dict[Metric, tuple[str, str]] = {
    "sensitivity": ("sensitivity", "no lesion in the reference"),
    "ppv": ("PPV", "no lesion predicted"),
}


def cautions(
    tables: Sequence[PerformanceTable], supplementary: Supplementary, missing: int, planned: int, simulated: bool
) -> tuple[str, ...]:
    """Every caution that these numbers call for, each once."""
    found = [f"Preliminary: {missing} of {planned} cells have no results yet."] if missing else []
    for table in tables:
        found += _of_tests(table)
        found += _of_undefined(table, supplementary)
    found += _of_patients(supplementary)
    found += _of_methods(supplementary)
    found += _of_training(tables, supplementary)
    if simulated:
        found.append("The studies are simulated: this tests the method, and says nothing about patients.")
    return tuple(dict.fromkeys(found))


def _of_tests(table: PerformanceTable) -> Iterable[str]:
    tests = [
        effect
        for line in table.lines
        for metric in _WHY_UNDEFINED
        for effect in line.measures[metric].between_methods.values()
    ]
    n = max((test.n for test in tests), default=0)
    if 0 < n < SMALL_N:
        yield f"Few test studies (n = {n}): intervals are wide, and single studies weigh much."
    if any(test.p is not None and not test.significant for test in tests):
        yield "Not significant means not shown; it does not mean that there is no difference."


def _of_undefined(table: PerformanceTable, supplementary: Supplementary) -> Iterable[str]:
    counted = "count as 0" if supplementary.options.undefined == "worst" else "are left out of its mean"
    stratum = f" ({table.stratum})" if table.stratum else ""
    for line in table.lines:
        for metric, (name, why) in _WHY_UNDEFINED.items():
            summary = line.measures[metric].summary
            if summary.undefined:
                tested = summary.n if supplementary.options.undefined == "worst" else summary.n + summary.undefined
                yield (
                    f"{name} of {line.condition.title()}{stratum}: undefined in {summary.undefined} of {tested} "
                    f"studies ({why}), which {counted}."
                )


def _of_patients(supplementary: Supplementary) -> Iterable[str]:
    most = max(supplementary.sizes, key=lambda paired: paired.n, default=None)
    if most is not None and most.size.patients < most.n:
        yield (
            f"The {most.n} test studies are of {most.size.patients} patients: the paper's tests take them for "
            "independent; the intervals and the mixed model do not."
        )
    if any(paired.size.unit == "patient" and paired.size.interval for paired in supplementary.sizes):
        yield (
            "The intervals are over patients, and hold for these very networks: with fewer than "
            f"{LEAST_CLUSTERS} folds, or patients tested in several, the chance of training is not in them."
        )
    for learned in supplementary.learning:
        graded = learned.aim.n if learned.aim and learned.aim.name == "Grader 2" else None
        if graded is not None and learned.studies > graded:
            yield (
                f"Grader 2 read {graded} studies, the networks were tested on {learned.studies}: that some patients "
                "are easier than others is in the intervals, and where a curve meets Grader 2 is less sure for it."
            )


def _of_training(tables: Sequence[PerformanceTable], supplementary: Supplementary) -> Iterable[str]:
    """What may lie behind a difference besides the arm and the number of studies."""
    trainings = supplementary.options.trainings
    trained = [line.condition for table in tables for line in table.lines if line.condition.trained]
    if not supplementary.budget and len({model.training_size for model in trained}) > 1:
        yield from filter(None, [budget_caution(trained, trainings)])

    def rate(model: Condition) -> float | None:
        training = trainings.get(model)
        return model.learning_rate if training is None else training.learning_rate

    pairs = [pair for table in tables for arm_comparison in table.arm_comparisons for pair in arm_comparison.pairs]
    rates = dict.fromkeys((rate(fine_tuned), rate(de_novo)) for fine_tuned, de_novo in pairs)
    unlike = [f"{own:g} against {other:g}" for own, other in rates if own and other and own != other]
    if unlike:
        yield (
            f"Fine-tuned and de novo also differ in learning rate ({'; '.join(unlike)}): what differs between them may "
            "be due to that."
        )


def _of_methods(supplementary: Supplementary) -> Iterable[str]:
    yield from _otherwise("After Holm's correction in place of Bonferroni's", supplementary.holm)
    yield from _otherwise("By Welch's test in place of the pooled one", supplementary.welch)
    for test in supplementary.null:
        for rate in test.rates:
            if rate.alarming:
                stratum = f", {test.stratum}" if test.stratum else ""
                yield (
                    f"{_WHY_UNDEFINED[test.metric][0]}{stratum}: at the variances found here, "
                    f"{rate.rate:.0%} [{rate.low:.0%}, {rate.high:.0%}] of {rate.repetitions} simulated studies "
                    f"without any effect come out significant by this method: {rate.method}."
                )


def _otherwise(how: str, changed: Sequence[Change]) -> Iterable[str]:
    judged = [change for change in changed if change.before.metric in _WHY_UNDEFINED]
    if judged:
        told = "; ".join(f"{_compared(change.before)} {', '.join(change.what)}" for change in judged)
        yield f"{how}: {told}."


def _compared(effect: EffectRow) -> str:
    size = f" at N = {effect.training_size}" if effect.training_size else ""
    stratum = f" ({effect.stratum})" if effect.stratum else ""
    return f"{_WHY_UNDEFINED[effect.metric][0]} of {effect.comparison}{size}{stratum}:"
