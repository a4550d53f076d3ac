"""Rows and comparisons of a study in; all that we set beside the paper's own statistics out, as one named result.

Nothing here is the paper's: effect sizes with intervals, a mixed model, other corrections, the type-I error of each
method at the variances found, learning curves with the studies that they need, and the budget control. Chance is
seeded: the same rows give the same bytes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lesionlab.analysis.methods.intervals import EffectSize, paired_effect
from lesionlab.analysis.methods.mixed import MixedModel, fit_mixed
from lesionlab.analysis.methods.null import NullDesign, NullRate, null_rates
from lesionlab.analysis.methods.student import ALPHA, significant
from lesionlab.analysis.statistics.budget import BudgetControl, budget_controls
from lesionlab.analysis.statistics.changes import Change, changes
from lesionlab.analysis.statistics.comparisons import pairs_of_methods, versus
from lesionlab.analysis.statistics.conditions import (
    METRICS,
    Condition,
    Group,
    Metric,
    condition_of,
    conditions,
    groups,
    rows_by_condition,
    values_by_study,
)
from lesionlab.analysis.statistics.contests import Contest, contests, observations
from lesionlab.analysis.statistics.learning import Learning, learning
from lesionlab.analysis.statistics.rows import Row
from storage_schemas.results import EffectRow
from storage_schemas.runs import Cell
from storage_schemas.studies import Goal, Undefined

JUDGED: tuple[Metric, ...] = ("sensitivity", "ppv")
"""The paper's metrics: the null test is asked for these."""

NULL_REPETITIONS = 20
"""Enough to see a method that is wrong several times too often; 200 tell 5 % from 10 %, in a minute or so."""


@dataclass(frozen=True)
class Options:
    """What the study declares, and how much chance is spent."""

    undefined: Undefined = "exclude"
    goal: Goal | None = None
    null_repetitions: int = NULL_REPETITIONS
    """0: the null test is left out."""
    seed: int = 0


@dataclass(frozen=True)
class PairedSize:
    """How large the difference of fine-tuned and de novo is at one training size."""

    setting: str
    metric: Metric
    comparison: str
    """As EffectRow.comparison."""
    training_size: int
    n: int
    """Pairs."""
    size: EffectSize


@dataclass(frozen=True)
class Fitted:
    """The mixed model of one contest."""

    setting: str
    metric: Metric
    comparison: str
    model: MixedModel


@dataclass(frozen=True)
class NullTest:
    """How often each method finds an effect where there is none, in a design and with variances like this study's."""

    setting: str
    metric: Metric
    comparison: str
    design: NullDesign | None
    rates: tuple[NullRate, ...]
    note: str = ""
    """Why it was not run; empty where it was."""


@dataclass(frozen=True)
class Beside:
    """All of it."""

    options: Options
    sizes: tuple[PairedSize, ...]
    mixed: tuple[Fitted, ...]
    holm: tuple[Change, ...]
    """Comparisons that Holm's correction judges otherwise than Bonferroni's."""
    welch: tuple[Change, ...]
    """Unpaired comparisons that end otherwise without pooled variances."""
    null: tuple[NullTest, ...]
    learning: tuple[Learning, ...]
    budget: tuple[BudgetControl, ...]
    """Empty where the study did not vary its budget in both epochs and steps; see budget.NOT_RUN."""


def beside(
    rows: Iterable[Row], planned: Iterable[Cell | Row], effects: Sequence[EffectRow], options: Options
) -> Beside:
    """Everything beside the paper; `effects` are the comparisons of the same rows."""
    by_condition = rows_by_condition(rows)
    found = groups(conditions(planned))
    fitted = [
        (contest, metric, fit_mixed(observations(by_condition, contest, metric, options.undefined)))
        for group in found
        for contest in contests(group)
        for metric in METRICS
    ]
    return Beside(
        options=options,
        sizes=tuple(_sizes(by_condition, found, options)),
        mixed=tuple(Fitted(contest.setting, metric, contest.name, model) for contest, metric, model in fitted),
        holm=changes(effects, [_by_holm(effect) for effect in effects]),
        welch=changes(effects, [_by_welch(effect) for effect in effects]),
        null=tuple(
            _null_test(by_condition, contest, metric, model, options)
            for contest, metric, model in fitted
            if metric in JUDGED and options.null_repetitions
        ),
        learning=learning(by_condition, found, options.goal, options.undefined, options.seed),
        budget=budget_controls(fitted),
    )


