"""Decide on a date whether to train a new candidate, and carry a decision through: train, register, look, promote.

The decision is written before anything is computed, and each step finds what an earlier process left: a command that
was killed and is called again, on whatever day, finishes the training that was decided. One process at a time works on
a rule; it holds a lease. The last two steps can be left to another identity, the gate: `retrain(…, to_the_end=False)`
registers the candidate, `conclude` looks at it and promotes it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import date, timedelta
from pathlib import Path

from lesionlab.analysis.statistics.retraining import Described, expected_gain, shifts
from lesionlab.errors import AccessDenied, Conflict, InputError
from lesionlab.experiments.benchmarks import find_benchmark
from lesionlab.experiments.caches.volumes import open_cached
from lesionlab.experiments.champions import Person, decisions, promote, refuse_withdrawn
from lesionlab.experiments.earned import refuse_unearned
from lesionlab.experiments.leases import claim_run, new_submission
from lesionlab.experiments.ledger import is_complete
from lesionlab.experiments.manifests import frozen_manifest, manifest_facts
from lesionlab.experiments.publishing import study_rows
from lesionlab.experiments.registry import champion, find_model, register
from lesionlab.experiments.retraining import (
    Eligible,
    candidate_run,
    costs,
    decision_key,
    decisions_by,
    eligible,
    outcome_key,
    outcome_of,
    patients_in,
    readable,
    retraining_of,
    retraining_purpose,
    trained_before,
    trained_by,
)
from lesionlab.experiments.site_policies import refuse_forbidden
from lesionlab.experiments.stored_plans import current_plan
from lesionlab.experiments.tickets import looks_left
from lesionlab.experiments.withdrawn_models import withdrawn_among
from lesionlab.imaging.texture import bright_level, noise_sd
from lesionlab.orchestration.gate import look, refuse_if_forbidden
from lesionlab.store.documents import create_document, create_named, read_document
from lesionlab.store.objects import Store
from storage_schemas import keys
from storage_schemas.axes import TrainedArm
from storage_schemas.manifests import ManifestEntry
from storage_schemas.models import ModelName
from storage_schemas.retraining import Gain, RetrainDecision, Retraining, RetrainOutcome, Shift, Verdict
from storage_schemas.rules import GateOutcome, Rule
from storage_schemas.runs import RunSpec

Execute = Callable[[Sequence[RunSpec]], None]
"""Execute runs that are not complete; raises TrainingError."""

Reading = Callable[[RunSpec], AbstractContextManager[object]]
"""Entered before the studies that this run would be trained on are read, left afterwards."""


def retrain(
    store: Store,
    rule: Rule,
    today: date,
    person: Person,
    cache: Path,
    execute: Execute,
    accepted: str = "",
    *,
    to_the_end: bool = True,
    reading: Reading = nullcontext,
) -> tuple[RetrainDecision, RetrainOutcome | None]:
    """The decision of this date, and what became of its training; an unfinished training of an earlier date first.

    Not `to_the_end`, it stops when the candidate is registered; the outcome is None until `conclude` was called.
    Raises RunHeld if another process works on the rule at present.
    """
    with claim_run(store, rule.id, new_submission(), person.name):
        decision = _unfinished(store, rule) or _decided(store, rule, today, cache, accepted, reading)
        if decision.run is None:
            return decision, None
        outcome = outcome_of(store, decision)
        if outcome is None:
            run = read_document(store, keys.RUN_SPEC.build(run_id=decision.run), RunSpec)
            outcome = _given_up(store, rule, decision, run, today)
            if outcome is not None:
                create_document(store, outcome_key(decision), outcome)
                return decision, outcome
            execute([run])
            if to_the_end:
                outcome = _concluded(store, rule, decision, person, cache)
            else:
                register(store, decision.run, rule.model)
        return decision, outcome


def conclude(store: Store, rule: Rule, person: Person, cache: Path) -> tuple[RetrainDecision, RetrainOutcome] | None:
    """Look at the candidate of an unfinished decision, and promote it if it passes; None if none is trained.

    Needs the rights of the role gate alone. Of two at once one promotes, and both leave the same outcome. Raises
    InputError if the rule declares no retraining.
    """
    retraining_of(rule)
    decision = _unfinished(store, rule)
    if decision is None or decision.run is None or not is_complete(store, decision.run):
        return None
    return decision, _concluded(store, rule, decision, person, cache)


def _concluded(store: Store, rule: Rule, decision: RetrainDecision, person: Person, cache: Path) -> RetrainOutcome:
    outcome = _judged(store, rule, decision, person, cache)
    create_document(store, outcome_key(decision), outcome)
    return outcome


def _unfinished(store: Store, rule: Rule) -> RetrainDecision | None:
    return next((d for d in decisions_by(store, rule) if d.run and outcome_of(store, d) is None), None)


def _decided(store: Store, rule: Rule, today: date, cache: Path, accepted: str, reading: Reading) -> RetrainDecision:
    """The stored decision of this date, or a new one."""
    name = f"{today.isoformat()}-accepted" if accepted else today.isoformat()
    key = keys.RETRAIN_DECISION.build(name=rule.model, date=name)
    if store.exists(key):
        stored = read_document(store, key, RetrainDecision)
        if stored.rule != rule.id:
            raise InputError(f"model {rule.model}: rule {stored.rule} decided on {name}; a day has one decision")
        return stored
    decision, run = decide(store, rule, today, cache, accepted, reading=reading)
    if decision.run:
        frozen_manifest(store, run.cohort, retraining_purpose(rule, run.task, today))
        create_named(store, keys.RUN_SPEC.build(run_id=run.run_id), run)
    create_document(store, decision_key(decision), decision)
    return decision


def decide(
    store: Store, rule: Rule, today: date, cache: Path, accepted: str = "", *, reading: Reading = nullcontext
) -> tuple[RetrainDecision, RunSpec]:
    """What the store says on this date, and the training that would follow; writes nothing.

    The same store and date give the same decision, byte for byte. Studies are read, within `reading`, only if enough
    patients are new, and none that a site has withdrawn since or forbids.
    """
    retraining, found = retraining_of(rule), eligible(store, rule, today)
    before = trained_before(store, rule)
    new = tuple(entry for entry in found.studies if (entry.site, entry.patient) not in patients_in(before))
    new_patients = len(patients_in(new))
    enough = new_patients >= retraining.least_new_patients
    run = candidate_run(store, rule, found)
    spent, expected = costs(store, rule, run)
    last = next((decision.date for decision in trained_by(store, rule)[::-1]), None)
    ready = date.fromisoformat(last) + timedelta(retraining.cool_down_days) if last else today
    gain = _gain(store, retraining, len(before), len(found.studies)) if enough else None
    drift: tuple[Shift, ...] = ()
    if enough and (compared := readable(store, rule, run.task, today, before)):
        with reading(run.changed(train=(*compared, *new))):
            drift = _shifts(store, retraining, found, compared, new, cache)
    left = _looks_left(store, rule)
    waits = [
        *([] if enough else [f"{new_patients} new patients, wanted {retraining.least_new_patients}"]),
        *([] if ready <= today else [f"the last training was on {last}; cool-down until {ready}"]),
        *_no_gain(gain),
        *_no_means(retraining, spent, expected),
        *(["no look at the benchmark is left"] if left == 0 and champion(store, rule.model) else []),
        *_closed(store, rule, today),
    ]
    holds = _holds(retraining, found, drift)
    verdict: Verdict = "wait" if waits else "hold" if holds and not accepted else "train"
    reasons = waits or (holds if verdict == "hold" else [_why(new_patients, gain)])
    decision = RetrainDecision(
        rule=rule.id,
        model=rule.model,
        date=today.isoformat(),
        manifest=found.manifest.id,
        champion=champion(store, rule.model),
        last_training=last,
        patients_before=len(patients_in(before)),
        patients_now=len(found.patients),
        new_patients=new_patients,
        set_aside=found.set_aside,
        quarantined=found.quarantined,
        gain=gain,
        shifts=drift,
        spent_gpu_hours=spent,
        expected_gpu_hours=expected,
        looks_left=left,
        accepted=accepted,
        verdict=verdict,
        reasons=tuple(reasons),
        next_date=_next(retraining, today, ready, verdict).isoformat(),
        run=run.run_id if verdict == "train" else None,
    )
    # As it is read back: every field counts as written, so the same decision is the same document.
    return RetrainDecision.model_validate(decision.model_dump(mode="json")), run


def _looks_left(store: Store, rule: Rule) -> int | None:
    """None: who trains may not read the looks."""
    try:
        return looks_left(store, rule)
    except AccessDenied:
        return None


def _closed(store: Store, rule: Rule, on: date) -> list[str]:
    """Why no candidate could be looked at: a site forbids it on this date, or withdrew a study of the benchmark."""
    version = champion(store, rule.model)
    if version is None:
        return []  # nothing to compare with: no look is taken
    try:
        card = find_model(store, f"{rule.model}@{version}")
        refuse_if_forbidden(store, find_benchmark(store, rule.benchmark), card, on)
    except InputError as error:
        return ["; ".join(map(str, error.args))]
    return []


def _next(retraining: Retraining, today: date, ready: date, verdict: Verdict) -> date:
    rest = retraining.cool_down_days if verdict == "train" else 0
    return max(ready, today + timedelta(max(rest, 1)))


def _why(new_patients: int, gain: Gain | None) -> str:
    if gain is None or gain.expected is None:
        return f"{new_patients} new patients, beyond the learning curve"
    noise = "" if gain.noise is None else f", networks differ by {gain.noise:.3f}"
    return f"{new_patients} new patients, an expected gain of {gain.expected:.3f}{noise}"


def _no_gain(gain: Gain | None) -> list[str]:
    if gain is None or gain.expected is None or gain.noise is None or gain.expected > gain.noise:
        return []
    return [f"an expected gain of {gain.expected:.3f}, within the {gain.noise:.3f} by which networks differ"]


def _no_means(retraining: Retraining, spent: float, expected: float | None) -> list[str]:
    needed = spent + (expected or 0.0)
    if needed <= retraining.gpu_hours and spent < retraining.gpu_hours:
        return []
    return [f"{retraining.gpu_hours:g} GPU hours for all retrainings, {spent:.2f} spent, {expected or 0.0:.2f} needed"]


def _holds(retraining: Retraining, found: Eligible, drift: Sequence[Shift]) -> list[str]:
    words = [f"{shift.name}: new are {', '.join(shift.new)}" for shift in drift if shift.new]
    numbers = [
        f"{shift.name}: median {shift.median_before:.3g}, now {shift.median_now:.3g} (p {shift.p:.2g})"
        for shift in drift
        if shift.drifted and shift.p is not None and shift.median_before is not None and shift.median_now is not None
    ]
    share = found.quarantined
    most = retraining.most_quarantined
    return [
        *words,
        *numbers,
        *([f"{share:.0%} of the studies quarantined, at most {most:.0%}"] if share > most else []),
    ]


def _gain(store: Store, retraining: Retraining, size_before: int, size_now: int) -> Gain:
    plan = current_plan(store, retraining.experiment)
    arm: TrainedArm = "fine-tuned" if retraining.source else "de-novo"
    source = retraining.source.name if retraining.source else None
    return expected_gain(study_rows(store, plan), arm, source, retraining.gain_metric, size_before, size_now)


def _shifts(
    store: Store,
    retraining: Retraining,
    found: Eligible,
    before: Sequence[ManifestEntry],
    new: Sequence[ManifestEntry],
    cache: Path,
) -> tuple[Shift, ...]:
    facts = {(f.site, f.study): f for f in manifest_facts(store, found.manifest) if f.visit == "this"}

    def described(entry: ManifestEntry) -> Described:
        own = facts.get((entry.site, entry.study))
        volume = open_cached(store, entry, cache)
        names = volume.card.channels
        numbers: dict[str, float | None] = {
            "lesions": float(entry.lesions),
            "lesion load, ml": entry.lesion_volume_ml,
            **{f"noise of {name}": noise_sd(volume.image_CIJK[place]) for place, name in enumerate(names)},
            **{f"brightness of {name}": bright_level(volume.image_CIJK[place]) for place, name in enumerate(names)},
        }
        if own:
            numbers |= {name: getattr(own, name) for name in ("age_years", "echo_time_ms", "repetition_time_ms")}
        scanner = " ".join(part for part in (own.manufacturer, own.model) if part) if own else ""
        words = {"site": entry.site} | ({"scanner": scanner} if scanner else {})
        return Described({name: value for name, value in numbers.items() if value is not None}, words)

    return shifts([described(entry) for entry in before], [described(entry) for entry in new], retraining.drift_level)


def _given_up(store: Store, rule: Rule, decision: RetrainDecision, run: RunSpec, today: date) -> RetrainOutcome | None:
    """What became of a training that a site forbids by now, by its policy or by withdrawing a study, or whose candidate
    nobody could look at: nothing, and the next date decides again. None: it may go on."""
    if is_complete(store, run.run_id):
        return None
    try:
        refuse_forbidden(store, (run,), "the next date decides without them")
    except InputError as error:
        told = "; ".join(map(str, error.args))
    else:
        if studies := withdrawn_among(store, (*run.train, *run.test)):  # those for which a run is refused
            told = f"{', '.join(studies)} withdrawn since it was decided; the next date decides without them"
        elif closed := _closed(store, rule, today):
            told = "; ".join(closed)
        else:
            return None
    return RetrainOutcome(
        rule=decision.rule,
        date=decision.date,
        candidate=run.run_id,
        promoted=False,
        ticket=None,
        note=f"not trained: {told}",
    )


def _judged(store: Store, rule: Rule, decision: RetrainDecision, person: Person, cache: Path) -> RetrainOutcome:
    """Register the candidate and let the rule decide about it."""
    assert decision.run is not None
    outcome = {"rule": rule.id, "date": decision.date, "candidate": decision.run}

    def not_promoted(note: str, ticket: int | None = None) -> RetrainOutcome:
        return RetrainOutcome(**outcome, promoted=False, ticket=ticket, note=note)

    def promoted() -> RetrainOutcome | None:
        """By an earlier process, or another one meanwhile, whatever was decided since: a rollback stays."""
        for made in decisions(store, rule.model):
            if made.gate is not None and (made.gate.rule, made.champion) == (rule.id, decision.run):
                return RetrainOutcome(**outcome, promoted=True, ticket=made.gate.ticket, note="it passed the rule")
        return None

    run = read_document(store, keys.RUN_SPEC.build(run_id=decision.run), RunSpec)
    if told := _of_another(rule, decision, run):
        return not_promoted(told)
    card = register(store, decision.run, rule.model)
    if champion(store, rule.model) is not None:
        refuse_unearned(store, rule.model)
    if found_before := promoted():
        return found_before
    if champion(store, rule.model) is None:
        return not_promoted("no champion to compare it with; put a first version into use by hand: lesionlab promote")
    found: GateOutcome | None = None
    try:
        refuse_withdrawn(store, card)
        found = look(store, rule, find_model(store, card.full_name), person, cache)
        if not found.passed:
            return not_promoted("it did not pass every condition", found.ticket)
        reason = f"retrained on {decision.patients_now} patients, decided on {decision.date}"
        promote(store, card.full_name, reason, person, found)
    except (Conflict, InputError) as error:  # perhaps because another process has promoted it meanwhile
        if found_now := promoted():
            return found_now
        if isinstance(error, Conflict):  # another version was: the next call compares with that one
            raise
        return not_promoted(str(error), found.ticket if found else None)
    return RetrainOutcome(**outcome, promoted=True, ticket=found.ticket, note="it passed the rule")


def _of_another(rule: Rule, decision: RetrainDecision, run: RunSpec) -> str:
    """Why a run is not the training of this decision; empty: it is. Trainers write decisions, and the gate obeys them
    without a person in between."""
    retraining = retraining_of(rule)
    compared = {
        "experiment": (run.experiment, rule.model),
        "cohort": (run.cohort, retraining.cohort),
        "manifest": (run.manifest, decision.manifest),
        "source": (_name(run.parent.model if run.parent else None), _name(retraining.source)),
    }
    faults = [f"{what} {found}, not {wanted}" for what, (found, wanted) in compared.items() if found != wanted]
    return f"run {run.run_id} is not the training that was decided: {'; '.join(faults)}" if faults else ""


def _name(model: ModelName | None) -> str:
    return f"{model.name}@{model.version}" if model else "none"
