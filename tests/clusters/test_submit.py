"""`lesionlab submit` resolves everything first, makes one job of the same experiment, and says where it stands."""

from __future__ import annotations

import hashlib
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from jobs.cli import app
from jobs.shared.following import line_of
from jobs.shared.submitting import Namespace
from jobs.shared.working import work_on
from lesionlab.clusters.api import Cluster, connected
from lesionlab.errors import ClusterError, InputError, LesionlabError, NotAllowed
from lesionlab.experiments.manifests import current_manifest
from lesionlab.experiments.rehearsal import rehearse
from lesionlab.experiments.submissions import open_attempt, standing, stored_submission, submission_ids
from lesionlab.store.arrays import write_group
from lesionlab.store.objects import Store
from storage_schemas import keys
from storage_schemas.base import CHECKSUM, canonical_json
from storage_schemas.submissions import SubmissionOutcome
from storage_schemas.volumes import ATTRIBUTE
from tests.clusters.controllers import Kueue
from tests.clusters.emulator import kubeconfig
from tests.clusters.laptop import NORTH, SOUTH, Site, use
from tests.drill.experiment import spec
from tests.parts import contribute
from tests.training.drawn import draw_study

GLIOMA = keys.CURRENT_PART.build(site="drawn", cohort="drawn-glioma")

pytestmark = pytest.mark.s3


def enrol(site: Site, name: str) -> None:
    """Add four studies of another site to the target cohort."""
    before, own = current_manifest(site.store, "drawn-ms"), []
    for study in map(draw_study, range(11, 15)):
        own.append(study.entry.model_copy(update={"site": name, "image_sha256": study.entry.volume * 4}))
        arrays = {"image": study.image_CIJK, "label": study.label_IJK, "native_label": study.label_IJK}
        write_group(site.store, own[-1].volume_key, arrays, {ATTRIBUTE: study.card.stored_form()})
    contribute(site.store, before.changed(studies=(*before.studies, *own)))


def allow(site: Site, name: str, *lines: str) -> None:
    site.store.put(keys.POLICY.build(site=name), "\n".join((f"site: {name}", *lines, "")).encode())


def outcome_of(store: Store, name: str) -> SubmissionOutcome:
    """How the newest attempt at a submission ended."""
    now = standing(store, name)
    assert now is not None
    assert now.outcome is not None
    return now.outcome


def test_a_dry_run_says_what_would_happen_and_writes_nothing(site: Site) -> None:
    before = site.store.list("")
    result = site.submit("--dry-run")
    assert result.exit_code == 0, result.output
    assert "1 default models and 5 cells; 0 done, 6 missing" in result.output
    assert "queued in north: wants 4 GPUs, 8 free, may borrow 4" in result.output
    assert "anna@north may start jobs in lesionlab-north" in result.output
    assert "unknown, no run like these is finished on such a device" in result.output
    assert re.search(r"bytes: .* read from the store by a node, .* cached there, written: unknown", result.output)
    assert site.store.list("") == before
    assert site.jobs() == []


def test_submitting_twice_makes_one_job_whose_command_carries_nothing_but_the_id(site: Site) -> None:
    assert site.submit().exit_code == 0
    assert "is submitted already" in site.submit().output
    (job,), (name,) = site.jobs(), submission_ids(site.store)
    assert job["spec"]["entrypoint"] == f"python -m jobs.work {name}"
    assert job["metadata"]["name"] == f"lesionlab-{name}"
    assert job["spec"]["suspend"] is True
    assert job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "lesionlab"
    assert "anna@north" in site("jobs").output
    pod = job["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]["template"]["spec"]
    (cache,) = [volume for volume in pod["volumes"] if volume["name"] == "cache"]
    assert cache["emptyDir"] == {"sizeLimit": "1Gi"}, "as the plan wants it, not the template"


def test_a_missing_cohort_costs_no_gpu(site: Site) -> None:
    site.store.delete(GLIOMA)
    result = site.submit()
    assert result.exit_code == 1
    assert "cohort drawn-glioma: not in" in result.output
    assert site.api.requests == []
    assert submission_ids(site.store) == []


def test_who_may_not_start_jobs_is_told_so_before_anything_is_written(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, tmp_path, kubeconfig(site.url, "south", NORTH))
    result = site.submit()
    assert result.exit_code == 1
    assert "ask the cluster's administrator" in result.output
    assert submission_ids(site.store) == []
    assert site.jobs() == []


def test_another_store_than_that_of_the_pods_is_refused(site: Site, base: dict[str, Any]) -> None:
    settings = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "lesionlab-store"}}
    site.api.put("configmaps", settings | {"data": {"LESIONLAB_STORE": "s3://other/store"}}, NORTH)
    result = site.submit()
    assert "use s3://other/store; give that store" in result.output
    assert submission_ids(site.store) == []


