"""Words of a model's decision page, for a clinical governance board. Text between backticks is shown as code."""

from __future__ import annotations

from collections.abc import Sequence

from lesionlab.analysis.model_evidence import Look, ModelEvidence, RuleEvidence
from lesionlab.analysis.statistics.detection import SelfGrading
from lesionlab.analysis.statistics.rule_power import ENOUGH
from lesionlab.analysis.words.captions import Caption
from lesionlab.analysis.words.models import METRICS
from lesionlab.analysis.words.numbers import count_of
from lesionlab.experiments.lineage import Generation, declared_text
from lesionlab.experiments.withdrawn_models import withdrawn_text
from storage_schemas.decisions import Decision
from storage_schemas.retraining import RetrainDecision
from storage_schemas.rules import (
    ConditionOutcome,
    Detects,
    LeastPatients,
    NonInferior,
    NoSiteWorse,
    RuleCondition,
    Superior,
)

WHAT_IT_IS = (
    "This page says who decided what about this model, by which rule and on which evidence. It is a record and no "
    "certificate: lesionlab is research software, nothing here was validated for clinical use, and no conformity with "
    "any law or standard is claimed."
)
HEADINGS = {
    "decision": "What was decided",
    "rule": "The rule, declared before any result was seen",
    "looks": "Looks that were taken",
    "power": "Would an equally good candidate pass?",
    "lineage": "What the model was made from",
    "drift": "Do new patients resemble those it was trained on?",
    "grading": "Which lesions does it detect?",
}
NO_DECISION = "Nobody has put a version of this model into use. Every registered version is a candidate."
NO_RULE = "No rule was declared. A version is put into use by a person who gives a reason."
NO_LINEAGE = "No version is in use, so there is nothing to trace."
NO_DRIFT = "No scheduled retraining has looked at new patients yet."
NO_GRADING = "Not examined: `lesionlab self-grade` inserts lesions of known size and contrast into a site's own scans."
HIDDEN_LOOKS = "The looks lie where the reader of this page has no access: the gate and the steward can show them."
NO_LOOK = "None yet."
UNKNOWN_POWER = (
    "Not known: the version in use was not tested on the benchmark yet, or its results are not readable here. "
    "`lesionlab rule check` computes it."
)
GRADING_IS = (
    "Lesions were painted into tissue in which a reader had drawn none. They show what the model cannot see. Real "
    "lesions differ from painted ones, so these fractions are no sensitivities."
)
NOT_HERE = "not in this store, so what it was trained on is unknown"
CONDITION_COLUMNS = ("condition", "passed", "difference or fraction", "one-sided limit", "patients", "site")
LOOK_COLUMNS = ("look", "when", "by", "candidate", "result")
HISTORY_COLUMNS = ("decision", "when", "by", "version in use", "kind", "reason")
SHIFT_COLUMNS = ("property", "studies before", "new studies", "median before", "median new", "p", "unseen", "drift")
CELL_COLUMNS = ("diameter, mm", "contrast, SD", "inserted", "patients", "detected", "95 % CI")
PART_COLUMNS = ("where", "inserted", "patients", "detected", "95 % CI")
YES, NO = "yes", "no"


def condition(one: RuleCondition) -> str:
    """One condition in plain words."""
    if isinstance(one, NonInferior):
        return f"{METRICS[one.metric]}: averaged over patients, the candidate is worse by less than {one.margin:g}"
    if isinstance(one, Superior):
        return f"{METRICS[one.metric]}: averaged over patients, the candidate is better"
    if isinstance(one, NoSiteWorse):
        return f"{METRICS[one.metric]}: at every hospital the candidate is worse by less than {one.margin:g}"
    if isinstance(one, LeastPatients):
        return f"at least {one.patients} patients could be judged"
    return (
        f"the candidate detects at least {one.least:.0%} of inserted lesions of {one.diameter_mm:g} mm or more with a "
        f"contrast of {one.contrast:g} SD or more"
    )


def in_use(evidence: ModelEvidence) -> str:
    """The first sentence: what is in use, and why."""
    if not evidence.decisions:
        return NO_DECISION
    last = evidence.decisions[0]
    how = (
        "because it passed every condition of the rule"
        if last.gate
        else "by going back to an earlier version"
        if last.kind == "rollback"
        else "by a person's decision, not by a rule"
    )
    return (
        f"Version `{last.champion}` of {evidence.name} is in use since {last.at[:10]}, {how}. {last.by} decided, for "
        f"this reason: {last.reason}"
    )


def rule_about(one: RuleEvidence) -> str:
    """What the rule binds."""
    return (
        f"Rule `{one.rule.id}` cannot change: another text is another rule. A new version replaces the one in use only "
        f"if all of the following are shown together on benchmark {one.frozen.benchmark.name}, "
        f"{count_of(one.studies, 'study')} of {count_of(one.patients, 'patient')} that no training may use."
    )


