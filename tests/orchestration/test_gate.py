"""A look through the gate: ticket first, rows of both models, the rule; what was altered since is refused."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from jobs.cli import app
from lesionlab.analysis import model_evidence
from lesionlab.analysis.model_evidence import models_of
from lesionlab.analysis.pages.model_pages import model_pages
from lesionlab.errors import AccessDenied, DamagedObject, InputError, MissingObject
from lesionlab.experiments.benchmarks import Frozen, freeze
from lesionlab.experiments.champions import Person, decision_in_force, promote
from lesionlab.experiments.registry import champion, register
from lesionlab.experiments.rules import declare
from lesionlab.experiments.stored_plans import current_plan
from lesionlab.experiments.tickets import tickets
from lesionlab.experiments.withdrawal import execute, withdraw, withdrawals
from lesionlab.orchestration.gate import look, verify
from lesionlab.store.documents import read_document, write_document
from lesionlab.store.objects import Store, open_store
from lesionlab.store.tables import read_rows, write_rows
from storage_schemas import keys
from storage_schemas.base import Digest
from storage_schemas.decisions import Champion
from storage_schemas.definitions import MetricDefinition
from storage_schemas.grading import InsertedLesion
from storage_schemas.models import ModelCard
from storage_schemas.results import StudyRow
from storage_schemas.rules import Rule
from storage_schemas.runs import RunSpec
from tests.experiments.drawn import entry, manifest
from tests.experiments.finished import finish_experiment
from tests.parts import contribute

ANN = Person("ann@north", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
PATIENTS = 20


@pytest.fixture
def store(file_store_uri: str) -> Store:
    return open_store(file_store_uri)


@pytest.fixture
def versions(store: Store) -> list[ModelCard]:
    """Three registered versions of one model; the first is in use."""
    runs = [run for run in finish_experiment(store).runs if run.cell and run.cell.training_size == 4]
    cards = [register(store, run.run_id, "ms") for run in runs]
    promote(store, cards[0].full_name, "first", ANN)
    return cards


@pytest.fixture
def frozen(store: Store) -> Frozen:
    cohort = manifest(*(entry(100 + number, site="ab"[number % 2]) for number in range(PATIENTS)), cohort="held-out")
    cohort = cohort.changed(spacing_mm=3.0)
    contribute(store, cohort)
    return freeze(store, "bench", "held-out", MetricDefinition())


@pytest.fixture
def rule(store: Store, frozen: Frozen) -> Rule:
    conditions = [
        {"kind": "non-inferior", "metric": "sensitivity", "margin": 0.05},
        {"kind": "superior", "metric": "ppv"},
        {"kind": "no-site-worse", "metric": "ppv", "margin": 0.1},
    ]
    found = Rule.named(model="ms", benchmark=frozen.benchmark.id, conditions=conditions, looks=2)
    declare(store, found)
    return found


def rows_stored(
    store: Store, frozen: Frozen, version: Digest, sensitivity: Sequence[float], ppv: Sequence[float]
) -> str:
    """Store the rows that testing this version would give."""
    rows = [
        StudyRow(
            experiment="evaluate-ms",
            run_id=version,
            task="flair-single",
            arm="default",
            source="ms",
            training_size=0,
            fold=1,
            seed=0,
            depth=1,
            trained_on=0,
            study=study.study,
            patient=study.patient,
            site=study.site,
            position=place,
            definition="paper@0",
            sensitivity=sensitivity[place - 1],
            ppv=ppv[place - 1],
            false_positives=0,
            reference_lesions=3,
            predicted_lesions=3,
            true_positives=3,
            reference_ml=1.0,
            predicted_ml=1.0,
            inference_s=0.0,
        )
        for place, study in enumerate(frozen.manifest.studies, start=1)
    ]
    key = keys.GATE_ROWS.build(benchmark=frozen.benchmark.id, version=version)
    write_rows(store, key, rows, StudyRow)
    return key


@pytest.fixture
def rows(store: Store, frozen: Frozen, versions: list[ModelCard]) -> list[str]:
    """Rows of the champion, of a better candidate and of a worse one."""
    noise = np.random.default_rng(0).normal(0, 0.02, (2, PATIENTS))
    before = np.linspace(0.4, 0.8, PATIENTS)
    return [
        rows_stored(store, frozen, versions[0].version, before.tolist(), before.tolist()),
        rows_stored(
            store, frozen, versions[1].version, (before + noise[0]).tolist(), (before + 0.1 + noise[1]).tolist()
        ),
        rows_stored(
            store, frozen, versions[2].version, (before - 0.1 + noise[0]).tolist(), (before + noise[1]).tolist()
        ),
    ]


def test_a_champion_that_somebody_moved_without_a_look_is_told_before_a_look_is_spent(
    store: Store, versions: list[ModelCard], frozen: Frozen, rule: Rule, rows: list[str], tmp_path: Path
) -> None:
    """A candidate would easily be better than a bad version that a trainer's key put into use."""
    assert not look(store, rule, versions[2], ANN, tmp_path).passed
    first = decision_in_force(store, "ms")
    assert first
    forged = first.changed(number=2, before=first.id, replaced=first.champion, champion=versions[2].version)
    write_document(store, keys.DECISION.build(name="ms", digest=forged.id), forged)
    write_document(store, keys.CHAMPION.build(name="ms"), Champion(target=forged.champion, decision=forged.id))
    with pytest.raises(DamagedObject, match="decision 2 is by hand, after a look was taken"):
        look(store, rule, versions[1], ANN, tmp_path)
    assert len(tickets(store, frozen.benchmark.id)) == 1
    told = CliRunner().invoke(app, ["lineage", "ms", "--verify", "--store", store.uri])
    assert told.exit_code == 1
    assert "decision 2 is by hand, after a look was taken" in told.output + str(told.exception)