def test_a_store_of_files_is_refused(site: Site, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["submit", str(site.experiment), "--store", str(tmp_path)])
    assert "no pod of a cluster can reach it" in result.output


def test_a_namespace_without_a_template_says_who_applies_it(site: Site) -> None:
    site.api.remove("rayjobs", "lesionlab-work", NORTH)
    assert "its administrator applies one" in site.submit().output


def test_the_queue_and_the_command_are_told_in_one_line(site: Site, base: dict[str, Any]) -> None:
    """Two jobs of 4 GPUs use what is north's, the third borrows, the fourth waits; the message is Kueue's."""
    kueue = Kueue(site.api)
    for number in range(3):
        job = {**base, "metadata": {"name": f"other-{number}", "labels": {"kueue.x-k8s.io/queue-name": "lesionlab"}}}
        site.api.create("rayjobs", NORTH, job, {})
        kueue.settle()
    assert site.submit().exit_code == 0
    kueue.settle()
    (name,) = submission_ids(site.store)
    now = standing(site.store, name)
    assert now is not None
    text, _ = line_of(site.store, now, Namespace(site.cluster(), site.store_uri))
    assert text.startswith(
        "queued in north: wants 4 GPUs, 0 free, may borrow 0 (couldn't assign flavors to pod set gpu"
    )
    assert text in site("status", name).output


def test_pods_that_are_not_ready_say_why(site: Site) -> None:
    kueue = Kueue(site.api)
    site.submit()
    kueue.settle()
    (job,), (name,) = site.jobs(), submission_ids(site.store)
    site.api.change("rayjobs", job["metadata"]["name"], NORTH, lambda found: found.update(
        status={"jobDeploymentStatus": "Initializing", "rayClusterName": "ray-x"}))  # fmt: skip
    for pod, ready in (("ray-x-head", "True"), ("ray-x-gpu-worker-2", "False")):
        conditions = [{"type": "Ready", "status": ready}]
        waiting = [{"state": {"waiting": {"reason": "ContainerCreating"}}}]
        body = {"kind": "Pod", "metadata": {"name": pod, "labels": {"ray.io/cluster": "ray-x"}}}
        site.api.put("pods", body | {"status": {"conditions": conditions, "containerStatuses": waiting}}, NORTH)
    event = {"kind": "Event", "metadata": {"name": "e"}, "involvedObject": {"name": "ray-x-gpu-worker-2"}}
    site.api.put("events", event | {"reason": "Pulling", "lastTimestamp": "2026-01-01T00:00:00Z"}, NORTH)
    assert "1 of 2 pods, gpu-2 pulling image" in site("status", name).output


def test_a_refusal_is_not_retried_and_submitting_after_the_mend_opens_the_next_attempt(
    site: Site, tmp_path: Path
) -> None:
    site.submit()
    (name,) = submission_ids(site.store)
    before = site.store.get(GLIOMA)
    site.store.delete(GLIOMA)
    for _ in range(2):  # the second time from the stored outcome, without planning
        with pytest.raises(InputError, match="cohort drawn-glioma"):
            work_on(site.store, name, tmp_path, plain=True)
    outcome = outcome_of(site.store, name)
    assert outcome.ending == "refused"
    site.store.put(GLIOMA, before)
    with pytest.raises(InputError, match="ended as refused"):
        work_on(site.store, name, tmp_path, plain=True)
    assert site.submit().exit_code == 0
    assert {job["metadata"]["name"] for job in site.jobs()} == {f"lesionlab-{name}", f"lesionlab-{name}-2"}


def test_a_cohort_that_changed_since_is_another_submission(site: Site, tmp_path: Path) -> None:
    site.submit()
    (first,) = submission_ids(site.store)
    before = current_manifest(site.store, "drawn-glioma")
    changed = before.changed(studies=before.studies[:1])
    contribute(site.store, changed)
    with pytest.raises(InputError, match="cohort drawn-glioma: it changed since"):
        work_on(site.store, first, tmp_path, plain=True)
    site.submit()
    assert len(submission_ids(site.store)) == 2


