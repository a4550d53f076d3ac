"""What is refused before anything is sent, and what is sent twice: nothing waits for ever or is done twice."""

from __future__ import annotations

import copy
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from jobs.shared.experiment_files import load_spec
from jobs.shared.submitting import start
from lesionlab.clusters.api import connected
from lesionlab.errors import NotAllowed
from lesionlab.experiments.rehearsal import Rehearsal, rehearse
from lesionlab.experiments.stored_plans import store_plan
from lesionlab.experiments.submissions import end_attempt, open_attempt, stored_submission, submission_ids
from storage_schemas.versions import CURRENT
from tests.clusters.emulator import Object, kubeconfig
from tests.clusters.laptop import (
    NORTH,
    SOUTH,
    Site,
    job_of,
    namespace,
    now_of,
    refuse,
    submitted,
    use,
)
from tests.drill.experiment import spec

pytestmark = pytest.mark.s3

# before anything is sent


@pytest.mark.parametrize(("gpus", "fits"), [(12, True), (16, False)])
def test_a_job_larger_than_its_queue_can_ever_be_is_refused_before_it_waits_for_ever(
    site: Site, gpus: int, fits: bool
) -> None:
    """North owns 8 GPUs and may borrow 4."""
    told = site.submit("--gpus", gpus, "--dry-run")
    assert told.exit_code == 0
    assert ("it would wait for ever" not in told.output) is fits
    result = site.submit("--gpus", gpus)
    assert (result.exit_code == 0) is fits, result.output
    assert bool(site.jobs()) is bool(submission_ids(site.store)) is fits
    if not fits:
        assert "wants 16 GPUs, and its queue north never has more than 12" in result.output


def test_a_namespace_without_its_queue_is_refused(site: Site) -> None:
    site.api.remove("localqueues", "lesionlab", NORTH)
    result = site.submit()
    assert result.exit_code == 1
    assert "the job would wait for ever: the namespace has no queue lesionlab: ask the administrator" in result.output
    assert submission_ids(site.store) == []