def test_a_candidate_that_shows_everything_is_promoted_with_the_evidence(
    store: Store, versions: list[ModelCard], rule: Rule, rows: list[str], tmp_path: Path
) -> None:
    outcome = look(store, rule, versions[1], ANN, tmp_path)
    assert (outcome.passed, outcome.ticket, outcome.level) == (True, 1, 0.025)
    assert [found.passed for found in outcome.conditions] == [True, True, True]
    decision = promote(store, versions[1].full_name, "by rule", ANN, outcome)
    assert decision_in_force(store, "ms") == decision
    assert decision.gate == outcome
    verify(store, outcome, "ms")


def test_a_candidate_that_fails_one_condition_stays_a_candidate(
    store: Store, versions: list[ModelCard], rule: Rule, rows: list[str], tmp_path: Path
) -> None:
    outcome = look(store, rule, versions[2], ANN, tmp_path)
    assert not outcome.passed
    with pytest.raises(InputError, match="did not pass"):
        promote(store, versions[2].full_name, "by rule", ANN, outcome)
    assert champion(store, "ms") == versions[0].version


def test_evidence_about_one_candidate_promotes_no_other(
    store: Store, versions: list[ModelCard], rule: Rule, rows: list[str], tmp_path: Path
) -> None:
    outcome = look(store, rule, versions[1], ANN, tmp_path)
    with pytest.raises(InputError, match=f"is about {versions[1].version}"):
        promote(store, versions[2].full_name, "by rule", ANN, outcome)


def test_a_rule_judges_its_own_model_and_a_look_counts_for_the_rule_that_took_it(
    store: Store, versions: list[ModelCard], rule: Rule, rows: list[str], tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=f"is about other, not about {versions[1].full_name}"):
        look(store, rule.changed(model="other"), versions[1], ANN, tmp_path)
    assert tickets(store, rule.benchmark) == []
    outcome = look(store, rule, versions[1], ANN, tmp_path)
    laxer = rule.changed(undefined="exclude")  # the same on these rows
    declare(store, laxer)
    with pytest.raises(MissingObject, match=f"ticket 1 .* by rule {laxer.id}"):
        verify(store, outcome.model_copy(update={"rule": laxer.id}), "ms")


def test_a_candidate_of_a_withdrawn_study_is_refused_before_a_look_is_spent(
    store: Store, versions: list[ModelCard], rule: Rule, rows: list[str], tmp_path: Path
) -> None:
    run = read_document(store, keys.RUN_SPEC.build(run_id=versions[1].version), RunSpec)
    withdraw(store, run.train[0].site, [run.train[0].study], "2026-11-28")
    command = ["promote", versions[1].full_name, "--reason", "by rule", "--store", store.uri]
    told = CliRunner().invoke(app, [*command, "--cache", str(tmp_path)])
    assert (told.exit_code, "withdrawn since" in told.output) == (1, True), told.output
    assert tickets(store, rule.benchmark) == []


def test_looking_again_spends_nothing_and_finds_the_same(
    store: Store, versions: list[ModelCard], rule: Rule, rows: list[str], tmp_path: Path
) -> None:
    first = look(store, rule, versions[2], ANN, tmp_path)
    assert look(store, rule, versions[2], ANN, tmp_path) == first
    assert len(tickets(store, rule.benchmark)) == 1


