"""Judge the primary endpoint, on which the verdict rests, and the secondary ones beside it.

An endpoint is one metric of one arm comparison, over all training sizes that both arms share. Significance is claimed
by the mixed model with training subset × arm alone (see methods.overlap), whose type I error is at most 7 % whether
networks of different folds are independent or share what they learn from common training studies. Where its design
does not support that model there is an interval, and no significance is claimed; nor is it before every cell of the
comparison has results, or the verdict would depend on when somebody looks.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto
from itertools import product

from lesionlab.analysis.methods.intervals import Covers, EffectSize, Interval, Origin, paired_effect
from lesionlab.analysis.methods.mixed import FixedEffect, MixedModel, NotFitted
from lesionlab.analysis.methods.overlap import fit_overlapping
from lesionlab.analysis.methods.student import ALPHA, LEAST_PATIENTS, holm
from lesionlab.analysis.statistics.arm_comparisons import ArmComparison, arm_comparisons, observations
from lesionlab.analysis.statistics.conditions import (
    Condition,
    Place,
    Stratum,
    conditions,
    groups,
    places,
    rows_by_condition,
    value_of,
    values_by_study,
)
from lesionlab.analysis.statistics.effects import MissingCells, Pair
from lesionlab.analysis.statistics.origins import study_origins
from lesionlab.analysis.statistics.rows import Row
from lesionlab.analysis.statistics.supplementary import Options
from storage_schemas.endpoints import DEFAULT_METRIC, Endpoint
from storage_schemas.experiments import Undefined
from storage_schemas.metrics import PRIMARY, Metric
from storage_schemas.runs import Cell

ByCondition = Mapping[Condition, Sequence[Row]]


class Decision(Enum):
    """What an endpoint shows of fine-tuned versus de novo."""

    HIGHER = auto()
    """Significantly higher after fine-tuning."""
    LOWER = auto()
    NOT_SHOWN = auto()
    """Not significant."""
    NOT_CLAIMED = auto()
    """No method that holds is at hand: an interval at most. `why` has the reason."""
    FEW_PATIENTS = auto()
    """Fewer than LEAST_PATIENTS."""
    NO_PAIRS = auto()
    """No study has a value under both arms yet."""


class Declared(Enum):
    """When the primary endpoint was chosen."""

    BEFOREHAND = auto()
    """It is that of the experiment's first plan."""
    AFTERWARDS = auto()
    """The experiment file named another when it was first planned: post hoc."""
    NEVER = auto()
    """An external table declares none."""


@dataclass(frozen=True)
class Judgement:
    """One endpoint: the difference, fine-tuned − de novo, averaged over the training sizes, and what it shows."""

    comparison: ArmComparison
    metric: Metric
    decision: Decision
    sizes: tuple[int, ...]
    """Training sizes at which both arms have results."""
    studies: int
    """With a value under both arms."""
    patients: int
    difference: float | None = None
    interval: Interval | None = None
    covers: Covers | None = None
    """What the interval is an interval for; None without one."""
    degrees: int | None = None
    """Degrees of freedom of the interval."""
    p: float | None = None
    """Two-tailed; None where no significance is claimed."""
    p_holm: float | None = None
    """Of a secondary endpoint, adjusted over all of them."""
    why: NotFitted | MissingCells | None = None
    """Why no significance is claimed."""
    model: MixedModel | None = None
    """With training subset × arm, of which difference, interval and p are; None where there is none."""

    @property
    def stratum(self) -> Stratum:
        """Of the comparison."""
        return self.comparison.stratum

    @property
    def about(self) -> tuple[ArmComparison, Metric]:
        """What is judged."""
        return self.comparison, self.metric


@dataclass(frozen=True)
class Endpoints:
    """The primary endpoint and the secondary ones; the latter are one family for Holm's correction."""

    primary: Judgement | None
    """None: no training size has both arms."""
    secondary: tuple[Judgement, ...]
    """The other metrics of the same comparison first, then every other comparison."""
    declared: Declared
    first: Judgement | None = None
    """The endpoint that was planned first, if another one leads now."""
    rotation_assumed: bool = False
    """An external table looks like a rotation, but does not say which studies each network was trained on."""
    default_absent: bool = False
    """An external table that declares no endpoint has no value at all of the default metric, so another one leads."""

    @property
    def every(self) -> tuple[Judgement, ...]:
        """All of them, the primary one first."""
        return (*([self.primary] if self.primary else []), *self.secondary)

    def of(self, comparison: ArmComparison, metric: Metric) -> Judgement | None:
        """Return the judgement on one metric of one comparison."""
        return next((one for one in self.every if one.about == (comparison, metric)), None)


def judge_endpoints(rows: Iterable[Row], planned: Iterable[Cell | Row], options: Options) -> Endpoints:
    """Judge them; for an external table its own rows are what was planned."""
    given, wanted = list(rows), list(planned)
    by_condition, missing = rows_by_condition(given), _Missing(places(wanted), places(given))
    found = [
        comparison for group in groups(conditions(wanted)) for comparison in arm_comparisons(group) if comparison.pairs
    ]
    goal = options.goal
    declared_metric = options.endpoint.metric if options.endpoint else goal.metric if goal else None
    metric = declared_metric or _measured(given, options.undefined)
    comparison = _comparison(found, options.endpoint)
    if comparison is None:
        return Endpoints(None, (), _declared(options))
    metrics = dict.fromkeys([metric, *PRIMARY, *([goal.metric] if goal else [])])
    first = options.first_endpoint
    about = dict.fromkeys(
        [
            *product([comparison], metrics),
            *product(found, metrics),
            *([(_comparison(found, first) or comparison, first.metric)] if first else []),
        ]
    )
    primary, *others = (_judge(by_condition, judged, by, options, missing) for judged, by in about)
    secondary = _with_holm(others)
    declared = _declared(options)
    own = (_comparison(found, first), first.metric) if first else None
    return Endpoints(
        primary=primary,
        secondary=secondary,
        declared=declared,
        first=next((one for one in secondary if one.about == own), None) if declared is Declared.AFTERWARDS else None,
        rotation_assumed=options.target is None and primary.covers is Covers.TRAINING_STUDIES,
        default_absent=declared_metric is None and metric != DEFAULT_METRIC,
    )