def test_what_a_site_forbids_is_told_before_anything_is_sent(site: Site) -> None:
    enrol(site, "south")
    allow(site, "south", "leaves: nothing")
    told = site.submit("--dry-run")
    assert told.exit_code == 0, told.output
    assert "cohort drawn-ms: 4 studies of south left out: its policy lets nothing leave" in told.output
    allow(site, "drawn", "leaves: images", "tasks: [enhancing]")
    site.api.requests.clear()
    refused = site.submit()
    assert refused.exit_code == 1
    assert "of drawn left out: its policy allows the tasks enhancing, not flair-single" in refused.output
    assert "no study is left" in refused.output
    assert (site.api.requests, submission_ids(site.store)) == ([], [])


@pytest.mark.parametrize("policy", ["leaves: nothing", "leaves: images\nexpires: 2026-01-01"])
def test_a_site_that_forbids_it_after_it_was_submitted_stops_the_job_before_anything_is_trained(
    site: Site, tmp_path: Path, policy: str
) -> None:
    enrol(site, "south")
    site.submit()
    (name,) = submission_ids(site.store)
    allow(site, "south", policy)
    with pytest.raises(InputError, match="cohort drawn-ms: it changed since the experiment was submitted"):
        work_on(site.store, name, tmp_path, plain=True)
    outcome = outcome_of(site.store, name)
    assert outcome.ending == "refused"
    assert site.store.list("runs/") == []
    assert "4 studies of south left out" in site.submit().output
    assert len(submission_ids(site.store)) == 2


def test_where_aggregates_alone_may_leave_the_job_trains_and_says_before_that_it_writes_no_report(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    allow(site, "drawn", "leaves: aggregates")
    why = "site drawn: 4 studies in drill, but its policy lets aggregates leave, and this shows images of single"
    advice = "lesionlab analyse drill --share consortium --out DIR"
    told = site.submit().output
    assert "it ends without the report of the hospitals:" in told
    assert why in told
    assert advice in told
    (name,) = submission_ids(site.store)
    trained = []
    monkeypatch.setattr("jobs.shared.working.pretrain_sources", lambda *_, **__: ())
    monkeypatch.setattr(
        "jobs.shared.working.sweep_experiment",
        lambda spec, store, *_, **__: trained.append(spec.name) or rehearse(spec, store).plan,
    )
    for _ in range(2):
        ended = work_on(site.store, name, tmp_path, plain=True)
        assert "no report of the hospitals" in ended
        assert why in ended
    assert trained == ["drill"]
    outcome = outcome_of(site.store, name)
    assert (outcome.ending, outcome.report) == ("done", None)
    fetched = site("fetch", name, "--out", tmp_path / "report")
    assert fetched.exit_code == 1
    assert why in fetched.output
    assert advice in fetched.output
    assert why in site("status", name).output


def rewritten(site: Site, key: str, **fields: Any) -> None:
    """Store a document as another version of lesionlab would have: with these fields, and a checksum of its own."""
    form = {name: value for name, value in json.loads(site.store.get(key)).items() if name != CHECKSUM} | fields
    checksum = hashlib.sha256(canonical_json(form).encode()).hexdigest()
    site.store.put(key, canonical_json(form | {CHECKSUM: checksum}).encode())


@pytest.mark.parametrize("newer", ["submission", "manifest"])
def test_an_image_that_cannot_read_what_a_newer_laptop_wrote_refuses_and_is_not_retried(
    site: Site, tmp_path: Path, newer: str
) -> None:
    site.submit()
    (name,) = submission_ids(site.store)
    key = keys.SUBMISSION.build(submission=name)
    if newer == "manifest":
        key = next(k for k in site.store.list("sites/drawn/cohorts/drawn-glioma/") if k != GLIOMA)
    before = site.store.get(key)
    rewritten(site, key, a_field_of_tomorrow=1)
    for _ in range(2):
        with pytest.raises(LesionlabError, match="a_field_of_tomorrow"):
            work_on(site.store, name, tmp_path, plain=True)
        outcome = outcome_of(site.store, name)
        assert outcome.ending == "refused"
        assert "newer lesionlab" in outcome.faults[0]
    site.store.put(key, before)
    assert site.submit().exit_code == 0
    assert [job["metadata"]["name"] for job in site.jobs()] == [f"lesionlab-{name}", f"lesionlab-{name}-2"]


def test_cancelling_waits_and_says_what_is_kept(site: Site) -> None:
    site.submit()
    (name,) = submission_ids(site.store)
    result = site("cancel", name)
    assert result.exit_code == 0, result.output
    assert "no cell began; to go on, submit the experiment again" in result.output
    assert site.jobs() == []
    assert "nothing to cancel, it ended as cancelled" in site("cancel", name).output
    site.submit()
    assert [job["metadata"]["name"] for job in site.jobs()] == [f"lesionlab-{name}-2"]


def test_the_difference_to_what_runs_now_is_told(site: Site) -> None:
    site.submit()
    site.experiment.write_text(spec(2))
    result = site.submit("--dry-run")
    assert "runs or waits" in result.output
    assert "training.epochs: 1 there, 2 here" in result.output


@pytest.mark.parametrize("code", [429, 500, 503])
def test_a_busy_server_is_asked_again(site: Site, code: int) -> None:
    cluster = Cluster(site.cluster()._client, NORTH, "test", sleep=lambda seconds: None)
    site.api.faults = [(code, "busy")] * 3
    assert cluster.who() == "anna@north"


def test_a_server_that_stays_busy_is_given_up(site: Site) -> None:
    cluster = Cluster(site.cluster()._client, NORTH, "test", sleep=lambda seconds: None)
    site.api.faults = [(503, "busy")] * 100
    with pytest.raises(ClusterError, match="503"):
        cluster.who()


def test_an_expired_token_says_what_to_do(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, tmp_path, kubeconfig(site.url, "expired", NORTH))
    with pytest.raises(NotAllowed, match="log in again"):
        site.cluster().who()


def test_a_dead_server_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, tmp_path, kubeconfig("http://127.0.0.1:9", "north", NORTH))
    with pytest.raises(ClusterError, match=r"no answer from http://127.0.0.1:9"):
        connected().who()