def _sizes(
    by_condition: Mapping[Condition, Sequence[Row]], found: Sequence[Group], options: Options
) -> Iterable[PairedSize]:
    for group in found:
        for tuned, fresh in pairs_of_methods(group.trained):
            for metric in METRICS:
                differences = _differences(by_condition, tuned, fresh, metric, options.undefined)
                size = paired_effect(differences, np.random.default_rng(options.seed))
                if size is not None:
                    n = sum(map(len, differences.values()))
                    yield PairedSize(group.setting, metric, versus(tuned, fresh), tuned.training_size, n, size)


def _differences(
    by_condition: Mapping[Condition, Sequence[Row]],
    tuned: Condition,
    fresh: Condition,
    metric: Metric,
    undefined: Undefined,
) -> dict[str, list[float]]:
    """Fine-tuned − de novo of every study that has both, by patient."""
    first, second = (
        values_by_study(by_condition.get(condition, ()), condition, metric, undefined) for condition in (tuned, fresh)
    )
    patient_of = {row.study: row.patient for row in by_condition.get(tuned, ())}
    differences = defaultdict(list)
    for study, value in first.items():
        other = second.get(study)
        if value is not None and other is not None:
            differences[patient_of[study]].append(value - other)
    return dict(differences)


def _by_holm(effect: EffectRow) -> EffectRow:
    # What Bonferroni finds, Holm finds too: at the very limit rounding must not say otherwise.
    found = effect.significant or (effect.p_holm is not None and effect.p_holm <= ALPHA)
    return effect.model_copy(update={"significant": found})


def _by_welch(effect: EffectRow) -> EffectRow:
    if effect.test != "unpaired-t":
        return effect
    p, family = effect.p_welch, effect.family
    corrected = None if p is None else min(1.0, p * family)
    return effect.model_copy(update={"p": p, "p_bonferroni": corrected, "significant": significant(p, family)})


def _null_test(
    by_condition: Mapping[Condition, Sequence[Row]],
    contest: Contest,
    metric: Metric,
    model: MixedModel,
    options: Options,
) -> NullTest:
    rows = [row for condition in contest.conditions for row in by_condition.get(condition, ())]
    note = _why_not(rows, contest, model)
    if note:
        return NullTest(contest.setting, metric, contest.name, None, (), f"null test not run: {note}")
    folds = len({row.fold for row in rows})
    design = NullDesign(
        subsets=folds,
        subset_size=max(1, round(len({row.study for row in rows}) / folds)),
        sizes=tuple(sorted({row.training_size for row in rows})),
        patient_sd=model.sd.get("patient", 0.0),
        training_set_sd=model.sd.get("training_set", 0.0),
        network_sd=model.sd.get("network", 0.0),
        residual_sd=model.sd["residual"],
    )
    rates = null_rates(design, options.null_repetitions, np.random.default_rng(options.seed))
    asked = any(condition.arm == "default" for condition in by_condition)
    kept = tuple(rate for rate in rates if asked or "default" not in rate.method)
    return NullTest(contest.setting, metric, contest.name, design, kept)


def _why_not(rows: Sequence[Row], contest: Contest, model: MixedModel) -> str:
    """Why the study is not like the rotation that the null test draws; empty where it is."""
    if not contest.tuned or not contest.fresh:
        return "it asks for both arms, fine-tuned and de novo"
    if "residual" not in model.sd:
        return f"the variances are not known ({model.note})"
    tested = [(condition_of(row), row.seed, row.study) for row in rows]
    if len(set(tested)) < len(tested) or len({(row.study, row.fold) for row in rows}) > len({r.study for r in rows}):
        return "a study is tested in several folds, and it draws designs that test each study once"
    return ""