def _measured(rows: Sequence[Row], undefined: Undefined) -> Metric:
    """The default metric; if no trained network has a value of it, the first judged metric that has any."""
    trained = [row for row in rows if row.training_size]
    candidates = (DEFAULT_METRIC, *PRIMARY)
    has_values = (one for one in candidates if any(value_of(row, one, undefined) is not None for row in trained))
    return next(has_values, DEFAULT_METRIC)


@dataclass(frozen=True)
class _Missing:
    planned: frozenset[Place]
    found: frozenset[Place]

    def of(self, comparison: ArmComparison) -> MissingCells | None:
        """Planned cells of the comparison without results; None where all have some."""
        own = {place for place in self.planned if place.condition in comparison.conditions}
        missing = len(own - self.found)
        return MissingCells(missing, len(own)) if missing else None


def _declared(options: Options) -> Declared:
    if options.endpoint is None:
        return Declared.NEVER
    return Declared.BEFOREHAND if options.first_endpoint in (None, options.endpoint) else Declared.AFTERWARDS


def _comparison(found: Sequence[ArmComparison], endpoint: Endpoint | None) -> ArmComparison | None:
    """Return the comparison of the endpoint; the first one if it names none that there is."""
    named = (endpoint.fine_tuned, endpoint.de_novo) if endpoint else ()
    ways = tuple(way.only(Condition) for way in named if way)
    return next((comparison for comparison in found if comparison.ways == ways), found[0] if found else None)


def _judge(
    by_condition: ByCondition, comparison: ArmComparison, metric: Metric, options: Options, missing: _Missing
) -> Judgement:
    pairs = [pair for pair in comparison.pairs if all(by_condition.get(condition) for condition in pair)]
    sizes = tuple(pair.model.training_size for pair in pairs)
    differences = _differences(by_condition, pairs, metric, options.undefined)
    studies = sum(map(len, differences.values()))
    plain = paired_effect(differences)
    if plain is None:
        return Judgement(comparison, metric, Decision.NO_PAIRS, sizes, 0, 0)
    judged = Judgement(
        comparison,
        metric,
        Decision.FEW_PATIENTS,
        sizes,
        studies,
        plain.patients,
        difference=plain.difference,
        interval=plain.interval,
        covers=plain.covers if plain.interval else None,
        degrees=_degrees(plain),
    )
    if plain.patients < LEAST_PATIENTS:
        return judged
    shared = ArmComparison(comparison.stratum, *(tuple(own) for own in zip(*pairs, strict=True)))
    model = fit_overlapping(observations(by_condition, shared, metric, options.undefined, options.target))
    arm = next((term for term in model.terms if term.effect is FixedEffect.ARM), None)
    if arm is None:
        return replace(judged, decision=Decision.NOT_CLAIMED, why=model.not_fitted)
    judged = replace(
        judged,
        decision=Decision.NOT_CLAIMED,
        difference=arm.estimate,
        interval=Interval(arm.low, arm.high),
        covers=model.covers,
        degrees=model.degrees,
        why=missing.of(comparison),
        model=model,
    )
    return judged if judged.why else replace(judged, p=arm.p, decision=_decision(arm.p, arm.estimate))


def _with_holm(judged: Sequence[Judgement]) -> tuple[Judgement, ...]:
    """Decide the secondary endpoints by Holm's correction; those without a p count in the family too."""
    adjusted = holm([one.p for one in judged], len(judged))
    return tuple(
        one if p is None or one.difference is None else replace(one, p_holm=p, decision=_decision(p, one.difference))
        for one, p in zip(judged, adjusted, strict=True)
    )


def _decision(p: float, difference: float) -> Decision:
    if p > ALPHA:
        return Decision.NOT_SHOWN
    return Decision.HIGHER if difference > 0 else Decision.LOWER


def _degrees(effect: EffectSize) -> int | None:
    return None if effect.interval is None else effect.clusters - 1


def _differences(
    by_condition: ByCondition, pairs: Sequence[Pair], metric: Metric, undefined: Undefined
) -> dict[Origin, list[float]]:
    """Return fine-tuned − de novo of every study, averaged over the sizes at which it has both, by origin."""
    by_study: dict[str, list[float]] = defaultdict(list)
    for pair in pairs:
        first, second = (values_by_study(by_condition[model], model, metric, undefined) for model in pair)
        for study, value in first.items():
            other = second.get(study)
            if value is not None and other is not None:
                by_study[study].append(value - other)
    origin_of = study_origins(row for pair in pairs for model in pair for row in by_condition[model])
    differences: dict[Origin, list[float]] = defaultdict(list)
    for study, own in sorted(by_study.items()):
        differences[origin_of[study]].append(sum(own) / len(own))
    return dict(differences)
