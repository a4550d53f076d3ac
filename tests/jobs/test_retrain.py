"""Scheduled retraining on the command line: what it reads is in the audit, and each part says what is left to do."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest

from lesionlab.experiments.audit import chain
from lesionlab.experiments.registry import champion
from lesionlab.store.documents import write_document
from lesionlab.store.objects import open_store
from storage_schemas import keys
from storage_schemas.parts import DeclaredCohort
from storage_schemas.tasks import TASKS
from tests.jobs.conftest import Lesionlab
from tests.orchestration.test_retraining import NEW, OLD, Site, expect_rows, prepare


@pytest.fixture
def site(file_store_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """Its trainings finish at once, with networks that were never trained."""
    store = open_store(file_store_uri)
    made = Site(store, tmp_path / "cache", *prepare(store))
    monkeypatch.setattr(
        import_module("jobs.retrain"), "execute_with_progress", lambda runs, *_, **__: made.execute(runs)
    )
    return made


def test_what_is_read_to_compare_new_with_old_is_in_the_audit_though_nothing_is_trained(
    lesionlab: Lesionlab, site: Site
) -> None:
    declared = DeclaredCohort(cohort="other", sites=("drawn",), task=TASKS["flair-single"], rating="simulated")
    write_document(site.store, keys.COHORT.build(cohort="other"), declared)  # a consortium's store has an audit
    call = ("retrain", "ms", "--date")
    site.grow(1)
    assert "2026-03-01, ms: wait" in lesionlab(*call, "2026-03-01").output
    assert chain(site.store, "trainer").entries == (), "no study was read"
    site.grow(NEW, noise=2.0)
    result = lesionlab(*call, "2026-03-02")
    assert "2026-03-02, ms: hold" in result.output, result.output
    begun, done = chain(site.store, "trainer").entries
    assert (begun.command, begun.about, begun.outcome, done.outcome) == ("retrain", "ms", "begun", "done")
    assert [(one.site, one.studies) for one in begun.studies] == [("drawn", OLD + 1 + NEW)]


def test_the_trainer_is_told_how_to_go_on_and_the_gate_that_nothing_waits(lesionlab: Lesionlab, site: Site) -> None:
    assert "ms: no trained candidate waits for a look" in lesionlab("retrain", "ms", "--part", "look").output
    site.grow(NEW)
    run = expect_rows(site, 0.05)
    result = lesionlab("retrain", "ms", "--part", "train", "--date", "2026-03-01", "--device", "cpu")
    told = " ".join(result.output.split())
    assert f"candidate ms@{run.run_id} waits for a look: lesionlab retrain ms@{site.rule.id} --part look" in told
    result = lesionlab("retrain", f"ms@{site.rule.id}", "--part", "look")
    assert f"candidate ms@{run.run_id}: promoted" in result.output
    assert champion(site.store, "ms") == run.run_id


@pytest.mark.parametrize("option", [("--date", "2026-03-01"), ("--accept-drift", "looked at it")])
def test_the_gate_decides_nothing_so_options_of_the_decision_are_refused(
    lesionlab: Lesionlab, option: tuple[str, str]
) -> None:
    result = lesionlab("retrain", "ms", "--part", "look", *option)
    assert (result.exit_code, "--part look decides nothing" in result.output) == (2, True), result.output