def test_a_missing_context_is_named(site: Site) -> None:
    with pytest.raises(ClusterError, match="elsewhere"):
        connected("elsewhere")


def test_an_exec_plugin_is_asked_for_the_token(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As cloud providers' kubeconfigs do; the namespace is the option's."""
    credential = {
        "kind": "ExecCredential",
        "apiVersion": "client.authentication.k8s.io/v1",
        "status": {"token": "south"},
    }
    config = kubeconfig(site.url, "", NORTH)
    script = tmp_path / "plugin.py"
    script.write_text(f"print({json.dumps(json.dumps(credential))})")
    plugin = {"apiVersion": credential["apiVersion"], "command": sys.executable, "args": [str(script)]}
    config["users"][0]["user"] = {"exec": plugin | {"interactiveMode": "Never"}}
    use(monkeypatch, tmp_path, config)
    assert connected(namespace=SOUTH).who() == "ben@south"


def test_the_proxy_of_the_kubeconfig_is_used(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The emulator stands in as the proxy: it is asked for the whole URL of a server that does not exist."""
    use(monkeypatch, tmp_path, kubeconfig("http://api.example.org", "north", NORTH, **{"proxy-url": site.url}))
    assert connected().who() == "anna@north"
    assert site.api.requests[-1][1].startswith("http://api.example.org/apis/")


def test_a_limit_of_hours_wants_the_number_of_runs_at_a_time(site: Site) -> None:
    assert "--max-gpu-hours: wanted --slots N too" in site.submit("--max-gpu-hours", 1).output


@pytest.mark.slow
def test_no_cell_begins_once_the_hours_are_used(site: Site, tmp_path: Path) -> None:
    site.submit("--max-gpu-hours", 0.01, "--slots", 2)
    (name,) = submission_ids(site.store)
    stored = stored_submission(site.store, name)
    tiny = stored.changed(max_gpu_hours=1e-6)
    open_attempt(site.store, tiny, 1, place="here")
    for _ in range(2):
        with pytest.raises(LesionlabError, match="max_gpu_hours: 2 of 5 cells are done"):
            work_on(site.store, tiny.id, tmp_path, plain=True)
    outcome = outcome_of(site.store, tiny.id)
    assert outcome.ending == "limit"


@pytest.mark.slow
def test_the_work_is_done_and_its_log_and_report_can_be_fetched(site: Site, tmp_path: Path) -> None:
    site.submit()
    (name,) = submission_ids(site.store)
    assert "done; report" in work_on(site.store, name, tmp_path / "cache", plain=True)
    assert "done before" in work_on(site.store, name, tmp_path / "cache", plain=True)
    site.experiment.write_text(spec(2).replace("name: drill", "name: longer"))
    dry = site.submit("--dry-run", "--price", 2, "--slots", 2).output
    assert re.search(r"on cpu: [0-9.]+ ± [0-9.]+ hours, [0-9.]+ ± [0-9.]+ CPU hours, price [0-9.]+", dry), dry
    assert "written to the store" in dry
    assert "sweep: cells: 5" in site("logs", name).output
    assert site("fetch", name, "--out", tmp_path / "report").exit_code == 0
    assert (tmp_path / "report" / "report.html").is_file()
