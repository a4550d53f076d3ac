"""Collect what a reader must keep in mind: everything that limits these numbers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Literal

from lesionlab.analysis.methods.null import NullRate
from lesionlab.analysis.methods.student import LEAST_PATIENTS
from lesionlab.analysis.statistics.budget import BudgetCaution, budget_caution
from lesionlab.analysis.statistics.changes import Change
from lesionlab.analysis.statistics.conditions import Condition, Stratum
from lesionlab.analysis.statistics.elsewhere import TrainedElsewhere, trained_elsewhere
from lesionlab.analysis.statistics.learning import AimKind
from lesionlab.analysis.statistics.summary import Summary
from lesionlab.analysis.statistics.supplementary import Supplementary
from lesionlab.analysis.statistics.tables import PerformanceTable
from storage_schemas.metrics import PRIMARY, Metric

SMALL_N = 30
"""With fewer test studies than this the answer says that they are few."""

ENOUGH_FOLDS = 6
"""With fewer folds than this, as many as in the paper, the answer says that they are few."""

LEAST_COMPLETE = 6
"""An ANOVA over fewer studies with a value under every model gets a caution, and one over less than half of them."""


@dataclass(frozen=True)
class Preliminary:
    """Cells without results."""

    missing: int
    planned: int


@dataclass(frozen=True)
class NoMeaningYet:
    """So few studies were tested that the numbers show that the pipeline works, and nothing else."""

    studies: int


@dataclass(frozen=True)
class FewStudies:
    """The paired tests rest on few studies."""

    n: int


class General(Enum):
    """Cautions without numbers of their own."""

    NOT_SIGNIFICANT = auto()
    """Some test is not significant, which does not mean that there is no difference."""
    PATIENT_INTERVALS = auto()
    """Confidence intervals are over patients and exclude training variability."""
    SIMULATED = auto()
    """The test studies are simulated."""


@dataclass(frozen=True)
class UndefinedValues:
    """A metric of one model is undefined in some of its test studies."""

    stratum: Stratum
    summary: Summary


@dataclass(frozen=True)
class FewComplete:
    """The ANOVA rests on few studies, because it leaves out all without a value under one of the models."""

    stratum: Stratum
    metric: Metric
    complete: int
    tested: int


@dataclass(frozen=True)
class SharedPatients:
    """Several test studies are of the same patient."""

    studies: int
    patients: int


@dataclass(frozen=True)
class RaterReadFewer:
    """The second rater read fewer studies than the networks were tested on."""

    read: int
    tested: int


@dataclass(frozen=True)
class FewFolds:
    """Intervals that cover chance in training rest on few networks of each model."""

    folds: int


@dataclass(frozen=True)
class DefaultTestedOnFewer:
    """The default model was tested on a part of the studies only, so on other patients than the trained models."""

    source: str | None
    tested: int
    of: int


@dataclass(frozen=True)
class LearningRatesDiffer:
    """Arms that are compared were trained at different learning rates: fine-tuned, de novo."""

    rates: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class OtherCorrection:
    """Comparisons of the judged metrics that change under another correction or test."""

    by: Literal["holm", "welch"]
    changes: tuple[Change, ...]


@dataclass(frozen=True)
class Alarm:
    """A method whose simulated type I error is above 5 %."""

    stratum: Stratum
    metric: Metric
    rate: NullRate


Caution = (
    Preliminary
    | NoMeaningYet
    | FewStudies
    | General
    | UndefinedValues
    | FewComplete
    | SharedPatients
    | RaterReadFewer
    | FewFolds
    | DefaultTestedOnFewer
    | BudgetCaution
    | LearningRatesDiffer
    | OtherCorrection
    | Alarm
    | TrainedElsewhere
)


def cautions(
    tables: Sequence[PerformanceTable], supplementary: Supplementary, missing: int, planned: int, simulated: bool
) -> tuple[Caution, ...]:
    """Collect every caution that these numbers call for, each once."""
    found: list[Caution] = [Preliminary(missing, planned)] if missing else []
    found += _of_number(tables)
    for table in tables:
        found += _of_tests(table)
        found += _of_anovas(table)
        found += _of_undefined(table)
        found += _of_defaults(table)
    found += _of_patients(supplementary)
    found += _of_methods(supplementary)
    found += _of_training(tables, supplementary)
    models = [line.condition for table in tables for line in table.lines]
    found += trained_elsewhere(models, supplementary.options.declared)
    if simulated:
        found.append(General.SIMULATED)
    return tuple(dict.fromkeys(found))


def _of_number(tables: Sequence[PerformanceTable]) -> Iterable[Caution]:
    lines = [line for table in tables for line in table.lines if line.condition.trained]
    tested = max((line.measures[metric].summary.tested for line in lines for metric in PRIMARY), default=0)
    if 0 < tested < LEAST_PATIENTS:
        yield NoMeaningYet(tested)


def _of_tests(table: PerformanceTable) -> Iterable[Caution]:
    tests = [
        effect
        for line in table.lines
        for metric in PRIMARY
        for effect in line.measures[metric].between_methods.values()
    ]
    n = max((test.n for test in tests), default=0)
    if 0 < n < SMALL_N:
        yield FewStudies(n)
    if any(test.p is not None and not test.significant for test in tests):
        yield General.NOT_SIGNIFICANT


def _of_anovas(table: PerformanceTable) -> Iterable[Caution]:
    for effect in table.anovas:
        if effect.metric not in PRIMARY or effect.p is None or effect.tested is None:
            continue
        if effect.n < LEAST_COMPLETE or 2 * effect.n < effect.tested:
            yield FewComplete(effect.stratum, effect.metric, effect.n, effect.tested)


def _of_undefined(table: PerformanceTable) -> Iterable[Caution]:
    for line in table.lines:
        for metric in PRIMARY:
            summary = line.measures[metric].summary
            if summary.undefined:
                yield UndefinedValues(table.stratum, summary)


def _of_defaults(table: PerformanceTable) -> Iterable[Caution]:
    tested = {line.condition: line.measures["sensitivity"].summary.tested for line in table.lines}
    most = max((count for model, count in tested.items() if model.trained), default=0)
    for model, count in tested.items():
        if model.arm == "default" and 0 < count < most:
            yield DefaultTestedOnFewer(model.source, count, most)


def _of_patients(supplementary: Supplementary) -> Iterable[Caution]:
    most = max(supplementary.sizes, key=lambda paired: paired.n, default=None)
    if most is not None and most.size.patients < most.n:
        yield SharedPatients(most.n, most.size.patients)
    if any(paired.size.unit == "patient" and paired.size.interval for paired in supplementary.sizes):
        yield General.PATIENT_INTERVALS
    folds = [learned.clusters for learned in supplementary.learning if learned.unit == "fold"]
    if folds and max(folds) < ENOUGH_FOLDS:
        yield FewFolds(max(folds))
    for learned in supplementary.learning:
        read = learned.aim.n if learned.aim and learned.aim.kind is AimKind.RATER else None
        if read is not None and learned.studies > read:
            yield RaterReadFewer(read, learned.studies)


def _of_methods(supplementary: Supplementary) -> Iterable[Caution]:
    others: tuple[tuple[Literal["holm", "welch"], tuple[Change, ...]], ...] = (
        ("holm", supplementary.holm),
        ("welch", supplementary.welch),
    )
    for by, changed in others:
        judged = tuple(change for change in changed if change.before.metric in PRIMARY)
        if judged:
            yield OtherCorrection(by, judged)
    for test in supplementary.null:
        for rate in test.rates:
            if rate.alarming:
                yield Alarm(test.comparison.stratum, test.metric, rate)


def _of_training(tables: Sequence[PerformanceTable], supplementary: Supplementary) -> Iterable[Caution]:
    """What may explain a difference besides the arm and the number of studies."""
    trainings = supplementary.options.trainings
    trained = [line.condition for table in tables for line in table.lines if line.condition.trained]
    if not supplementary.budget and len({model.training_size for model in trained}) > 1:
        caution = budget_caution(trained, trainings)
        if caution is not None:
            yield caution

    def rate(model: Condition) -> float | None:
        training = trainings.get(model)
        return model.learning_rate if training is None else training.learning_rate

    pairs = [pair for table in tables for comparison in table.arm_comparisons for pair in comparison.pairs]
    rates = dict.fromkeys((rate(pair.model), rate(pair.other)) for pair in pairs)
    unlike = tuple((own, other) for own, other in rates if own and other and own != other)
    if unlike:
        yield LearningRatesDiffer(unlike)
