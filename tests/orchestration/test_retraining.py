"""A scheduled retraining trains, waits or holds for reasons in numbers, and finishes what it decided, killed or not."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pytest

from lesionlab.analysis.model_evidence import models_of
from lesionlab.analysis.pages.model_pages import model_pages
from lesionlab.analysis.words.numbers import NONE
from lesionlab.errors import AccessDenied, InputError, RunHeld
from lesionlab.experiments.benchmarks import find_benchmark, freeze
from lesionlab.experiments.champions import Person, decisions, promote, rollback
from lesionlab.experiments.leases import claim_run, new_submission
from lesionlab.experiments.registry import champion, register
from lesionlab.experiments.retraining import outcome_key
from lesionlab.experiments.rules import declare
from lesionlab.experiments.store_planning import plan_experiment
from lesionlab.experiments.stored_plans import current_plan, store_plan
from lesionlab.experiments.tickets import take_ticket, tickets
from lesionlab.experiments.withdrawal import withdraw
from lesionlab.orchestration import cell, retraining
from lesionlab.orchestration.execution import execute as execute_runs
from lesionlab.orchestration.retraining import conclude, decide, retrain
from lesionlab.store.arrays import write_group
from lesionlab.store.documents import create_document, document_bytes, read_document
from lesionlab.store.objects import Store, open_store
from lesionlab.store.tables import write_rows
from storage_schemas import keys
from storage_schemas.definitions import MetricDefinition
from storage_schemas.experiments import ExperimentSpec
from storage_schemas.facts import StudyFacts
from storage_schemas.manifests import Manifest, ManifestEntry
from storage_schemas.models import ModelName
from storage_schemas.retraining import RetrainDecision, RetrainOutcome
from storage_schemas.rules import Rule
from storage_schemas.runs import Parent, RunSpec
from storage_schemas.tasks import TASKS
from storage_schemas.volumes import ATTRIBUTE
from tests.experiments.finished import SPEC, finish
from tests.experiments.test_champions import card_of
from tests.orchestration.test_gate import rows_stored
from tests.parts import contribute
from tests.training.drawn import draw_study

ANN = Person("ann@north", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
TODAY, LATER = date(2026, 3, 1), date(2026, 5, 1)
OLD, NEW, BENCH = 12, 8, 10


ELSEWHERE = Parent(model=ModelName(name="other", version="0" * 16), weights_sha256="0" * 64)


class Killed(BaseException):
    """Stands for the end of a process."""


def killed(*_: object, **__: object) -> None:
    raise Killed


@dataclass
class Site:
    """A store with a champion that was trained on twelve patients, and a rule that retrains it."""

    store: Store
    cache: Path
    rule: Rule
    entries: list[ManifestEntry]
    executed: list[str] = field(default_factory=list)

    def grow(self, count: int, noise: float = 1.0, site: str = "drawn") -> None:
        """Add patients to the cohort."""
        first = len(self.entries)
        self.entries += [study(self.store, first + n, noise, site) for n in range(count)]
        put(self.store, "ms", self.entries)

    def execute(self, runs: Sequence[RunSpec]) -> None:
        for run in runs:
            self.executed.append(run.run_id)
            finish(self.store, run)

    def call(self, day: date = TODAY, accepted: str = "") -> tuple[RetrainDecision, RetrainOutcome | None]:
        return retrain(self.store, self.rule, day, ANN, self.cache, self.execute, accepted)


def study(store: Store, number: int, noise: float = 1.0, site: str = "drawn") -> ManifestEntry:
    """Store the volume of a drawn study; `noise` multiplies that of the others."""
    drawn = draw_study(number, edge=16)
    image = drawn.image_CIJK.astype(np.float32)
    image += np.random.default_rng(number).normal(0, 0.5, image.shape) * np.sqrt(noise**2 - 1)
    entry = drawn.entry.model_copy(update={"image_sha256": f"{number:064x}", "site": site})
    card = drawn.card.model_copy(update={"site": site})
    key = entry.volume_key
    arrays = {"image": image.astype(np.float16), "label": drawn.label_IJK, "native_label": drawn.label_IJK}
    write_group(store, key, arrays, {ATTRIBUTE: card.stored_form()})
    return entry


def put(store: Store, cohort: str, entries: Sequence[ManifestEntry]) -> Manifest:
    found = Manifest.named(cohort=cohort, task=TASKS["flair-single"], spacing_mm=2.0, studies=tuple(entries))
    return contribute(store, found)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Rule, list[ManifestEntry]]:
    folder = tmp_path_factory.mktemp("prepared")
    return folder, *prepare(open_store(folder.as_uri()))


def prepare(store: Store, held_at: str = "drawn") -> tuple[Rule, list[ManifestEntry]]:
    """A champion that was trained on twelve patients, a benchmark of patients of this site, and the rule; and the
    studies of the cohort."""
    entries = [study(store, number) for number in range(OLD)]
    put(store, "ms", entries)
    spec = ExperimentSpec.model_validate(SPEC | {"spacing_mm": 2.0})
    plan = plan_experiment(spec, store)
    store_plan(store, plan)
    first = plan.runs[0].changed(cell=None, train=tuple(entries), test=(), seed=7)
    finish(store, first)
    promote(store, register(store, first.run_id, "ms").full_name, "first", ANN)
    held = [
        draw_study(1000 + n, edge=8).entry.model_copy(update={"image_sha256": f"{5000 + n:064x}", "site": held_at})
        for n in range(BENCH)
    ]
    put(store, "held-out", held)
    frozen = freeze(store, "bench", "held-out", MetricDefinition())
    rule = Rule.named(
        model="ms",
        benchmark=frozen.benchmark.id,
        conditions=[{"kind": "non-inferior", "metric": "sensitivity", "margin": 0.1}],
        retraining={"experiment": "alone", "cohort": "ms", "least_new_patients": 3, "gpu_hours": 1000.0},
    )
    declare(store, rule)
    rows_stored(store, frozen, first.run_id, *[np.linspace(0.4, 0.8, BENCH).tolist()] * 2)
    return rule, entries


@pytest.fixture
def site(prepared: tuple[Path, Rule, list[ManifestEntry]], tmp_path: Path) -> Site:
    folder, rule, entries = prepared
    shutil.copytree(folder, tmp_path / "store")
    return Site(open_store((tmp_path / "store").as_uri()), tmp_path / "cache", rule, [*entries])


def expect_rows(site: Site, gain: float) -> RunSpec:
    """Store what testing the coming candidate will give."""
    _, run = decide(site.store, site.rule, TODAY, site.cache)
    values = np.linspace(0.4, 0.8, BENCH) + gain + 0.01 * np.sin(np.arange(BENCH))
    rows_stored(site.store, find_benchmark(site.store, "bench"), run.run_id, values.tolist(), values.tolist())
    return run


def test_one_new_patient_is_too_few(site: Site) -> None:
    site.grow(1)
    decision, outcome = site.call()
    assert (decision.verdict, decision.reasons) == ("wait", ("1 new patients, wanted 3",))
    assert (outcome, site.executed) == (None, [])
    assert (decision.patients_before, decision.patients_now, decision.next_date) == (OLD, OLD + 1, "2026-03-02")


@pytest.mark.parametrize(("gain", "promoted"), [(0.05, True), (-0.3, False)], ids=["good", "bad"])
def test_enough_new_patients_lead_to_a_candidate_and_the_rule_decides_about_it(
    site: Site, gain: float, promoted: bool
) -> None:
    site.grow(NEW)
    run = expect_rows(site, gain)
    decision, outcome = site.call()
    assert (decision.verdict, decision.run) == ("train", run.run_id)
    assert decision.reasons == (f"{NEW} new patients, beyond the learning curve",)
    assert outcome is not None
    assert (outcome.promoted, outcome.ticket) == (promoted, 1)
    assert (champion(site.store, "ms") == run.run_id) == promoted
    assert {entry.study for entry in run.train} == {entry.study for entry in site.entries}


def test_the_same_patients_lead_to_one_training_whether_it_was_promoted_or_not(site: Site) -> None:
    site.grow(NEW)
    expect_rows(site, -0.3)
    site.call()
    again, _ = site.call(LATER)
    assert (again.verdict, again.new_patients, len(site.executed)) == ("wait", 0, 1)


def test_a_cool_down_ends_on_its_day_and_patients_are_new_since_the_last_training(site: Site) -> None:
    for day, verdict in ((TODAY, "train"), (date(2026, 3, 30), "wait"), (date(2026, 3, 31), "train")):
        if verdict == "train":
            site.grow(NEW)
        decision, _ = retrain(site.store, site.rule, day, ANN, site.cache, site.execute, to_the_end=False)
        assert decision.verdict == verdict, decision.reasons
        if decision.run:
            create_document(site.store, outcome_key(decision), not_promoted(decision))
        else:
            assert decision.reasons[-1] == "the last training was on 2026-03-01; cool-down until 2026-03-31"
    after, _ = decide(site.store, site.rule, date(2026, 6, 1), site.cache)
    assert (after.patients_before, after.new_patients) == (OLD + 2 * NEW, 0)


def not_promoted(decision: RetrainDecision) -> RetrainOutcome:
    return RetrainOutcome(
        rule=decision.rule, date=decision.date, candidate=decision.run, promoted=False, ticket=None, note="in a test"
    )


def test_a_decision_is_made_once_a_day_and_is_the_same_bytes_if_made_again(site: Site) -> None:
    site.grow(NEW)
    once, again = (document_bytes(decide(site.store, site.rule, TODAY, site.cache)[0]) for _ in range(2))
    assert once == again
    expect_rows(site, 0.05)
    decision, _ = site.call()
    key = keys.RETRAIN_DECISION.build(name="ms", date="2026-03-01")
    assert site.store.get(key) == once == document_bytes(decision)
    assert site.call()[0] == decision
    assert len(site.executed) == 1


def test_a_new_scanner_and_another_age_are_named_from_the_facts_of_the_cohort(site: Site) -> None:
    site.grow(NEW)
    manifest = put(site.store, "ms", site.entries)
    (digest,) = manifest.parts.values()
    facts = [
        StudyFacts(
            study=entry.study,
            patient=entry.patient,
            site=entry.site,
            age_years=30.0 + place + (40 if place >= OLD else 0),
            manufacturer="Acme",
            model="Two" if place == len(site.entries) - 1 else "One",
        )
        for place, entry in enumerate(site.entries)
    ]
    key = keys.FACTS.build(site="drawn", cohort="ms", digest=digest)
    write_rows(site.store, key, facts, StudyFacts)
    decision, _ = decide(site.store, site.rule, TODAY, site.cache)
    assert decision.verdict == "hold"
    assert decision.reasons[0] == "scanner: new are Acme Two"
    assert [reason.partition(":")[0] for reason in decision.reasons] == ["scanner", "age_years"]


def test_a_trainer_leaves_the_look_to_the_gate(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> int:
        raise AccessDenied("benchmarks/results/")

    site.grow(NEW)
    run = expect_rows(site, 0.05)
    with monkeypatch.context() as patched:
        patched.setattr(retraining, "looks_left", refused)
        patched.setattr(retraining, "look", refused)
        for _ in range(2):
            decision, outcome = retrain(site.store, site.rule, TODAY, ANN, site.cache, site.execute, to_the_end=False)
            assert (decision.verdict, decision.looks_left, outcome) == ("train", None, None)
    assert champion(site.store, "ms") != run.run_id
    concluded = conclude(site.store, site.rule, ANN, site.cache)
    assert concluded is not None
    assert (concluded[0], concluded[1].promoted, champion(site.store, "ms")) == (decision, True, run.run_id)
    assert conclude(site.store, site.rule, ANN, site.cache) is None, "nothing waits any more"


def registered(site: Site, gain: float = 0.05) -> RunSpec:
    """A candidate that waits for the gate."""
    site.grow(NEW)
    run = expect_rows(site, gain)
    retrain(site.store, site.rule, TODAY, ANN, site.cache, site.execute, to_the_end=False)
    return run


@pytest.mark.parametrize("step", ["look", "promote"])
def test_two_gates_at_once_take_one_look_and_leave_one_outcome(
    site: Site, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    registered(site)
    concluded: list[object] = []

    def late(*arguments: object) -> object:
        monkeypatch.undo()
        concluded.append(conclude(site.store, site.rule, ANN, site.cache))
        return getattr(retraining, step)(*arguments)

    monkeypatch.setattr(retraining, step, late)
    concluded.append(conclude(site.store, site.rule, ANN, site.cache))
    assert concluded[0] == concluded[1] is not None
    assert len(tickets(site.store, site.rule.benchmark)) == 1


def test_a_gate_killed_after_it_promoted_does_not_undo_the_rollback_that_followed(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = registered(site)
    with monkeypatch.context() as patched:
        patched.setattr(retraining, "create_document", killed)
        with pytest.raises(Killed):
            conclude(site.store, site.rule, ANN, site.cache)
    assert champion(site.store, "ms") == run.run_id
    rollback(site.store, "ms", "it misses brainstem lesions", ANN)
    concluded = conclude(site.store, site.rule, ANN, site.cache)
    assert concluded is not None
    assert (concluded[1].promoted, concluded[1].ticket) == (True, 1)
    assert champion(site.store, "ms") != run.run_id
    assert [made.number for made in decisions(site.store, "ms")] == [3, 2, 1]


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"experiment": "alone"}, "experiment alone, not ms"),
        ({"manifest": "0" * 16}, "manifest 0000000000000000, not"),
        ({"cohort": "held-out"}, "cohort held-out, not ms"),
        ({"parent": ELSEWHERE}, f"source other@{'0' * 16}, not none"),
    ],
    ids=["another experiment", "another manifest", "another cohort", "another source"],
)
def test_a_decision_that_names_another_training_costs_no_look_and_promotes_nothing(
    site: Site, changes: dict[str, object], named: str
) -> None:
    run = registered(site)
    other = run.changed(**changes)
    finish(site.store, other)
    key = keys.RETRAIN_DECISION.build(name="ms", date="2026-03-01")
    decision = read_document(site.store, key, RetrainDecision)
    site.store.put(key, document_bytes(decision.model_copy(update={"run": other.run_id})))
    before = champion(site.store, "ms")
    concluded = conclude(site.store, site.rule, ANN, site.cache)
    assert concluded is not None
    assert (concluded[1].promoted, concluded[1].ticket) == (False, None)
    assert f"run {other.run_id} is not the training that was decided: {named}" in concluded[1].note
    assert champion(site.store, "ms") == before
    assert tickets(site.store, site.rule.benchmark) == []


def test_a_rule_that_retrains_nothing_has_no_candidate_to_look_at(site: Site) -> None:
    with pytest.raises(InputError, match="declares no retraining"):
        conclude(site.store, site.rule.model_copy(update={"retraining": None}), ANN, site.cache)


@pytest.mark.parametrize("by", ["policy", "withdrawal"])
def test_what_a_site_forbids_by_now_is_not_read_for_drift_and_what_is_read_is_told_before(site: Site, by: str) -> None:
    site.grow(NEW)
    gone = site.entries[0]
    if by == "withdrawal":
        withdraw(site.store, "drawn", [gone.study], "2026-03-01")
    else:
        site.grow(NEW, site="west")
        site.store.put(keys.POLICY.build(site="drawn"), b"site: drawn\nleaves: nothing\ntasks: [enhancing]\n")
    told: list[RunSpec] = []

    @contextmanager
    def reading(run: RunSpec) -> Iterator[None]:
        assert not site.cache.exists(), "nothing is read yet"
        told.append(run)
        yield

    decision, _ = decide(site.store, site.rule, TODAY, site.cache, reading=reading)
    if by == "policy":
        assert (told, decision.shifts) == ([], ())
        return
    (run,) = told
    read = {entry.volume for entry in run.train}
    assert gone.volume not in read
    assert {path.name for path in (site.cache / "volumes").iterdir() if path.is_dir()} == read
    assert {shift.before for shift in decision.shifts} == {OLD - 1}


def test_one_process_at_a_time_works_on_a_rule(site: Site) -> None:
    site.grow(NEW)
    with claim_run(site.store, site.rule.id, new_submission(), "bob@south"), pytest.raises(RunHeld, match="bob@south"):
        site.call()
    assert not site.store.list("retrain/")


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [({"noise": 2.0}, "noise of flair"), ({"site": "west"}, "site: new are west")],
    ids=["noise", "site"],
)
def test_what_differs_is_held_until_somebody_accepts_it(site: Site, changes: dict[str, object], wanted: str) -> None:
    site.grow(NEW, **changes)  # type: ignore[arg-type]
    expect_rows(site, 0.05)
    decision, _ = site.call()
    assert (decision.verdict, site.executed) == ("hold", [])
    assert any(reason.startswith(wanted) for reason in decision.reasons), decision.reasons
    accepted, outcome = site.call(accepted="a new scanner, looked at it")
    assert (accepted.verdict, accepted.accepted) == ("train", "a new scanner, looked at it")
    assert accepted.shifts == decision.shifts
    assert outcome is not None


def test_the_decision_page_shows_the_last_comparison_though_a_later_day_had_nothing_to_compare(site: Site) -> None:
    site.grow(NEW)
    expect_rows(site, 0.05)
    trained, _ = site.call()
    later, _ = site.call(LATER)
    assert (bool(trained.shifts), later.shifts) == (True, ())
    plan = current_plan(site.store, "alone")
    (page,) = model_pages(plan.spec.title, models_of(site.store, plan))
    html = page.files["models/ms.html"].decode()
    assert all(date in html for date in (trained.date, later.date))
    assert all(f">{shift.name}</" in html for shift in trained.shifts)


def test_the_decision_page_shows_every_property_and_which_of_them_drifted(site: Site) -> None:
    site.grow(NEW, noise=2.0)
    decision, _ = site.call()
    plan = current_plan(site.store, "alone")
    (page,) = model_pages(plan.spec.title, models_of(site.store, plan))
    html = page.files["models/ms.html"].decode()
    assert "decided: hold and look at the studies first (brightness of flair: median" in html
    lines = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", line, re.DOTALL) for line in html.split("</tr>")]
    shown = {line[0]: line[1:] for line in lines if line}
    assert {shift.name for shift in decision.shifts} <= shown.keys()
    for shift in decision.shifts:
        numbers = [
            NONE if value is None else f"{value:.3g}" for value in (shift.median_before, shift.median_now, shift.p)
        ]
        drifted = "yes" if shift.name in ("brightness of flair", "noise of flair") else "no"
        assert shown[shift.name] == [str(OLD), str(NEW), *numbers, "", drifted]


def test_like_patients_are_no_drift(site: Site) -> None:
    site.grow(NEW)
    decision, _ = decide(site.store, site.rule, TODAY, site.cache)
    assert [shift.name for shift in decision.shifts if shift.drifted] == []
    assert len(decision.shifts) == 5


def test_without_gpu_hours_or_looks_nothing_is_trained(site: Site) -> None:
    site.grow(NEW)
    poor = site.rule.model_copy(update={"retraining": site.rule.retraining.model_copy(update={"gpu_hours": 0.0})})  # type: ignore[union-attr]
    assert decide(site.store, poor, TODAY, site.cache)[0].verdict == "wait"
    for number in range(3):
        take_ticket(site.store, site.rule, card_of(f"{number:016x}"), "c" * 16, ANN)
    decision, _ = decide(site.store, site.rule, TODAY, site.cache)
    assert (decision.verdict, decision.reasons) == ("wait", ("no look at the benchmark is left",))


def test_patients_of_a_benchmark_are_left_out_with_all_their_studies(site: Site) -> None:
    site.grow(NEW)
    second = site.entries[-1].model_copy(update={"study": "sub-900_ses-02", "image_sha256": "9" * 64})
    twin = site.entries[-1].model_copy(update={"study": "sub-901", "patient": "other"})
    put(site.store, "second", [twin])
    freeze(site.store, "second", "second", MetricDefinition())
    put(site.store, "ms", [*site.entries, second])
    decision, run = decide(site.store, site.rule, TODAY, site.cache)
    assert (decision.set_aside, decision.patients_now) == (2, OLD + NEW - 1)
    assert not {site.entries[-1].study, second.study} & {entry.study for entry in run.train}


@pytest.mark.parametrize("policy", ["leaves: images\ntasks: [enhancing]", "leaves: rows\nexpires: 2026-02-28"])
def test_new_patients_of_a_site_that_forbids_it_do_not_count(site: Site, policy: str) -> None:
    site.grow(NEW, site="west")
    assert decide(site.store, site.rule, TODAY, site.cache)[0].new_patients == NEW
    site.store.put(keys.POLICY.build(site="west"), f"site: west\n{policy}\n".encode())
    decision, run = decide(site.store, site.rule, TODAY, site.cache)
    assert (decision.verdict, decision.new_patients) == ("wait", 0)
    assert {entry.site for entry in run.train} == {"drawn"}


@pytest.mark.parametrize("by", ["policy", "withdrawal"])
def test_a_training_that_a_site_forbids_after_it_was_decided_is_given_up_and_the_next_date_decides_without(
    site: Site, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    site.grow(NEW)
    site.grow(1, site="west")

    def die(runs: Sequence[RunSpec]) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(site, "execute", die)
        with pytest.raises(Killed):
            site.call(accepted="another site")
    forbidden = site.entries[-1]
    if by == "policy":
        site.store.put(keys.POLICY.build(site="west"), b"site: west\nleaves: nothing\ntasks: [enhancing]\n")
        why = "site west: 1 study planned, but its policy allows the tasks enhancing"
    else:
        withdraw(site.store, "west", [forbidden.study], "2026-03-02")
        why = f"{forbidden.study} withdrawn since it was decided"
    decision, outcome = site.call(LATER)
    assert outcome is not None
    assert (outcome.promoted, outcome.ticket, site.executed) == (False, None, [])
    assert outcome.note.startswith(f"not trained: {why}")
    assert decision.date == "2026-03-01"
    expect_rows(site, 0.05)
    again, outcome = site.call(LATER)
    assert (again.verdict, again.new_patients, again.last_training) == ("train", NEW, None)
    assert outcome is not None
    (trained,) = site.executed
    run = read_document(site.store, keys.RUN_SPEC.build(run_id=trained), RunSpec)
    assert forbidden.study not in {entry.study for entry in run.train}


def close(site: Site, by: str) -> str:
    """Let the benchmark's site forbid a look, though not a training; why no look is taken."""
    held = find_benchmark(site.store, "bench").manifest.studies[0]
    if by == "policy":
        site.store.put(keys.POLICY.build(site="drawn"), b"site: drawn\nleaves: aggregates\nexperiments: [ms]\n")
        return f"site drawn: {BENCH} studies planned, but its policy allows the experiments ms"
    withdraw(site.store, held.site, [held.study], "2026-03-01")
    return f"{held.study}: withdrawn by its site"