def test_the_ticket_is_taken_before_the_candidate_is_tested(
    store: Store, versions: list[ModelCard], rule: Rule, rows: list[str], tmp_path: Path
) -> None:
    """The candidate's rows are not there, and its benchmark's volumes neither: testing it fails after the ticket."""
    store.delete(rows[1])
    with pytest.raises(MissingObject):
        look(store, rule, versions[1], ANN, tmp_path)
    assert [ticket.candidate for ticket in tickets(store, rule.benchmark)] == [versions[1].version]


def test_a_site_that_forbids_it_by_now_is_named_before_a_look_is_spent(
    store: Store, versions: list[ModelCard], rule: Rule, rows: list[str], tmp_path: Path
) -> None:
    """Also where both models were tested before that."""
    for policy in (b"leaves: nothing", b"leaves: aggregates\ntasks: [enhancing]", b"leaves: rows\nexpires: 2026-01-01"):
        store.put(keys.POLICY.build(site="a"), b"site: a\n" + policy)
        with pytest.raises(InputError, match=r"site a: 10 studies planned, but.*\n?.*freeze another one"):
            look(store, rule, versions[1], ANN, tmp_path)
    assert tickets(store, rule.benchmark) == []
    store.put(keys.POLICY.build(site="a"), b"site: a\nleaves: aggregates\nexperiments: [evaluate-ms]\n")
    assert look(store, rule, versions[1], ANN, tmp_path).passed


@pytest.mark.parametrize("altered", ["champion rows", "candidate rows", "rule"])
def test_what_was_altered_since_the_look_is_refused(
    store: Store, versions: list[ModelCard], rule: Rule, rows: list[str], tmp_path: Path, altered: str
) -> None:
    outcome = look(store, rule, versions[1], ANN, tmp_path)
    if altered == "rule":
        changed = rule.model_copy(update={"alpha": 0.2})
        write_document(store, keys.RULE.build(name="ms", digest=rule.id), changed)
        with pytest.raises(DamagedObject, match=rule.id):
            verify(store, outcome, "ms")
        return
    key = rows[altered == "candidate rows"]
    better = [row.model_copy(update={"ppv": 1.0}) for row in read_rows(store, [key], StudyRow)]
    write_rows(store, key, better, StudyRow)  # with a valid checksum of its own
    with pytest.raises(DamagedObject, match="are not those that the decision rests on"):
        verify(store, outcome, "ms")
    with pytest.raises(DamagedObject, match="look 1 at benchmark"):
        look(store, rule, versions[1], ANN, tmp_path)


def test_rows_that_a_withdrawal_took_are_told_from_rows_that_somebody_altered(
    store: Store, versions: list[ModelCard], frozen: Frozen, rule: Rule, rows: list[str], tmp_path: Path
) -> None:
    outcome = look(store, rule, versions[1], ANN, tmp_path)
    promote(store, versions[1].full_name, "by rule", ANN, outcome)
    assert verify(store, outcome, "ms") == ()
    gone = frozen.manifest.studies[0]
    withdraw(store, gone.site, [gone.study], "2026-11-28")
    execute(store, withdrawals(store))
    assert gone.study not in {row.study for row in read_rows(store, rows[:2], StudyRow)}
    assert verify(store, outcome, "ms") == (gone.study,)
    told = CliRunner().invoke(app, ["lineage", versions[1].full_name, "--verify", "--store", store.uri])
    assert told.exit_code == 0, told.output
    assert f"cannot be computed again: {gone.study} withdrawn since" in " ".join(told.output.split())
    with pytest.raises(InputError, match=rf"{gone.study}: withdrawn by its site"):
        look(store, rule, versions[2], ANN, tmp_path)
    assert len(tickets(store, rule.benchmark)) == 1
    other = frozen.manifest.studies[1].study  # nobody withdrew this one
    fewer = [row for row in read_rows(store, [rows[0]], StudyRow) if row.study != other]
    write_rows(store, rows[0], fewer, StudyRow)
    with pytest.raises(DamagedObject, match="are not those that the decision rests on"):
        verify(store, outcome, "ms")


def test_a_candidate_that_saw_the_benchmark_or_may_have_is_not_looked_at(
    store: Store, versions: list[ModelCard], rule: Rule, rows: list[str], tmp_path: Path
) -> None:
    store.delete(keys.RUN_SPEC.build(run_id=versions[1].version))
    with pytest.raises(InputError, match="nobody can tell whether it was trained on"):
        look(store, rule, versions[1], ANN, tmp_path)
    seen = manifest(entry(2), entry(100), entry(101), cohort="seen")
    contribute(store, seen)
    other = freeze(store, "leaked", "seen", MetricDefinition())
    leaked = Rule.named(model="ms", benchmark=other.benchmark.id, conditions=[{"kind": "superior", "metric": "ppv"}])
    declare(store, leaked)
    with pytest.raises(InputError, match=r"was trained on studies of benchmark leaked@.*sub-0002"):
        look(store, leaked, versions[2], ANN, tmp_path)
    assert tickets(store, rule.benchmark) == tickets(store, other.benchmark.id) == []