def test_who_may_not_see_the_queues_may_submit_all_the_same(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The right to see them is a ClusterRole's, which a cautious administrator leaves out."""

    def hidden(*_: object) -> str:
        raise NotAllowed("clusterqueues is forbidden")

    monkeypatch.setattr("jobs.shared.submitting.never_starts", hidden)
    assert site.submit().exit_code == 0


@pytest.mark.parametrize(
    ("message", "advice"),
    [
        (
            'rayjobs.ray.io "x" is forbidden: exceeded quota: lesionlab, requested: count/rayjobs.ray.io=1, '
            "used: count/rayjobs.ray.io=100, limited: count/rayjobs.ray.io=100",
            "wait for other jobs of the namespace to end or end some, or ask the administrator for a larger quota",
        ),
        ('admission webhook "vrayjob.kb.io" denied the request: no', "a rule of the cluster refuses it: show this"),
    ],
    ids=["a full quota", "a webhook"],
)
def test_a_refused_creation_says_why_and_submitting_again_makes_the_job(site: Site, message: str, advice: str) -> None:
    site.api.admit = refuse("create", message)
    result = site.submit()
    assert result.exit_code == 1
    assert advice in result.output
    assert "to the site's group" not in result.output
    (name,) = submission_ids(site.store)
    outcome = now_of(site, name).outcome
    assert outcome is not None
    assert outcome.ending == "failed"
    assert message in outcome.faults[0]
    assert "failed" in site("jobs").output
    site.api.admit = lambda verb, body: None
    assert site.submit().exit_code == 0
    assert job_of(site, name)["spec"]["entrypoint"] == f"python -m jobs.work {name}"


def test_without_credentials_the_plugin_is_suspected_and_not_the_persons_rights(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = kubeconfig(site.url, "", NORTH)
    plugin = {"apiVersion": "client.authentication.k8s.io/v1", "command": str(tmp_path / "missing")}
    config["users"][0]["user"] = {"exec": plugin | {"interactiveMode": "Never"}}
    use(monkeypatch, tmp_path, config)
    with pytest.raises(NotAllowed, match="log in again, and see whether the plugin"):
        connected().get("RayJob", "lesionlab-work")


# twice


def test_of_many_who_submit_at_the_same_time_one_opens_the_attempt_and_there_is_one_job(site: Site) -> None:
    name = submitted(site)
    submission = stored_submission(site.store, name)
    for key in site.store.list(f"submissions/{name}/"):
        site.store.delete(key)
    site.api.remove("rayjobs", f"lesionlab-{name}", NORTH)
    places = [namespace(site) for _ in range(6)]
    with ThreadPoolExecutor(len(places)) as pool:
        new = list(pool.map(lambda place: start(site.store, submission, 1, place), places))
        people = [f"{number}@north" for number in range(6)]
        opened = list(pool.map(lambda by: open_attempt(site.store, submission, 2, place="north/x", by=by), people))
    assert sorted(new) == [False] * 5 + [True]
    assert [job["metadata"]["name"] for job in site.jobs()] == [f"lesionlab-{name}"]
    assert sorted(opened) == [False] * 5 + [True]
    assert now_of(site, name).attempt.by == people[opened.index(True)]


def test_what_waits_in_one_namespace_is_not_started_in_another(
    site: Site, base: Object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = submitted(site)
    use(monkeypatch, tmp_path, kubeconfig(site.url, "south", SOUTH))
    template = copy.deepcopy(base)
    template["metadata"]["namespace"] = SOUTH
    site.api.put("rayjobs", template, SOUTH)
    result = site.submit()
    assert result.exit_code == 1
    assert f"anna@north submitted it to {NORTH}/lesionlab-{name}" in result.output
    assert [job["metadata"]["namespace"] for job in site.jobs()] == [NORTH]


def test_of_two_submissions_of_one_experiment_each_keeps_its_own_plan(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, own = submitted(site), rehearse(load_spec(str(site.experiment)), site.store).plan
    site.store.put("reports/drill/0/report.html", b"report")
    end_attempt(site.store, now_of(site, name).attempt, "done", report="reports/drill/0/report.html")
    for epochs in (1, 2):
        site.experiment.write_text(spec(epochs))
        store_plan(site.store, rehearse(load_spec(str(site.experiment)), site.store).plan)
    exported = []
    monkeypatch.setattr("jobs.fetch.export_plan", lambda plan, *_: exported.append(plan))
    result = site("fetch", name, "--out", tmp_path / "report", "--masks", tmp_path / "masks")
    assert result.exit_code == 0, result.output
    assert exported == [own], "not the plan that was made since"


def test_what_is_done_costs_no_cluster_a_second_time(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    name = submitted(site)
    site.store.put("reports/drill/0/report.html", b"report")
    end_attempt(site.store, now_of(site, name).attempt, "done", report="reports/drill/0/report.html")
    site.api.remove("rayjobs", f"lesionlab-{name}", NORTH)  # finished jobs are removed after ten minutes
    monkeypatch.setattr(Rehearsal, "missing", property(lambda self: ()))
    for options in ([], ["--dry-run"]):
        result = site.submit(*options)
        assert result.exit_code == 0, result.output
        assert f"{name}: done; the report: lesionlab fetch {name}" in result.output
        assert site.jobs() == []


@pytest.mark.parametrize("lost", ["runs", "the report"])
def test_what_was_done_and_is_lost_is_done_again(site: Site, monkeypatch: pytest.MonkeyPatch, lost: str) -> None:
    """As after a restored backup."""
    name = submitted(site)
    end_attempt(site.store, now_of(site, name).attempt, "done", report="reports/drill/0/report.html")
    if lost == "runs":
        site.store.put("reports/drill/0/report.html", b"report")
    else:
        monkeypatch.setattr(Rehearsal, "missing", property(lambda self: ()))
    assert site.submit().exit_code == 0
    assert now_of(site, name).attempt.number == 2


def test_after_an_upgrade_that_changes_results_it_is_told_that_cells_would_be_trained_again(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = rehearse(load_spec(str(site.experiment)), site.store).plan
    older = CURRENT.model_copy(update={"training": CURRENT.training + 1})
    monkeypatch.setattr(
        "jobs.shared.submission_output.find_sound_plan", lambda *_: plan.model_copy(update={"versions": older})
    )
    told = site.submit("--dry-run").output
    assert f"planned with result versions training {CURRENT.training + 1} (this code has {CURRENT.training})" in told
    assert "of those, 0 of 5 cells are finished" in told