@pytest.mark.parametrize("by", ["policy", "withdrawal"])
def test_nothing_is_trained_for_a_benchmark_that_nobody_may_look_at(site: Site, by: str) -> None:
    site.grow(NEW)
    why = close(site, by)
    decision, outcome = site.call()
    assert (decision.verdict, outcome, site.executed) == ("wait", None, [])
    (reason,) = decision.reasons
    assert reason.startswith(why)
    assert reason.endswith("cannot be looked at; freeze another one")


@pytest.mark.parametrize("by", ["policy", "withdrawal"])
def test_a_training_is_given_up_once_nobody_may_look_at_its_benchmark(
    site: Site, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    site.grow(NEW)
    with monkeypatch.context() as patched:
        patched.setattr(site, "execute", killed)
        with pytest.raises(Killed):
            site.call()
    why = close(site, by)
    decision, outcome = site.call(LATER)
    assert outcome is not None
    assert (decision.verdict, outcome.promoted, outcome.ticket, site.executed) == ("train", False, None, [])
    assert outcome.note.startswith(f"not trained: {why}")
    assert site.call(LATER)[0].verdict == "wait"


STEPS = ["execute", "register", "look", "promote", "create_document"]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("after", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["before", "after"])
def test_killed_at_any_step_and_called_again_it_ends_as_if_undisturbed(
    site: Site, monkeypatch: pytest.MonkeyPatch, step: str, after: bool
) -> None:
    site.grow(NEW)
    run = expect_rows(site, 0.05)

    def dying(function: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object, **named: object) -> object:
            if after:
                function(*arguments, **named)
            raise Killed

        return call

    with monkeypatch.context() as patched:
        if step == "execute":
            patched.setattr(site, "execute", dying(site.execute))
        else:
            patched.setattr(retraining, step, dying(getattr(retraining, step)))
        with pytest.raises(Killed):
            site.call()
    decision, outcome = site.call(LATER if site.store.list("retrain/ms/2026") else TODAY)
    assert outcome is not None
    assert (decision.date, decision.run) == ("2026-03-01", run.run_id)
    assert (outcome.promoted, outcome.ticket, champion(site.store, "ms")) == (True, 1, run.run_id)
    assert [made.number for made in decisions(site.store, "ms")] == [2, 1]
    assert len(tickets(site.store, site.rule.benchmark)) == 1


RECEIPTS = ("retrain/", "models/ms/history/", "models/ms/champion.json", "benchmarks/results/")


@pytest.fixture(scope="module")
def trainable(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Rule]:
    """A store in which everything can really be trained and tested: a champion, a benchmark with volumes, a rule."""
    folder = tmp_path_factory.mktemp("trainable")
    store, cache = open_store(folder.as_uri()), tmp_path_factory.mktemp("cache")
    old = [study(store, number) for number in range(4)]
    put(store, "ms", old)
    short = {"patch_voxels": 16, "batch_size": 2, "patches_per_study": 2, "augmentations": 1, "epochs": 1}
    target = {"cohort": "ms", "subsets": 2, "subset_size": 2}
    spec = SPEC | {"spacing_mm": 2.0, "training": short, "target": target, "training_sizes": [2]}
    plan = plan_experiment(ExperimentSpec.model_validate(spec), store)
    store_plan(store, plan)
    first = plan.runs[0].changed(cell=None, train=tuple(old), test=(), seed=7)
    execute_runs([first], store, cache, plain=True)
    promote(store, register(store, first.run_id, "ms").full_name, "first", ANN)
    put(store, "held-out", [study(store, 500 + number) for number in range(4)])
    frozen = freeze(store, "bench", "held-out", MetricDefinition())
    rule = Rule.named(
        model="ms",
        benchmark=frozen.benchmark.id,
        conditions=[{"kind": "non-inferior", "metric": "dice", "margin": 0.9}],
        looks=1,
        retraining={"experiment": "alone", "cohort": "ms", "least_new_patients": 3, "gpu_hours": 1000.0},
    )
    declare(store, rule)
    put(store, "ms", [*old, *(study(store, number) for number in range(4, 8))])
    return folder, rule


@pytest.mark.slow
def test_with_trained_networks_a_kill_at_any_step_leaves_the_same_receipts_byte_for_byte(
    trainable: tuple[Path, Rule], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, rule = trainable

    def die(*_: object, **__: object) -> None:
        raise Killed

    def receipts(step: str) -> dict[str, bytes]:
        shutil.copytree(folder, tmp_path / step)
        store, cache = open_store((tmp_path / step).as_uri()), tmp_path / "cache" / step

        def call() -> RetrainOutcome | None:
            return retrain(store, rule, TODAY, ANN, cache, lambda runs: execute_runs(runs, store, cache, plain=True))[1]

        if step != "undisturbed":
            with monkeypatch.context() as patched:
                patched.setattr(cell if hasattr(cell, step) else retraining, step, die)
                with pytest.raises(Killed):
                    call()
        outcome = call()
        assert outcome is not None
        assert outcome.ticket == 1
        return {key: store.get(key) for start in RECEIPTS for key in store.list(start)}

    undisturbed = receipts("undisturbed")
    assert any(key.startswith("retrain/ms/outcomes/") for key in undisturbed)
    for step in ("store_model", "close_run", "register", "look", "promote", "create_document"):
        assert receipts(step) == undisturbed, step
