"""Judge a candidate against the champion by a rule, patient by patient; the rows of both on one benchmark in.

Each condition is one-sided at the level of the look. All must hold, so their number costs no level: a candidate that is
exactly at the boundary of one condition passes that one, and so the rule, with at most that chance (Berger 1982,
Technometrics 24:295). A patient with several studies is one cluster.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from lesionlab.analysis.methods.equivalence import lower_limit, p_above, paired_difference
from lesionlab.analysis.methods.intervals import LEAST_CLUSTERS, Origin
from lesionlab.analysis.statistics.conditions import value_of
from lesionlab.analysis.statistics.detection import detection
from lesionlab.analysis.statistics.rows import Row
from lesionlab.errors import InputError
from storage_schemas.grading import InsertedLesion
from storage_schemas.metrics import FractionMetric
from storage_schemas.rules import ConditionOutcome, Detects, LeastPatients, NonInferior, NoSiteWorse, Rule, Superior

Patient = tuple[str, str]
"""Site and label: two hospitals may both have a sub-01."""


def judge(
    rule: Rule, champion: Sequence[Row], candidate: Sequence[Row], grades: Sequence[InsertedLesion] = ()
) -> tuple[ConditionOutcome, ...]:
    """What each condition of the rule finds, in its order; `grades` is the candidate's self-grading.

    Raises InputError unless both models were tested on the same studies, each once.
    """
    differences = {metric: paired(champion, candidate, metric, rule) for metric in rule.metrics}
    return tuple(
        detects_outcome(condition, grades, rule.level)
        if isinstance(condition, Detects)
        else _outcome(condition, differences, rule.level)
        for condition in rule.conditions
    )


def detects_outcome(condition: Detects, grades: Sequence[InsertedLesion], level: float) -> ConditionOutcome:
    """What a condition about inserted lesions finds; fewer than three patients cannot show it."""
    found = detection(
        grades, lambda row: row.diameter_mm >= condition.diameter_mm and row.contrast >= condition.contrast
    )
    if found is None:
        patients = len({(row.site, row.patient) for row in grades})
        return ConditionOutcome(condition=condition, passed=False, patients=patients, untested="few patients")
    p = found.p_below(condition.least)
    return ConditionOutcome(
        condition=condition,
        passed=p <= level,
        patients=found.patients,
        estimate=found.share,
        limit=found.lower(level),
        p=p,
    )


def paired(
    champion: Sequence[Row], candidate: Sequence[Row], metric: FractionMetric, rule: Rule
) -> dict[Patient, list[float]]:
    """Candidate − champion in each study in which both have the metric, by patient.

    Raises InputError unless both models were tested on the same studies, each once.
    """
    both = _by_study(champion), _by_study(candidate)
    if both[0].keys() != both[1].keys():
        lacking = sorted(both[0].keys() ^ both[1].keys())
        raise InputError(
            f"gate: wanted the same studies of champion and candidate, found {', '.join(map('/'.join, lacking))} of one"
        )
    found: dict[Patient, list[float]] = defaultdict(list)
    for place, row in sorted(both[0].items()):
        before, now = (value_of(own, metric, rule.undefined) for own in (row, both[1][place]))
        if before is not None and now is not None:
            found[row.site, row.patient].append(now - before)
    return dict(found)


def _by_study(rows: Sequence[Row]) -> dict[tuple[str, str], Row]:
    by_study = {(row.site, row.study): row for row in rows}
    if len(by_study) < len(rows):
        raise InputError(f"gate: wanted each study once, found {len(rows)} rows of {len(by_study)} studies")
    return by_study


Differences = Mapping[FractionMetric, Mapping[Patient, Sequence[float]]]


def _outcome(
    condition: NonInferior | Superior | NoSiteWorse | LeastPatients, differences: Differences, level: float
) -> ConditionOutcome:
    if isinstance(condition, LeastPatients):
        patients = min(map(len, differences.values()))
        return ConditionOutcome(condition=condition, passed=patients >= condition.patients, patients=patients)
    own = differences[condition.metric]
    bound = 0.0 if isinstance(condition, Superior) else -condition.margin
    if not isinstance(condition, NoSiteWorse):
        return _tested(condition, own, bound, level)
    sites = sorted({site for site, _ in own})
    each = [_tested(condition, {p: d for p, d in own.items() if p[0] == site}, bound, level, site) for site in sites]
    # The site nearest to failing stands for all: it passes only if every site does.
    return max(each, key=_nearness, default=_tested(condition, {}, bound, level))


def _nearness(outcome: ConditionOutcome) -> tuple[bool, float]:
    return not outcome.passed, 1.0 if outcome.p is None else outcome.p


def _tested(
    condition: NonInferior | Superior | NoSiteWorse,
    differences: Mapping[Patient, Sequence[float]],
    bound: float,
    level: float,
    site: str | None = None,
) -> ConditionOutcome:
    known = {"condition": condition, "patients": len(differences), "site": site}
    difference = paired_difference({Origin(None, "/".join(patient)): own for patient, own in differences.items()})
    if difference is None:
        why = "few patients" if len(differences) < LEAST_CLUSTERS else "no spread"
        return ConditionOutcome.model_validate(known | {"passed": False, "untested": why})
    p = p_above(difference, bound)
    limit = lower_limit(difference, level)
    found = {"passed": p <= level, "estimate": difference.estimate, "limit": limit, "p": p}
    return ConditionOutcome.model_validate(known | found)