def test_a_board_reads_decision_rule_looks_power_and_lineage_on_one_page_and_no_score_of_who_failed(
    store: Store, versions: list[ModelCard], rule: Rule, rows: list[str], tmp_path: Path
) -> None:
    failed, passed = (look(store, rule, versions[place], ANN, tmp_path) for place in (2, 1))
    promote(store, versions[1].full_name, "better PPV", ANN, passed)
    plan = current_plan(store, "alone")
    (page,) = model_pages(plan.spec.title, models_of(store, plan))
    html = page.files["models/ms.html"].decode()
    text = " ".join(re.sub("<[^>]+>", "", html).split())
    assert "is in use since 2026-01-02, because it passed every condition of the rule" in text
    assert "for this reason: better PPV" in text
    assert "no conformity with any law or standard is claimed" in text
    assert "20 studies of 20 patients that no training may use" in text
    assert "all 2 looks together let one pass with a chance of at most 5%" in text
    assert "passes with a chance of" in text
    assert "was trained on 4 studies of 4 patients of cohort ms" in text
    for found in passed.conditions:
        assert found.limit is not None
        assert f"{found.limit:+.3f}" in html
    assert "not shown: sensitivity: averaged over patients" in text
    for found in failed.conditions:
        assert found.limit is not None
        assert f"{found.limit:+.3f}" not in html
    assert model_pages(plan.spec.title, models_of(store, plan))[0].files == page.files


def test_who_may_not_see_the_looks_is_told_so_on_the_page(
    store: Store, versions: list[ModelCard], rule: Rule, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise AccessDenied("benchmarks/")

    monkeypatch.setattr(model_evidence, "tickets", refused)
    plan = current_plan(store, "alone")
    (page,) = model_pages(plan.spec.title, models_of(store, plan))
    html = page.files["models/ms.html"].decode()
    assert "the gate and the steward can show them" in html
    assert "by a person" in html


def test_a_self_grading_is_on_the_page_with_its_figure(store: Store, versions: list[ModelCard]) -> None:
    rows = [
        InsertedLesion(
            model="ms",
            version=versions[0].version,
            cohort="own",
            manifest="d" * 16,
            study=f"sub-{patient:04d}",
            patient=f"p{patient}",
            site="a",
            channel="flair",
            definition="paper@0",
            diameter_mm=diameter,
            contrast=1.0,
            height="middle",
            region="central",
            x_mm=0.0,
            y_mm=0.0,
            z_mm=0.0,
            detected=diameter > 3,
            marked_before=False,
        )
        for patient in range(6)
        for diameter in (3.0, 12.0)
    ]
    key = keys.SELF_GRADE.build(name="ms", version=versions[0].version, manifest="d" * 16)
    write_rows(store, key, rows, InsertedLesion)
    plan = current_plan(store, "alone")
    (page,) = model_pages(plan.spec.title, models_of(store, plan))
    html = page.files["models/ms.html"].decode()
    assert "Fraction of inserted lesions detected by" in html
    assert "0.00 to 0.46" in html
    assert "0.54 to 1.00" in html
    assert "these fractions are no sensitivities" in html
    assert [name for name in page.files if name.endswith(".png")] == [
        f"figures/detection-ms-{versions[0].version}-own.png"
    ]


def test_a_rule_about_inserted_lesions_grades_the_candidate_after_its_ticket(
    store: Store, versions: list[ModelCard], frozen: Frozen, rows: list[str], tmp_path: Path
) -> None:
    small = {"kind": "detects", "diameter_mm": 3.0, "contrast": 1.0, "least": 0.5}
    own = Rule.named(
        model="ms", benchmark=frozen.benchmark.id, conditions=[{"kind": "superior", "metric": "ppv"}, small]
    )
    declare(store, own)
    with pytest.raises(MissingObject):  # the benchmark's volumes were never stored: grading fails after the ticket
        look(store, own, versions[1], ANN, tmp_path)
    assert [ticket.rule for ticket in tickets(store, own.benchmark)] == [own.id]


def test_without_a_champion_there_is_nothing_to_compare(
    store: Store, versions: list[ModelCard], rule: Rule, rows: list[str], tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="found the candidate itself"):
        look(store, rule, versions[0], ANN, tmp_path)
    store.delete(keys.CHAMPION.build(name="ms"))
    with pytest.raises(InputError, match="found none"):
        look(store, rule, versions[1], ANN, tmp_path)