def risk(one: RuleEvidence) -> str:
    """What the level means, and what is left of it."""
    rule = one.rule
    looks = "the one look lets" if rule.looks == 1 else f"all {rule.looks} looks together let"
    spent = "" if one.looks is None else f" {one.spent / rule.alpha:.0%} of this chance is spent."
    return (
        f"If candidates are exactly as bad as a condition just forbids, {looks} one pass with a chance of at most "
        f"{rule.alpha:.0%}; each look is tested at {rule.level:.2%}.{spent}"
    )


def look_result(look: Look, conditions: Sequence[RuleCondition]) -> str:
    """Pass or fail, never a score."""
    if look.passed is None:
        return "not finished"
    failed = [condition(c) for c, passed in zip(conditions, look.passed, strict=True) if not passed]
    return f"not shown: {'; '.join(failed)}" if failed else "passed"


def power(one: RuleEvidence) -> str:
    """The chance of an equal candidate."""
    if one.chance is None:
        return UNKNOWN_POWER
    enough = (
        "The rule wastes few good candidates."
        if one.chance.passes >= ENOUGH
        else f"That is low (wanted: {ENOUGH:.0%}): the rule turns many good candidates away, which is safe but costs "
        "looks."
    )
    return f"A candidate that truly equals the version in use passes with a chance of {one.chance.passes:.0%}. {enough}"


def generation(one: Generation) -> list[str]:
    """What one model of the lineage was made from, a sentence each."""
    card = one.card
    told = []
    for training in one.trainings:
        sites = ", ".join(f"{count} of {site}" for site, count in training.studies_by_site.items())
        code = f", by code `{training.entry.code}` of lesionlab {training.entry.lesionlab}" if training.entry else ""
        told.append(
            f"`{card.full_name}` was trained on {count_of(len(training.run.train), 'study')} of "
            f"{count_of(training.patients, 'patient')} of cohort {training.run.cohort} ({sites}) in experiment "
            f"{training.run.experiment}{code}."
        )
    if card.declared:
        told.append(declared_text(card))
    elif one.missing:
        told.append(f"`{card.full_name}`: {count_of(len(one.missing), 'training run')} {NOT_HERE}.")
    if card.parent:
        told.append(f"It was fine-tuned from `{card.started_from}`.")
    if one.tensors:
        origins = ", ".join(f"{count} {origin}" for origin, count in sorted(one.tensors.items()))
        told.append(f"Its weights before training, by origin: {origins}.")
    if withdrawn := withdrawn_text(card, one.withdrawn):
        told.append(f"{withdrawn}.")
    return told


def scheduled(one: RetrainDecision) -> str:
    """The newest scheduled decision."""
    verdicts = {"train": "train again", "wait": "wait", "hold": "hold and look at the studies first"}
    return (
        f"On {one.date} the schedule compared {count_of(one.new_patients, 'new patient')} with the "
        f"{one.patients_before} trained on, and decided: {verdicts[one.verdict]} ({'; '.join(one.reasons)}). The next "
        f"decision can differ from {one.next_date} on."
    )


def drift(newest: RetrainDecision | None, compared: RetrainDecision | None) -> str:
    """What the schedule decided last, and when it last compared studies: a day without new patients compares none."""
    if newest is None:
        return NO_DRIFT
    if compared is None or compared == newest:
        return scheduled(newest)
    return (
        f"{scheduled(newest)} Studies were last compared on {compared.date}: those of "
        f"{count_of(compared.new_patients, 'new patient')} with those of {compared.patients_before} trained on before."
    )


def graded(one: SelfGrading) -> str:
    """What a self-grading rests on."""
    marked = f" {one.marked_before} lie where it marks a lesion anyway, and are left out." if one.marked_before else ""
    people = f"{count_of(one.studies, 'study')} of {count_of(one.patients, 'patient')}"
    return f"`{one.model}` in cohort {one.cohort}: {people}.{marked}"


def outcome_cells(one: ConditionOutcome) -> tuple[str, ...]:
    """One row of CONDITION_COLUMNS."""
    sign = "" if isinstance(one.condition, Detects) else "+"
    return (
        condition(one.condition),
        YES if one.passed else NO,
        "" if one.estimate is None else format(one.estimate, f"{sign}.3f"),
        "" if one.limit is None else format(one.limit, f"{sign}.3f"),
        str(one.patients),
        one.site or "",
    )


def history_cells(one: Decision) -> tuple[str, ...]:
    """One row of HISTORY_COLUMNS."""
    return (str(one.number), one.at[:10], one.by, one.champion, one.kind, one.reason)


DIAMETER_AXIS, DETECTED_AXIS = "Diameter of the inserted lesion, mm", "Fraction detected"


def contrast_label(contrast: float) -> str:
    """Legend of a line."""
    return f"contrast {contrast:g} SD"


def caption(one: SelfGrading) -> Caption:
    """Below the figure."""
    return Caption(
        "Detection of inserted lesions.",
        f"{one.model} in {one.cohort}: fraction of inserted lesions detected, by diameter and contrast (brightness at "
        "the centre, in SDs of the image over the head); 95 % CIs over patients.",
        f"Fraction of inserted lesions detected by {one.model}, by diameter and contrast",
    )
